// Package store is for authors of stores: how sessions and login transactions are kept, the interfaces
// that a store implements, the sealing of what it is given, and stores in memory.
// A store sees neither session ids nor tokens: keys are hashes, contents are
// sealed.
package store

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/tokenward/tokenward/session"
)

// StateStore keeps one record for each session. It is safe for concurrent use and
// keeps no slice that it was given nor hands out one that it keeps. A call that
// fails in any other way than the errors named here says that the store did not
// answer, never that there is no session: after such an error the write may or
// may not have happened, and a caller that does not know looks at the version. When a call
// succeeds, every later call of any process sees its effect.
//
// Calls end when ctx does, with an error that matches ctx.Err(); a call whose ctx
// has ended before it starts has no effect. None of them may wait for another
// session.
//
// The suite in storetest holds a store to all of this.
type StateStore interface {
	// Load returns the record under key. It fails with ErrNotFound when there is
	// none, with a *GoneError while a tombstone stands, and with ErrUnreadable when
	// something is there that the store cannot read: it stays where it is.
	Load(ctx context.Context, key session.Key, o Options) (Record, error)

	// Replace writes r, whatever was there before, a tombstone included: a login. An
	// intent of the key goes; a lease stays with its owner, and r.Epoch is not judged.
	Replace(ctx context.Context, key session.Key, r Record, o Options) error

	// Update writes r if the record under key still has the version prev and the
	// incarnation of r. It never creates: it fails with ErrNotFound (or a *GoneError)
	// when there is no record, and with ErrConflict when there is another version or
	// incarnation or when r.Epoch is older than the key's lease epoch. The check and
	// the write are one: of any number of writers with the same prev one succeeds.
	Update(ctx context.Context, key session.Key, prev session.Version, r Record, o Options) error

	// End ends one incarnation of a session, or any when it is zero. The record goes, and a
	// tombstone says why, so that a late Load can. Absence, and another incarnation, are success
	// and change nothing: so made-up ids do not fill the store. The intent of a record goes with it;
	// a lease stays with its owner, and lease epochs are not judged.
	//
	// Over a record: a ceiling (session.ReasonCeiling) fails with ErrConflict where the record
	// has another version than e.Prev; or, with the zero Prev and no remainder, where it holds
	// connection tokens (Record.Connections). Every other reason needs no version.
	//
	// Over a tombstone of that incarnation: a logout, a back-channel logout and a login in
	// its place (Ending.Final) put their reason there, and the remainder goes. A ceiling with a
	// remainder puts it in place of what an earlier ceiling left, and fails with
	// ErrConflict where that has another version than e.Prev. All else changes nothing.
	//
	// The remainder is found by its index values for as long as it stands. Ending.Over is this
	// decision as a function.
	End(ctx context.Context, key session.Key, only session.Incarnation, e Ending, o Options) error
}

// DefaultTombstoneLife is how long the stores of this module keep a tombstone: longer
// than any writer can be late.
const DefaultTombstoneLife = 10 * time.Minute

// Errors of a StateStore, to be compared with errors.Is. See also ErrUnreadable.
var (
	ErrNotFound = errors.New("store: no such record")
	ErrConflict = errors.New("store: the record was changed by another writer")
	ErrLeased   = errors.New("store: another owner holds the lease")

	// ErrPresented says that the refresh token of an intent was presented by another recovery.
	ErrPresented = errors.New("store: the refresh token was presented since")
)

// Record is one session as a store keeps it.
type Record struct {
	Version     session.Version
	Incarnation session.Incarnation
	Epoch       int64           // lease epoch of the writer; 0 where the store has no leases
	Ceiling     session.Ceiling // in clear, for the deadline index; 0 when none
	Index       []IndexValue    // in clear, by which logouts and operators find it; made by Sealer.IndexValues, 4 at most
	Connections bool            // in clear: whether it holds connection tokens; of format 1 true
	Sealed      []byte          // the state, made by Sealer.Seal; a store keeps at least 1 MiB

	// TTL is how long a store with native expiry should keep the record, an hour
	// more than the session can live; 0 when it can live for ever. It is rubbish
	// collection, never the ceiling, and is not part of what Load returns.
	TTL time.Duration

	// Release is the owner whose lease an Update gives back in the same operation, if that
	// owner holds it at Epoch; empty: the lease stays. It is not kept.
	Release string

	// KeepIntent has an Update leave the intent as it is: the writer knows nothing new of its token. It is
	// not kept.
	KeepIntent bool
}

// IndexValue is an HMAC under which a session can be found.
type IndexValue [32]byte

// Options travel with each call, unchanged from the caller who caused it.
type Options struct {
	Request    *http.Request       // never kept past the call
	Response   http.ResponseWriter // never kept past the call
	Values     map[string]any      // the host's own, read only
	Background bool                // no caller asked: a timer, a recovery, a retry
}

// TransactionStore keeps login transactions between the redirect to the provider
// and the callback. It is safe for concurrent use, keeps no slice that it was given
// nor hands out one that it keeps, and its calls end when ctx does. As with a
// StateStore, any error but ErrNotFound says that the store did not answer.
type TransactionStore interface {
	// Put keeps data under key for ttl, in place of the data before. With a ttl that
	// is not positive nothing is kept.
	Put(ctx context.Context, key string, data []byte, ttl time.Duration, o Options) error

	// Get returns the data and keeps it. It fails with ErrNotFound when there is
	// none or ttl has passed.
	Get(ctx context.Context, key string, o Options) ([]byte, error)

	// Take returns the data and deletes it, atomically: of any number of concurrent
	// calls one gets it, the others fail with ErrNotFound.
	Take(ctx context.Context, key string, o Options) ([]byte, error)
}
