package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/tokenward/tokenward/session"
)

// Lister lists sessions without their ids, for operators, and to end many. Without it a client cannot list or count sessions,
// nor end all of an issuer.
type Lister interface {
	// List returns a page of a listing. It costs the store no more than about Limit sessions, however many there
	// are: so a page may hold fewer than Limit, or none, and another may follow (Page.Next). Where the order
	// of the store's index is not that of the keys, a page may hold a few more.
	//
	// A session that stands from the first page to the last is listed; it may be listed twice where many come and go beside
	// it. One that comes or goes beside it is listed or not. It fails with ErrPage when After is of no such listing.
	List(ctx context.Context, l Listing, o Options) (Page, error)
}

// Listing says which sessions are listed: all that have index values, those of one value, or those of a deadline. Login
// records and what else has no index value is no session, and is not listed. What a sign-out leaves for logins of other
// processes has one, and is listed for two minutes: a client leaves it out.
type Listing struct {
	// Value is that of the sessions; the zero value is all. Those of a value include what ceilings left (Ref.Ended).
	Value IndexValue

	// From and Until list, with Until > 0, the sessions with a Ceiling in [From, Until), by ceiling and then key. Value is zero then.
	From, Until session.Ceiling

	After string // Page.Next of the page before; empty: the first
	Limit int    // from 1
	Brief bool   // without Listed.Sealed
}

// Page is a part of a listing.
type Page struct {
	Sessions []Listed
	Next     string // Listing.After of the next page; empty: this is the last
}

// Listed is a session as a listing has it.
type Listed struct {
	Ref

	// Sealed is the state of a record, as Codec.Decode takes it; nil of what a ceiling left.
	Sealed []byte

	// Used is when the record was last written or touched (Toucher), by the store's clock: so it is as coarse as Touch is called. It is zero
	// where an earlier release did not write it down.
	Used time.Time
}

// ErrPage says that a page is of no such listing.
var ErrPage = errors.New("store: a listing is asked to go on where none has been; begin at the first page")

// Place returns where r stands in a listing by key (Ceiling 0) or by ceiling, as text, for a Lister to use as Page.Next.
func (r Ref) Place() string { return fmt.Sprintf("%016x", uint64(r.Ceiling)) + r.Key.String() }

// ParsePlace returns Ceiling and Key of what Place returned, the zero Ref for "". It fails with ErrPage.
func ParsePlace(text string) (r Ref, err error) {
	if text == "" {
		return r, nil
	}
	if len(text) != 16+2*len(r.Key) {
		return r, ErrPage
	}
	ceiling, err := strconv.ParseUint(text[:16], 16, 63)
	if err != nil {
		return r, ErrPage
	}
	if _, err := hex.Decode(r.Key[:], []byte(text[16:])); err != nil {
		return Ref{}, ErrPage
	}
	r.Ceiling = session.Ceiling(ceiling)
	return r, nil
}
