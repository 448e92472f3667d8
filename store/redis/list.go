package redis

import (
	"context"
	"encoding/hex"
	"regexp"
	"strconv"
	"time"

	"github.com/tokenward/tokenward/store"
)

// List implements store.Lister. Each page is one script.
func (s *Store) List(ctx context.Context, l store.Listing, _ store.Options) (page store.Page, err error) {
	value, after, before := "", l.After, ""
	switch {
	case !afterForm.MatchString(l.After):
		return page, store.ErrPage
	case l.Until > 0:
		value, before = "due", "("+sortable(int64(l.Until))
		if after = "[" + sortable(max(1, int64(l.From))); l.After != "" {
			after = "(" + l.After
		}
	case l.Value != store.IndexValue{}:
		value = hex.EncodeToString(l.Value[:])
	}
	wanted := "1"
	if l.Brief {
		wanted = "0"
	}
	answer, err := s.runAll(ctx, listing, value, after, before, max(1, l.Limit), wanted)
	if err != nil {
		return page, err
	}
	list, ok := at[[]any](answer, 0)
	next, also := at[string](answer, 1)
	if !ok || !also || len(list)%listedParts != 0 {
		return page, unexpected(listing)
	}
	page.Next = next
	for ; len(list) > 0; list = list[listedParts:] {
		one, readable, err := readListed(list, l.Brief)
		if err != nil {
			return store.Page{}, err
		}
		if readable {
			page.Sessions = append(page.Sessions, one)
		}
	}
	return page, nil
}

// afterForm is a place in the list of all ceilings, in a short list, or in a long one, see list.lua; or the beginning.
var afterForm = regexp.MustCompile(`^([0-9a-f]{80}|k[0-9a-f]{64}|c[0-9]{1,20})?$`)

const listedParts = refParts + 2

// readListed reads the session that an answer goes on with. A record that cannot be read is left out, and left alone.
func readListed(parts []any, brief bool) (one store.Listed, readable bool, err error) {
	if one.Ref, err = readRef(listing, parts); err != nil {
		return one, false, err
	}
	if used, _ := parts[refParts].(string); used != "" {
		ms, err := strconv.ParseInt(used, 10, 64)
		if err != nil {
			return one, false, unexpected(listing)
		}
		one.Used = time.UnixMilli(ms)
	}
	if brief || one.Ended {
		return one, true, nil
	}
	text, _ := parts[refParts+1].(string)
	r, err := store.UnmarshalRecord([]byte(text))
	if err != nil {
		return one, false, nil //nolint:nilerr // it is of another release, or damaged
	}
	one.Sealed = r.Sealed
	return one, true, nil
}
