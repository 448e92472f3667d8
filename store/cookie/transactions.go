package cookie

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

const (
	// maxCookie is what every browser keeps of one cookie, attributes included.
	maxCookie = 4096

	// maxTransactions is what the transactions of one browser may come to in its
	// requests. Servers and proxies refuse requests with headers from 8 KiB on, and there is
	// more in a header than this.
	maxTransactions = 5120

	maxUsed = 100_000
)

// Transactions is a store.TransactionStore in the browser: one sealed cookie for each
// login under way. So a callback may arrive in another process than the one that
// started the login, and only in the browser that started it.
//
// A browser that starts many logins without completing them keeps the newest: some
// eight of the usual size. That a transaction is taken once is known to this process
// alone; another one could take a copy of it once more, but the provider refuses the
// code then.
//
// For calls that have no request and response in their options it keeps transactions
// in memory.
type Transactions struct {
	sealer     *store.Sealer
	clock      clock.Clock
	prefix     string // of the cookies' names
	attributes Attributes
	memory     *store.Transactions

	mu    sync.Mutex
	last  int64 // the last stamp given
	used  map[string]used
	order []taken
}

// used says that the transaction of a cookie name was taken: those up to stamp.
type used struct{ stamp, expires int64 }

type taken struct {
	name    string
	expires int64
}

var _ store.TransactionStore = (*Transactions)(nil)

// NewTransactions returns a Transactions whose cookies are sealed by s and named
// after name, by default `_a0_tx`; a nil clock is the system's.
func NewTransactions(s *store.Sealer, c clock.Clock, name string, a Attributes) *Transactions {
	if c == nil {
		c = clock.System()
	}
	return &Transactions{
		sealer: s, clock: c, prefix: a.Name(name) + ".", attributes: a,
		memory: store.NewTransactions(c), used: make(map[string]used),
	}
}

