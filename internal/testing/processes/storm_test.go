package processes_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
)

// Storm is a load that a worker puts on itself: calls for sessions at random, each of
// whose answers is looked at.
type Storm struct {
	Calls, Callers, Sessions int
	Seed                     uint64
}

// Weather is how a storm went.
type Weather struct {
	Done   map[string]int // calls by kind and answer
	Broken []string       // promises
}

// Storm makes the calls and returns when all are answered.
func (w *Worker) Storm(s Storm, r *Weather) error {
	o := &observer{worker: w, done: make(map[string]int)}
	var left atomic.Int64
	left.Store(int64(s.Calls))
	var all sync.WaitGroup
	for i := range s.Callers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(s.Seed, uint64(i)))
			for left.Add(-1) >= 0 {
				o.something(random, s.Sessions)
			}
		})
	}
	all.Wait()
	r.Done, r.Broken = o.done, o.broken
	return nil
}

// observer compares each answer with its call and with the facts known by then.
type observer struct {
	worker *Worker

	mu     sync.Mutex
	done   map[string]int
	broken []string
}

// audiences are asked for at random; the first means that none is named.
var audiences = []string{"", "https://a.example", "https://b.example", "https://c.example", "https://d.example"}

// hot sessions get half of the calls.
const hot = 25

func (o *observer) something(random *rand.Rand, sessions int) {
	session := random.IntN(sessions)
	if random.IntN(2) == 0 {
		session = random.IntN(min(hot, sessions))
	}
	c := &observed{observer: o, session: session, at: o.worker.ledger.now(), begun: o.worker.clock.Now()}
	ctx, id := context.Background(), tokenward.SessionID(idOf(session))
	switch n := random.IntN(100); {
	case n < 20:
		u, err := o.worker.client.GetUser(ctx, id)
		c.user(u, err)
	case n < 28:
		q := tokenward.ConnectionRequest{Connection: []string{"google", "github"}[random.IntN(2)], LoginHint: []string{"", "", "work", "home"}[random.IntN(4)]}
		t, err := o.worker.client.GetAccessTokenForConnection(ctx, q, id)
		c.connection(q, t, err)
	default:
		c.kind = "token"
		if n < 36 {
			c.kind = "token, caller leaves"
			limited, cancel := context.WithCancel(ctx)
			defer clock.System().AfterFunc(time.Duration(random.IntN(4000))*time.Microsecond, cancel).Stop()
			defer cancel()
			ctx = limited
		}
		q := tokenward.TokenRequest{Audience: audiences[random.IntN(len(audiences))]}
		if random.IntN(50) == 0 {
			q.Scope = []string{"read:x", "write:x"}[random.IntN(2)]
		}
		t, err := o.worker.client.GetAccessToken(ctx, q, id)
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			c.count("left")
			return
		}
		c.token(q, t, err)
	}
}

func (o *observer) breaks(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.broken) < 20 {
		o.broken = append(o.broken, fmt.Sprintf(format, args...))
	}
}

// observed is one call.
type observed struct {
	*observer
	session int
	kind    string
	at      int // in the worker's ledger
	begun   time.Time
}

func (c *observed) count(answer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done[c.kind+": "+answer]++
}

// expected reports a violation unless err has one of codes, and counts it.
func (c *observed) expected(err error, codes ...tokenward.Code) {
	code := tokenward.CodeOf(err)
	if !slices.Contains(codes, code) {
		c.breaks("%s of %s: %v (%v)", c.kind, idOf(c.session), err, errors.Unwrap(err))
	}
	c.count(string(code))
}

// living compares the user of an answer with the logins known by then.
func (c *observed) living(w who, connection bool) {
	name := w.String()
	switch {
	case w.session != c.session:
		c.breaks("%s of %s: something of %s", c.kind, idOf(c.session), name)
	case c.worker.ledger.deadAt(name, c.at, connection):
		c.breaks("%s of %s: %s is over, and every process knew", c.kind, idOf(c.session), name)
	case !connection && w.over(c.begun):
		c.breaks("%s of %s: the ceiling of %s was reached at %d", c.kind, idOf(c.session), name, c.begun.Unix())
	}
}

func (c *observed) user(u tokenward.User, err error) {
	c.kind = "user"
	switch w, ok := parseWho(u.Sub()); {
	case err != nil:
		c.expected(err)
	case u == nil:
		c.count("nobody")
	case !ok:
		c.breaks("user of %s: %q", idOf(c.session), u.Sub())
	default:
		c.living(w, false)
		c.count("ok")
	}
}

func (c *observed) token(q tokenward.TokenRequest, t tokenward.Token, err error) {
	if err != nil {
		c.expected(err, "missing_refresh_token", "missing_session", "session_expired")
		return
	}
	audience := q.Audience
	if audience == "" {
		audience = strings.TrimSuffix(c.worker.issuer, "/") + "/userinfo"
	}
	w, of, ok := readToken(t.AccessToken)
	if !ok || of != audience {
		c.breaks("token of %s for %s: one for %q", idOf(c.session), audience, of)
	}
	if q.Scope != "" && !slices.Contains(strings.Fields(t.Scope), q.Scope) {
		c.breaks("token of %s: scope %q, %q was asked for", idOf(c.session), t.Scope, q.Scope)
	}
	c.living(w, false)
	c.count("ok")
}

func (c *observed) connection(q tokenward.ConnectionRequest, t tokenward.ConnectionToken, err error) {
	c.kind = "connection"
	if err != nil {
		c.expected(err, "missing_refresh_token")
		return
	}
	w, of, ok := readToken(t.AccessToken)
	connection, account, _ := strings.Cut(of, "?")
	// Without a hint the account is the provider's choice, or one that is in the cache.
	if !ok || connection != q.Connection || q.LoginHint != "" && account != q.LoginHint {
		c.breaks("connection of %s for %s?%s: one for %q", idOf(c.session), q.Connection, q.LoginHint, of)
	}
	c.living(w, true)
	c.count("ok")
}
