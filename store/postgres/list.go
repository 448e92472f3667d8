package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// List implements store.Lister. Each page is one query that reads as many rows of an index as it may hold.
func (s *Store) List(ctx context.Context, l store.Listing, _ store.Options) (page store.Page, err error) {
	after, err := store.ParsePlace(l.After)
	if err != nil {
		return page, err
	}
	key := after.Key[:]
	if l.After == "" {
		key = []byte{} // before every key
	}
	op, args := opListAll, []any{key, int64(l.Limit), !l.Brief}
	switch {
	case l.Until > 0:
		if after.Ceiling < l.From {
			after.Ceiling, args[0] = l.From, []byte{}
		}
		op, args = opListDue, append(args, int64(after.Ceiling), int64(l.Until))
	case l.Value != store.IndexValue{}:
		op, args = opListValue, append(args, l.Value[:])
	}
	walked := 0
	var last store.Ref
	page.Sessions, err = rows(ctx, s, op, args, func(row pgx.CollectableRow) (one store.Listed, listed bool, err error) {
		one, listed, err = scanListed(row)
		walked++
		last = store.Ref{Key: one.Key}
		if l.Until > 0 {
			last.Ceiling = one.Ceiling
		}
		return one, listed, err
	})
	if err != nil {
		return store.Page{}, err
	}
	if walked >= l.Limit { // a query that was repeated counts twice; then the next page may be empty
		page.Next = last.Place()
	}
	return page, nil
}

// scanListed reads a row of a listing, of one that is not shown the place alone. A record that cannot be read is left out, and left alone.
func scanListed(row pgx.CollectableRow) (one store.Listed, listed bool, err error) {
	var key, incarnation []byte
	var ceiling *int64
	var connections, ended *bool
	var used *time.Time
	if err := row.Scan(&key, &incarnation, &ceiling, &connections, &ended, &one.Sealed, &used, &listed); err != nil {
		return one, false, err
	}
	if ceiling != nil {
		one.Ceiling = session.Ceiling(*ceiling) // where the listing goes on, also after what is not shown
	}
	if !read(one.Key[:], key) || !listed || !read(one.Incarnation[:], incarnation) || ceiling == nil || connections == nil {
		return one, false, nil
	}
	one.Connections, one.Ended = *connections, *ended
	if used != nil && !one.Ended {
		one.Used = *used
	}
	return one, true, nil
}