// Put implements store.TransactionStore. What does not fit into a cookie it refuses with
// an *session.InvalidArgumentError, for it is the host's app_state that was too large.
func (t *Transactions) Put(ctx context.Context, key string, data []byte, ttl time.Duration, o store.Options) error {
	if o.Response == nil {
		return t.memory.Put(ctx, key, data, ttl, o)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	name := t.name(key)
	now := t.clock.Now()
	if ttl <= 0 {
		t.attributes.Set(o.Response, o.Request, name, "", 0, nil)
		return nil
	}
	tx := transaction{stamp: t.stamp(now), expires: now.Add(ttl).UnixMicro(), data: data}
	value := Seal(t.sealer, name, tx.encode())
	maxAge := (ttl + time.Second - 1).Truncate(time.Second)
	if n := len(t.attributes.cookie(o.Request, name, value, maxAge).String()); n > maxCookie {
		return &session.InvalidArgumentError{Argument: "app_state", Message: fmt.Sprintf(
			"the login under way comes to a cookie of %d bytes and a browser keeps %d: "+
				"make it an id of what you keep elsewhere, or use WithTransactionStore to keep logins on the server", n, maxCookie)}
	}
	to, unlock := answerTo(o.Response)
	defer unlock()
	t.prune(to, o.Request, name, len(name)+len(value), now)
	t.attributes.set(to, o.Request, name, value, maxAge, &condition{})
	return nil
}

// Get implements store.TransactionStore.
func (t *Transactions) Get(ctx context.Context, key string, o store.Options) ([]byte, error) {
	tx, err := t.find(ctx, key, o)
	if err != nil {
		return nil, err
	}
	if tx == nil || t.wasTaken(t.name(key), tx.stamp) {
		return t.memory.Get(ctx, key, o)
	}
	return tx.data, nil
}

// Take implements store.TransactionStore.
func (t *Transactions) Take(ctx context.Context, key string, o store.Options) ([]byte, error) {
	tx, err := t.find(ctx, key, o)
	if err != nil {
		return nil, err
	}
	if tx == nil {
		return t.memory.Take(ctx, key, o)
	}
	name, now := t.name(key), t.clock.Now()
	if !t.take(name, tx, now) {
		return nil, store.ErrNotFound
	}
	if o.Response != nil {
		to, unlock := answerTo(o.Response)
		defer unlock()
		t.prune(to, o.Request, name, 0, now)
		t.attributes.set(to, o.Request, name, "", 0, &condition{})
	}
	return tx.data, nil
}

// find returns the transaction that the browser has under key, nil when it has none
// that can be read.
func (t *Transactions) find(ctx context.Context, key string, o store.Options) (*transaction, error) {
	if err := ctx.Err(); err != nil || o.Request == nil {
		return nil, err
	}
	name := t.name(key)
	for _, value := range t.attributes.Values(o.Response, o.Request, name) {
		if tx, ok := t.open(name, value); ok && t.clock.Now().UnixMicro() < tx.expires {
			return &tx, nil
		}
	}
	return nil, nil //nolint:nilnil // absence is not an error here
}

// prune takes away the browser's transactions that are over, and the oldest ones, so
// that together with size bytes under name they stay within maxTransactions. Those
// that cannot be read stay. The caller has the answer for itself.
func (t *Transactions) prune(to answer, r *http.Request, name string, size int, now time.Time) {
	if r == nil {
		return
	}
	var others []pending
	for _, c := range r.Cookies() {
		if c.Name == name || !t.ours(c.Name) {
			continue
		}
		bytes := len("; =") + len(c.Name) + len(c.Value)
		tx, ok := t.open(c.Name, c.Value)
		switch {
		case !ok:
			size += bytes
		case now.UnixMicro() >= tx.expires || t.wasTaken(c.Name, tx.stamp):
			t.attributes.set(to, r, c.Name, "", 0, &condition{})
		default:
			others = append(others, pending{c.Name, tx.stamp, bytes})
		}
	}
	slices.SortFunc(others, func(a, b pending) int { return cmp.Compare(b.stamp, a.stamp) })
	for _, p := range others {
		if size += p.bytes; size > maxTransactions {
			t.attributes.set(to, r, p.name, "", 0, &condition{})
		}
	}
}

type pending struct {
	name  string
	stamp int64
	bytes int
}

// name returns the name of the cookie for key: the prefix and 24 characters of a hash.
func (t *Transactions) name(key string) string {
	h := sha256.Sum256([]byte(key))
	return t.prefix + encoding.EncodeToString(h[:18])
}

// ours reports whether name returned this name for some key.
func (t *Transactions) ours(name string) bool {
	hash, ok := strings.CutPrefix(name, t.prefix)
	if !ok {
		return false
	}
	b, err := encoding.DecodeString(hash)
	return err == nil && len(b) == 18
}

// stamp returns a number that is higher than any before, and is the time unless
// several transactions come at once.
func (t *Transactions) stamp(now time.Time) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = max(t.last+1, now.UnixMicro())
	return t.last
}

// take notes that a transaction was taken. It reports whether it was the first to.
func (t *Transactions) take(name string, tx *transaction, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.order) > 0 && (len(t.order) >= maxUsed || now.UnixMicro() >= t.order[0].expires) {
		if first := t.order[0]; t.used[first.name].expires == first.expires {
			delete(t.used, first.name)
		}
		t.order = t.order[1:]
	}
	if u, again := t.used[name]; again && tx.stamp <= u.stamp {
		return false
	}
	t.used[name] = used{tx.stamp, tx.expires}
	t.order = append(t.order, taken{name, tx.expires})
	return true
}

func (t *Transactions) wasTaken(name string, stamp int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	u, ok := t.used[name]
	return ok && stamp <= u.stamp
}

// transaction is what a cookie holds: when it was put, when it lapses (microseconds
// since the Unix epoch, 8 bytes each) and the data.
type transaction struct {
	stamp, expires int64
	data           []byte
}

func (tx transaction) encode() []byte {
	b := make([]byte, 16, 16+len(tx.data))
	binary.BigEndian.PutUint64(b, uint64(tx.stamp))
	binary.BigEndian.PutUint64(b[8:], uint64(tx.expires))
	return append(b, tx.data...)
}

func (t *Transactions) open(name, value string) (tx transaction, ok bool) {
	b, err := Open(t.sealer, name, value)
	if err != nil || len(b) < 16 {
		return tx, false
	}
	tx.stamp = int64(binary.BigEndian.Uint64(b))
	tx.expires = int64(binary.BigEndian.Uint64(b[8:]))
	tx.data = bytes.Clone(b[16:])
	return tx, true
}
