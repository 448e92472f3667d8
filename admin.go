package tokenward

import (
	"context"
	"errors"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tokenward/tokenward/internal/logins"
	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// SessionQuery says which sessions are listed or counted: those of which all is so that is set. The zero query is all sessions
// of the store.
type SessionQuery struct {
	Issuer  string // whose users: an issuer URL, or a domain; empty beside Subject, SID or Email: the configured one
	Subject string // sub of the user
	SID     string // sid of a session at the provider
	Email   string // an address that the issuer has verified (email_verified), in any letter case

	// The deadline (SessionInfo.Deadline) is in [DeadlineFrom, DeadlineUntil), and the last use in [UsedFrom, UsedUntil).
	// With DeadlineUntil, sessions without a deadline are not meant.
	DeadlineFrom, DeadlineUntil time.Time
	UsedFrom, UsedUntil         time.Time
}

// SessionInfo is what an operator is shown of a session: nothing by which anyone could use it.
type SessionInfo struct {
	Key      Key    // names it to EndSession: a hash of its id, which may be logged
	Issuer   string // of the user
	ClientID string
	Subject  string // sub of the user

	Name, Email   string // as the provider asserted them; may be empty
	EmailVerified bool

	SignedIn time.Time // at the provider
	Deadline time.Time // when it ends, 30 s before its session_expiry; zero: the provider named none

	// LastUse is when the session was last written or touched: at its login, at a refresh, and at a request about every
	// twentieth of the inactivity lifetime. It is zero where an earlier release wrote it.
	LastUse time.Time
}

const (
	defaultPage = 100
	largestPage = 250 // Redis does nothing else while it reads one
	emptyPages  = 50  // of the store, that one call passes over
)

// SessionPage lists up to limit sessions (0: 100; at most 250) from after on, which is the next that the page before came
// with, or empty. An empty next says that there are no more. A page may hold fewer than limit, or none, before that, and on
// Redis a few more. It takes memory for one page and is one query to the store, most often.
//
// A session that lives from the first page to the last is listed; on Redis perhaps twice, where many come and go beside it. Records of a
// release before this one are listed from their next save, records that cannot be opened are not.
//
// It fails with a *ConfigurationError when the state store cannot list (store.Lister): store.Simple cannot, nor can sessions in
// cookies; with an *InvalidArgumentError of the query, or of an after that is none; or with the store's error.
func (c *Client) SessionPage(ctx context.Context, q SessionQuery, after string, limit int, o StoreOptions) (page []SessionInfo, next string, err error) {
	if limit == 0 {
		limit = defaultPage
	}
	next, err = during(ctx, c, observe.ListSessions, func(ctx context.Context) (string, error) {
		w, err := c.listing(q)
		if err != nil {
			return "", err
		}
		next := after
		for range emptyPages {
			var listed []store.Listed
			listed, next, err = w.page(ctx, next, store.Listing{Limit: min(max(1, limit), largestPage)}, o)
			for _, l := range listed {
				if info, ok := w.info(l); ok {
					page = append(page, info)
				}
			}
			if err != nil || len(page) > 0 || next == "" {
				break
			}
		}
		return next, err
	})
	return page, next, err
}

// Sessions yields the sessions that q asks for, page by page, as SessionPage does. An error is the last that it yields.
func (c *Client) Sessions(ctx context.Context, q SessionQuery, o StoreOptions) iter.Seq2[SessionInfo, error] {
	return func(yield func(SessionInfo, error) bool) {
		after := ""
		for {
			page, next, err := c.SessionPage(ctx, q, after, 0, o)
			for _, s := range page {
				if !yield(s, nil) {
					return
				}
			}
			if err != nil {
				yield(SessionInfo{}, err)
				return
			}
			if after = next; after == "" {
				return
			}
		}
	}
}

// CountSessions counts the sessions that q asks for, up to most (0: all of them). It asks the store for them 250 at a time, without
// their states where q does not need them. It fails as SessionPage does.
func (c *Client) CountSessions(ctx context.Context, q SessionQuery, most int, o StoreOptions) (n int, err error) {
	return during(ctx, c, observe.ListSessions, func(ctx context.Context) (int, error) {
		w, err := c.listing(q)
		if err != nil {
			return 0, err
		}
		for after := ""; ; {
			var listed []store.Listed
			if listed, after, err = w.page(ctx, after, store.Listing{Limit: largestPage, Brief: !w.opens}, o); err != nil {
				return n, err
			}
			for _, l := range listed {
				if _, ok := w.state(l); ok {
					n++
				}
			}
			switch {
			case most > 0 && n >= most:
				return most, nil
			case after == "":
				return n, nil
			}
		}
	})
}

// EndSession ends the session that a listing names by its key, whichever login it is of, as EndSessions does. Its user may sign in again. That
// there is none is success.
func (c *Client) EndSession(ctx context.Context, key Key, o StoreOptions) error {
	_, err := during(ctx, c, observe.EndSessions, func(ctx context.Context) (struct{}, error) {
		switch {
		case c.lookup.Closed():
			return struct{}{}, session.ErrClosed
		case key == Key{}:
			return struct{}{}, &InvalidArgumentError{Argument: "key", Message: "name the session by the key that a listing shows"}
		}
		return struct{}{}, c.endInStore(ctx, store.Ref{Key: key}, session.ReasonAdministration, false, nil, o)
	})
	return err
}

// EndSessionsOf ends all sessions of issuer, an issuer URL or a domain, as EndSessions does those of a user, and refuses its logins that are
// under way at that moment, in all processes. It returns how many it ended; an issuer that no session is of is none. It fails as
// SessionPage and EndSessions do.
func (c *Client) EndSessionsOf(ctx context.Context, issuer string, o StoreOptions) (ended int, err error) {
	return during(ctx, c, observe.EndSessions, func(ctx context.Context) (int, error) {
		issuer, err := issuerNamed(strings.TrimSpace(issuer))
		if err != nil {
			return 0, err
		}
		w, err := c.listing(SessionQuery{Issuer: issuer})
		if err != nil {
			return 0, err
		}
		now := c.clock.Now().Unix()
		w.who.why, w.who.until = session.ReasonAdministration, now+leewayOfEnds
		if err := c.endLogins(ctx, w.who, now, o); err != nil {
			return 0, err
		}
		return w.end(ctx, o)
	})
}

// walk is a listing of this client's sessions.
type walk struct {
	c      *Client
	lister store.Lister
	query  SessionQuery
	who    ending             // until is not asked
	values []store.IndexValue // one after the other; a zero one is all
	due    bool               // instead, by deadline
	opens  bool               // the states are needed to tell which sessions are meant
}

// listing returns the listing that q asks for.
func (c *Client) listing(q SessionQuery) (*walk, error) {
	if c.lookup.Closed() {
		return nil, session.ErrClosed
	}
	lister, ok := store.As[store.Lister](c.opts.states)
	if !ok {
		return nil, &ConfigurationError{Message: "WithStateStore: the state store cannot list its sessions; use one that implements store.Lister, " +
			"such as those of Redis, PostgreSQL and bolt"}
	}
	w := &walk{c: c, lister: lister, query: q, who: ending{sid: q.SID, sub: q.Subject, email: session.NormalEmail(q.Email), until: math.MaxInt64}}
	names := len(slices.DeleteFunc([]string{q.SID, q.Subject, w.who.email}, func(name string) bool { return name == "" }))
	w.opens = names > 1
	switch {
	case !blank(q.Issuer):
		w.who.issuer = session.IssuerOf(q.Issuer)
	case names > 0 && c.issuer == "":
		return nil, &InvalidArgumentError{Argument: "issuer", Message: "name the issuer of the user, for this client serves several"}
	case names > 0:
		w.who.issuer = c.issuer
	}
	if w.who.issuer != "" {
		w.values = w.who.values(c.sealer)
		return w, nil
	}
	w.values, w.due = make([]store.IndexValue, 1), !q.DeadlineUntil.IsZero()
	return w, nil
}

// page asks the store for one page, from after on: the number of the value, and where the store's listing of it goes on.
func (w *walk) page(ctx context.Context, after string, l store.Listing, o StoreOptions) (listed []store.Listed, next string, err error) {
	number := 0
	if after != "" {
		text, place, ok := strings.Cut(after, ".")
		if number, err = strconv.Atoi(text); err != nil || !ok || number < 0 || number >= len(w.values) {
			return nil, "", noSuchPage()
		}
		l.After = place
	}
	if l.Value = w.values[number]; w.due {
		l.From, l.Until = ceilingOf(w.query.DeadlineFrom), ceilingOf(w.query.DeadlineUntil)
	}
	var page store.Page
	err = lookup.Attempt(ctx, w.c.env, func(ctx context.Context) (err error) {
		page, err = w.lister.List(ctx, l, o.options())
		return err
	})
	switch {
	case errors.Is(err, store.ErrPage):
		return nil, "", noSuchPage()
	case err != nil:
		return nil, "", lookup.StoreError(err)
	case page.Next != "":
		next = strconv.Itoa(number) + "." + page.Next
	case number+1 < len(w.values):
		next = strconv.Itoa(number+1) + "."
	}
	return page.Sessions, next, nil
}

func noSuchPage() error {
	return &InvalidArgumentError{Argument: "after", Message: "is no page of this listing; begin with an empty one"}
}

// state returns the state of l, nil where it was not listed, if the query asks for l. A remainder is no session, and neither is a mark.
func (w *walk) state(l store.Listed) (s *session.State, ok bool) {
	q := &w.query
	switch {
	case l.Ended, l.Incarnation == logins.MarkIncarnation,
		!between(l.Used, q.UsedFrom, q.UsedUntil),
		l.Ceiling == 0 && (!q.DeadlineFrom.IsZero() || !q.DeadlineUntil.IsZero()),
		!between(l.Ceiling.Deadline(), q.DeadlineFrom, q.DeadlineUntil):
		return nil, false
	case l.Sealed == nil:
		return nil, true
	}
	s, err := w.c.env.Codec.Decode(l.Key, store.Record{Sealed: l.Sealed})
	return s, err == nil && (w.who.issuer == "" || w.who.names(w.c, s))
}

// ceilingOf returns the first ceiling whose deadline is not before t; 0 for the zero time.
func ceilingOf(t time.Time) session.Ceiling {
	if t.IsZero() {
		return 0
	}
	return session.Ceiling(t.Add(session.CeilingLeeway + time.Second - 1).Unix())
}

// between reports whether t is in [from, until), of which a zero time is no bound.
func between(t, from, until time.Time) bool {
	return (from.IsZero() || !t.Before(from)) && (until.IsZero() || t.Before(until))
}

// info returns the part of l that is shown, if the query asks for it.
func (w *walk) info(l store.Listed) (SessionInfo, bool) {
	s, ok := w.state(l)
	if !ok {
		return SessionInfo{}, false
	}
	claims, of := s.User.Claims(), w.c.ownerOf(s)
	info := SessionInfo{
		Key: l.Key, Issuer: of.Issuer, ClientID: of.ClientID, Subject: claims.Sub(),
		Name: claims.Name(), Email: claims.Email(), EmailVerified: claims.EmailVerified(),
		SignedIn: time.Unix(s.LoggedInAt(), 0), LastUse: l.Used,
	}
	if l.Ceiling != 0 {
		info.Deadline = l.Ceiling.Deadline()
	}
	return info, true
}

// end ends what w lists, page by page.
func (w *walk) end(ctx context.Context, o StoreOptions) (ended int, err error) {
	for after := ""; ; {
		var listed []store.Listed
		if listed, after, err = w.page(ctx, after, store.Listing{Limit: endPage}, o); err != nil {
			return ended, err
		}
		n, err := w.endListed(ctx, listed, o)
		if ended += n; err != nil || after == "" {
			return ended, err
		}
	}
}

const endPage = 256

// endListed ends those of a page that w names, and what ceilings left of such.
func (w *walk) endListed(ctx context.Context, listed []store.Listed, o StoreOptions) (int, error) {
	var named []store.Ref
	var left []store.Listed
	for _, l := range listed {
		if l.Ended {
			left = append(left, l)
		} else if s, ok := w.state(l); ok {
			named = append(named, l.Ref)
			if w.who.user != nil {
				w.who.user(s.User.Sub())
			}
		}
	}
	n, err := w.c.endRefs(ctx, named, w.who.why, o)
	if err != nil {
		return n, err
	}
	more, err := inParallel(left, func(l store.Listed) (bool, error) { return w.c.endNamed(ctx, l.Key, w.who, o) })
	return n + more, err
}

// endRefs ends sessions: in the store in one call, where it can, and then in the memory of this process. Of the others the call has left
// some, whose ends are written one by one.
func (c *Client) endRefs(ctx context.Context, refs []store.Ref, why session.Reason, o StoreOptions) (int, error) {
	many, ok := store.As[store.BatchEnder](c.opts.states)
	left := refs
	if ok {
		if err := lookup.Attempt(ctx, c.env, func(ctx context.Context) (err error) {
			left, err = many.EndAll(ctx, refs, store.Ending{Reason: why}, o.options())
			return err
		}); err != nil {
			return 0, lookup.StoreError(err)
		}
	}
	unwritten := make(map[session.Key]bool, len(left))
	for _, r := range left {
		unwritten[r.Key] = true
	}
	return inParallel(refs, func(r store.Ref) (bool, error) { return true, c.endInStore(ctx, r, why, !unwritten[r.Key], nil, o) })
}
