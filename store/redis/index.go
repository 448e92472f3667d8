package redis

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Find implements store.Index. What the lists name is looked at in pages, each by one
// script; sessions that were there when it began are not missed.
func (s *Store) Find(ctx context.Context, values []store.IndexValue, _ store.Options) ([]store.Ref, error) {
	if len(values) == 0 {
		return nil, ctx.Err()
	}
	args := []any{s.page, len(values)}
	for _, v := range values {
		args = append(args, hex.EncodeToString(v[:]))
	}
	var refs []store.Ref
	var rest []any
	for {
		answer, err := s.runAll(ctx, find, append(args[:len(args):len(args)], rest[:min(s.page, len(rest))]...)...)
		if err != nil {
			return nil, err
		}
		if refs, err = appendRefs(refs, find, answer); err != nil {
			return nil, err
		}
		if len(rest) > 0 {
			rest = rest[min(s.page, len(rest)):]
		} else {
			rest, _ = at[[]any](answer, 1)
		}
		if len(rest) == 0 {
			return refs, nil
		}
	}
}

// Due implements store.Index.
func (s *Store) Due(ctx context.Context, from, until session.Ceiling, after store.Ref, limit int, _ store.Options) ([]store.Ref, error) {
	begin, end := "["+sortable(int64(from)), "("+sortable(int64(until))
	if last := place(after); after != (store.Ref{}) && last > begin[1:] {
		begin = "(" + last
	}
	var refs []store.Ref
	for {
		if len(refs) >= limit || begin[1:] >= end[1:] {
			return refs, ctx.Err()
		}
		answer, err := s.runAll(ctx, due, begin, end, min(s.page, limit-len(refs)))
		if err != nil {
			return nil, err
		}
		if refs, err = appendRefs(refs, due, answer); err != nil {
			return nil, err
		}
		last, _ := at[string](answer, 1)
		if last == "" {
			return refs, nil
		}
		begin = "(" + last
	}
}

// ClaimDue implements store.Index. It claims in pages; where a later one fails it returns
// what the earlier ones have claimed.
func (s *Store) ClaimDue(ctx context.Context, until session.Ceiling, limit int, hold time.Duration, _ store.Options) ([]store.Ref, error) {
	end := "(" + sortable(int64(until))
	var refs []store.Ref
	for len(refs) < limit {
		answer, err := s.runAll(ctx, claim, end, min(s.page, limit-len(refs)), max(1, milliseconds(hold)))
		if err == nil {
			refs, err = appendRefs(refs, claim, answer)
		}
		if err != nil && len(refs) > 0 {
			return refs, nil
		}
		if err != nil {
			return nil, err
		}
		if more, _ := at[string](answer, 1); more == "" {
			return refs, nil
		}
	}
	return refs, ctx.Err()
}

// place is where a session stands in the index of ceilings.
func place(r store.Ref) string { return sortable(int64(r.Ceiling)) + r.Key.String() }

// appendRefs appends the sessions that an answer begins with: for each its key, incarnation and
// ceiling, whether connection tokens are held, and whether it has ended.
func appendRefs(refs []store.Ref, op script, answer []any) ([]store.Ref, error) {
	list, ok := at[[]any](answer, 0)
	if !ok || len(list)%refParts != 0 {
		return nil, unexpected(op)
	}
	for i := 0; i < len(list); i += refParts {
		ref, err := readRef(op, list[i:])
		if err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

// readRef reads the parts of a session that an answer goes on with.
func readRef(op script, parts []any) (ref store.Ref, err error) {
	ref = store.Ref{Connections: parts[3] != "0", Ended: parts[4] != ""}
	incarnation, ok := parts[1].(string)
	if !ok || len(incarnation) != len(ref.Incarnation) {
		return ref, unexpected(op)
	}
	copy(ref.Incarnation[:], incarnation)
	if ref.Key, err = parseKey(parts[0]); err != nil {
		return ref, unexpected(op)
	}
	if ceiling, _ := parts[2].(string); ceiling != "" {
		n, err := parseSortable(ceiling)
		if err != nil {
			return ref, unexpected(op)
		}
		ref.Ceiling = session.Ceiling(n)
	}
	return ref, nil
}

const refParts = 5

func parseKey(v any) (key session.Key, err error) {
	text, _ := v.(string)
	b, err := hex.DecodeString(text)
	if err == nil && len(b) != len(key) {
		err = fmt.Errorf("a key of %d bytes", len(b))
	}
	copy(key[:], b)
	return key, err
}

func parseSortable(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 16, 64)
	return int64(n ^ 1<<63), err
}
