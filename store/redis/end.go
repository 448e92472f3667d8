package redis

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/tokenward/tokenward/internal/remote"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// End implements store.StateStore. The script end.lua decides as store.Ending.Over does.
func (s *Store) End(ctx context.Context, key session.Key, only session.Incarnation, e store.Ending, _ store.Options) error {
	kind := ""
	switch {
	case e.Reason == session.ReasonCeiling:
		kind = "ceiling"
	case e.Final():
		kind = "final"
	}
	args := []any{
		remote.OrEmpty(only[:]), string(e.Reason), milliseconds(e.Life(s.tombstones)), kind, remote.OrEmpty(e.Prev[:]),
		s.channel, notice(key, session.Version{}),
	}
	if r := e.Remainder; r != nil && kind == "ceiling" {
		// Copies, for arguments may outlive the call.
		args = append(args, string(r.Version[:]), string(r.Sealed), hexValues(r.Index), milliseconds(r.TTL))
	} else {
		args = append(args, "", "", "", 0)
	}
	_, err := s.run(ctx, end, key, args...)
	return err
}

// EndAll implements store.BatchEnder, in pages, each by one script.
func (s *Store) EndAll(ctx context.Context, refs []store.Ref, e store.Ending, _ store.Options) (left []store.Ref, err error) {
	final := ""
	if e.Final() {
		final = "final"
	}
	byID := make(map[string]store.Ref, len(refs))
	for len(refs) > 0 {
		n := min(s.page, len(refs))
		args := []any{string(e.Reason), milliseconds(e.Life(s.tombstones)), s.channel, final}
		for _, r := range refs[:n] {
			byID[r.Key.String()] = r
			args = append(args, r.Key.String(), string(r.Incarnation[:]), notice(r.Key, session.Version{}))
		}
		answer, err := s.runAll(ctx, endAll, args...)
		if err != nil {
			return nil, err
		}
		held, ok := at[[]any](answer, 0)
		if !ok {
			return nil, unexpected(endAll)
		}
		for _, id := range held {
			id, _ := id.(string)
			left = append(left, byID[id])
		}
		refs = refs[n:]
	}
	return left, ctx.Err()
}

// tombstone reads what follows "gone" in an answer: the reason; and of a Load, how much longer it
// stands, the incarnation, and of a remainder its version, sealed state, index values and how
// much longer it stands.
func tombstone(answer []any) (gone *store.GoneError, ok bool) {
	why, ok := at[string](answer, 0)
	gone = &store.GoneError{Reason: session.Reason(why)}
	if !ok || len(answer) == 1 {
		return gone, ok
	}
	stands, _ := at[int64](answer, 1)
	of, _ := at[string](answer, 2)
	gone.Stands = remote.Duration(stands, time.Millisecond)
	copy(gone.Incarnation[:], of)
	if len(answer) == 3 {
		return gone, true
	}
	r := &store.Remainder{}
	version, okVersion := at[string](answer, 3)
	sealed, okSealed := at[string](answer, 4)
	values, okValues := at[string](answer, 5)
	left, okLeft := at[int64](answer, 6)
	if !okVersion || !okSealed || !okValues || !okLeft || len(version) != len(r.Version) || len(values)%hexValue != 0 {
		return nil, false
	}
	copy(r.Version[:], version)
	r.Sealed, r.TTL = []byte(sealed), remote.Duration(left, time.Millisecond)
	for ; values != ""; values = values[hexValue:] {
		b, err := hex.DecodeString(values[:hexValue])
		if err != nil {
			return nil, false
		}
		r.Index = append(r.Index, store.IndexValue(b))
	}
	gone.Remainder = r
	return gone, true
}
