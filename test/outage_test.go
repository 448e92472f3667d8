package test_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// An outage is told with a fleet: some processes on one store, and many sessions whose tokens
// never live long, so that some caller always wants a new one. The provider rotates, revokes a session whose token is
// presented twice, and grants no overlap: a refresh token that is lost, or written over with an
// older one, costs the session.
type fleet struct {
	*rig
	all    []process
	ids    []string
	ledger *ledger
	asked  []*caller
	kept   []*keeper
	hits   []tokenward.Token // of every session, for an audience whose tokens live long
	steps  int
}

const (
	fleetSessions  = 6
	fleetAudiences = 4
	fleetLife      = 20 * time.Second // of a token
	fleetLatency   = 700 * time.Millisecond
	fleetStep      = 500 * time.Millisecond
)

// withFleet tells story with n processes: on one store, or with one that is its own.
func withFleet(t *testing.T, n int, story func(t *testing.T, f *fleet)) {
	t.Helper()
	memory := func(*rigConfig) {}
	if n > 1 {
		memory = func(c *rigConfig) { c.memory = append(c.memory, store.Shared()) }
	}
	inBubble(t, func(t *testing.T, r *rig) {
		r.close()
		f := &fleet{rig: r}
		f.ledger = &ledger{Memory: r.memory, t: t, cfg: r.cfg, newest: map[session.Key]int{}}
		spending := &http.Client{Transport: f.ledger.spending(r.tenant.Transport())}
		for range n {
			way := storetest.NewFaulty(f.ledger)
			p := process{r.newClientToCut(tokenward.WithStateStore(way), tokenward.WithHTTPClient(spending), tokenward.WithProvider(tokenward.ProviderConfig{EndSession: tokenward.Never})), way}
			t.Cleanup(func() { _ = p.Close(context.Background()) })
			f.all = append(f.all, p)
		}
		r.client = f.all[0].Client
		r.tenant.Script(idptest.Refresh, idptest.ExpiresIn(3600).When(func(form url.Values) bool { return form.Get("audience") == long }).Always())
		for range fleetSessions {
			id := r.login()
			f.ids = append(f.ids, id)
			f.ledger.logins(key(id))
		}
		r.tenant.Set(idptest.WithLatency(fleetLatency))
		for _, p := range f.all {
			for i, id := range f.ids {
				c := p.ask(id, tokenward.TokenRequest{Audience: long})
				f.pass(2 * time.Second)
				tok, err := c.wait()
				if err != nil {
					t.Fatal(err)
				}
				if p == f.all[0] {
					f.hits = append(f.hits, tok)
				} else if tok != f.hits[i] {
					t.Fatal("a process has another token")
				}
			}
		}
		f.ask(20 * time.Second)
		story(t, f)
	}, memory, withTenant(idptest.WithTokenLife(fleetLife)))
}

// long is the audience whose tokens outlive the story.
const long = "https://long.example.com"

// pass lets time pass, in steps.
func (f *fleet) pass(d time.Duration) {
	for ; d > 0; d -= fleetStep {
		f.rest()
		f.clock.Advance(fleetStep)
	}
	f.rest()
}

// ask has callers ask in every process for every session while d passes, and looks
// at once whether cached tokens are served.
func (f *fleet) ask(d time.Duration) {
	f.t.Helper()
	for ; d > 0; d -= fleetStep {
		f.askOnce()
		f.clock.Advance(fleetStep)
	}
	f.rest()
}

func (f *fleet) askOnce() {
	f.t.Helper()
	for n, p := range f.all {
		for i, id := range f.ids {
			f.asked = append(f.asked, p.ask(id, tokenward.TokenRequest{Audience: audience((f.steps + n + i) % fleetAudiences)}))
		}
	}
	f.steps++
	f.rest()
}

// cached asks every process for the tokens in its cache. The first call for a session that was not
// read for a while finds out whether the store answers, and may wait for that.
func (f *fleet) cached(patience time.Duration) {
	f.t.Helper()
	now := f.clock.Now()
	for _, p := range f.all {
		for i, id := range f.ids {
			f.kept = append(f.kept, &keeper{p.ask(id, tokenward.TokenRequest{Audience: long}), i, now})
		}
	}
	f.rest()
	for _, k := range f.kept {
		if waits := now.Sub(k.since); !k.answered() && waits >= patience {
			f.t.Errorf("session %d: a caller waits for what is cached since %v", k.session, waits)
		}
	}
}

// keeper is a caller who wants cached tokens.
type keeper struct {
	*caller
	session int
	since   time.Time
}

// each does something to every process' way to the store.
func (f *fleet) each(do func(*storetest.Faulty)) {
	for _, p := range f.all {
		do(p.store)
	}
}

// ready asks every process in the background.
func (f *fleet) ready() []chan error {
	all := make([]chan error, len(f.all))
	for i, p := range f.all {
		all[i] = make(chan error, 1)
		go func() { all[i] <- p.Ready(context.Background()) }()
	}
	return all
}

// answers checks that everyone who asked was answered, with a token or because of the store.
func (f *fleet) answers() (refused int) {
	f.t.Helper()
	for _, c := range f.asked {
		if !c.answered() {
			f.t.Error("somebody still waits")
			continue
		}
		if c.err != nil {
			refused++
			if tokenward.CodeOf(c.err) != session.CodeStoreError {
				f.t.Errorf("a caller was told %v, want a token or %s", c.err, session.CodeStoreError)
			}
		}
	}
	for _, k := range f.kept {
		if _, err := k.wait(); err != nil || k.token != f.hits[k.session] {
			f.t.Errorf("somebody who wanted what is cached was told %v, %v", k.token.Audience, err)
		}
	}
	f.asked, f.kept = nil, nil
	return refused
}

// wantReady checks what every process says.
func (f *fleet) wantReady(want bool) {
	f.t.Helper()
	for i, r := range f.ready() {
		if err := <-r; want && err != nil || !want && !isNotReady(err) {
			f.t.Errorf("process %d: Ready = %v, want ready: %v", i, err, want)
		}
	}
}

// recover makes the store well again, and checks that all who asked are answered and everybody is
// ready.
func (f *fleet) recover() {
	f.t.Helper()
	f.each(func(way *storetest.Faulty) { way.Heal() })
	f.ask(20 * time.Second)
	f.pass(20 * time.Second)
	f.answers()
	f.wantReady(true)
}

// nothingLost checks, some time after the store is well again, that it has of every
// session the newest refresh token, as the provider knows it.
func (f *fleet) nothingLost() {
	f.t.Helper()
	f.want("refresh tokens reused", f.tenant.Reuses(), 0)
	f.want("families revoked", f.tenant.RevokedFamilies(), 0)
	f.want("requests of one session at once", f.tenant.PeakPerFamily(), 1)
	families := f.tenant.Families()
	for i, id := range f.ids {
		seen := families[i].Seen
		if got, want := f.ledger.newestOf(key(id)), seen[len(seen)-1].Serial+1; got != want {
			f.t.Errorf("session %d: the store has refresh token %d, the provider's newest is %d", i, got, want)
		}
	}
	for i, p := range f.all {
		s := p.Stats()
		if s.Unsaved != 0 || s.Lost != 0 || s.Failures != 0 {
			f.t.Errorf("process %d: %+v, want nothing unsaved, lost or defective", i, s)
		}
	}
	// A process that starts on the store now can go on.
	f.client = f.newClient(tokenward.WithStateStore(f.ledger))
	for _, id := range f.ids {
		c := f.rig.ask(context.Background(), id, tokenward.TokenRequest{Audience: "https://another.example.com"})
		f.pass(5 * time.Second)
		if _, err := c.wait(); err != nil {
			f.t.Errorf("a session is lost: %v", err)
		}
	}
}

// ledger is the store itself, below everything that goes wrong on the way to it. It checks that a
// session's refresh token never becomes an older one, and that none is spent but the one
// that stands there.
type ledger struct {
	*store.Memory
	t   testing.TB
	cfg tokenward.Config

	mu     sync.Mutex
	newest map[session.Key]int // serial of the refresh token that is stored
	order  []session.Key       // of the logins, which is that of the provider's families
}

func (l *ledger) logins(k session.Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.order = append(l.order, k)
}

func (l *ledger) newestOf(k session.Key) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.newest[k]
}

// Update implements store.StateStore.
func (l *ledger) Update(ctx context.Context, k session.Key, prev session.Version, r store.Record, o store.Options) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.Memory.Update(ctx, k, prev, r, o); err != nil {
		return err
	}
	state, err := (&store.Codec{Sealer: sealerOf(l.t, l.cfg), Domain: l.cfg.Issuer}).Decode(k, r)
	if err != nil {
		l.t.Errorf("what was stored: %v", err)
		return nil
	}
	serial := serialOf(l.t, state.RefreshToken)
	if was := l.newest[k]; serial < was {
		l.t.Errorf("refresh token %d was written over %d", serial, was)
	}
	l.newest[k] = serial
	return nil
}

// spending is the way to the provider, which is watched.
func (l *ledger) spending(inner http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		if req.GetBody == nil {
			return inner.RoundTrip(req)
		}
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(body)
		if err != nil {
			return nil, err
		}
		form, err := url.ParseQuery(string(text))
		if err != nil {
			return nil, err
		}
		if token := form.Get("refresh_token"); token != "" {
			var family int
			serial := serialOf(l.t, token, &family)
			l.mu.Lock()
			if got := l.newest[l.order[family]]; got != serial {
				l.t.Errorf("session %d: refresh token %d is spent, and the store has %d", family, serial, got)
			}
			l.mu.Unlock()
		}
		return inner.RoundTrip(req)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// serialOf reads which refresh token of its family one of the tenant's is.
func serialOf(t testing.TB, token string, family ...*int) int {
	var f, serial int
	if _, err := fmt.Sscanf(token, "rt_%d_%d_", &f, &serial); err != nil {
		t.Errorf("a refresh token that is none of the tenant's: %v", err)
	}
	for _, p := range family {
		*p = f
	}
	return serial
}

// fleets tells story with one process, and with three on one store.
func fleets(t *testing.T, story func(t *testing.T, f *fleet)) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d processes", n), func(t *testing.T) { withFleet(t, n, story) })
	}
}

// A minute without the store: cached tokens are served, no refresh token is spent, and a request that
// was on the wire when it went is saved when it is back.
func TestOutage_theStoreIsDown(t *testing.T) {
	fleets(t, func(t *testing.T, f *fleet) {
		for f.tenant.InFlight(idptest.Refresh) < 2 {
			f.ask(fleetStep)
		}
		f.each(func(way *storetest.Faulty) { way.Down(); way.BreakFeed(storetest.ErrFault) })
		for range int(time.Minute / fleetStep) {
			f.askOnce()
			f.cached(0)
			f.wantReady(false)
			f.clock.Advance(fleetStep)
		}
		spent := f.tenant.Refreshes()
		f.recover()
		if f.tenant.Refreshes() == spent {
			t.Error("nobody got a new token afterwards")
		}
		f.nothingLost()
	})
}

// An outage that is hardly longer than a lease. The process that is asked first when it is over must not spend
// a token that another one has spent and is about to save.
func TestOutage_hardlyLongerThanALease(t *testing.T) {
	for _, away := range []time.Duration{4 * time.Second, 6 * time.Second} {
		for _, later := range []time.Duration{0, 2 * time.Second, 4 * time.Second} {
			t.Run(fmt.Sprint(away, " after ", later), func(t *testing.T) {
				withFleet(t, 3, func(_ *testing.T, f *fleet) {
					f.ask(later)
					for f.tenant.InFlight(idptest.Refresh) < 2 {
						f.ask(fleetStep)
					}
					f.each(func(way *storetest.Faulty) { way.Down(); way.BreakFeed(storetest.ErrFault) })
					f.ask(away)
					f.recover()
					f.nothingLost()
				})
			})
		}
	}
}

// A minute in which every tenth call fails, before it has taken effect or after.
func TestOutage_everyTenthCallFails(t *testing.T) {
	for name, after := range map[string]bool{"before it took effect": false, "after it took effect": true} {
		t.Run(name, func(t *testing.T) {
			fleets(t, func(_ *testing.T, f *fleet) {
				f.each(func(way *storetest.Faulty) {
					way.Inject(storetest.Fault{Every: 10, Err: storetest.ErrFault, After: after})
				})
				f.ask(time.Minute)
				f.recover()
				f.nothingLost()
			})
		})
	}
}

// A minute in which every call takes five seconds, which is as long as it may, or longer:
// the process does not learn whether it took effect.
func TestOutage_theStoreIsTooSlow(t *testing.T) {
	for name, slow := range map[string]func(*storetest.Faulty, clock.Clock){
		"5 s before it takes effect": func(way *storetest.Faulty, c clock.Clock) { way.Slow(c, 5*time.Second) },
		"5 s until it says so":       func(way *storetest.Faulty, c clock.Clock) { way.SlowAfter(c, 5*time.Second) },
		"6 s before it takes effect": func(way *storetest.Faulty, c clock.Clock) { way.Slow(c, 6*time.Second) },
		"6 s until it says so":       func(way *storetest.Faulty, c clock.Clock) { way.SlowAfter(c, 6*time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			fleets(t, func(t *testing.T, f *fleet) {
				for f.tenant.InFlight(idptest.Refresh) < 2 {
					f.ask(fleetStep)
				}
				f.each(func(way *storetest.Faulty) { slow(way, f.clock) })
				var ready [][]chan error
				for range int(time.Minute / fleetStep) {
					f.askOnce()
					f.cached(10 * time.Second) // what was under way, and its own attempt
					ready = append(ready, f.ready())
					f.rest()
					f.clock.Advance(fleetStep)
				}
				f.each(func(way *storetest.Faulty) { way.Heal() })
				f.recover()
				for step, all := range ready {
					for n, r := range all {
						if err := <-r; !isNotReady(err) {
							t.Errorf("process %d, after %v: Ready = %v, want the store to be named", n, time.Duration(step)*fleetStep, err)
						}
					}
				}
				f.nothingLost()
			})
		})
	}
}

// A store that is slow, and not too slow: everything goes on.
func TestOutage_theStoreIsSlow(t *testing.T) {
	fleets(t, func(t *testing.T, f *fleet) {
		f.each(func(way *storetest.Faulty) { way.Slow(f.clock, 2*time.Second) })
		spent := f.tenant.Refreshes()
		f.ask(time.Minute)
		if f.tenant.Refreshes() == spent {
			t.Error("nobody got a new token")
		}
		f.recover()
		f.nothingLost()
	})
}

// unsaved returns the sessions of which the store lacks the newest refresh token.
func (f *fleet) unsaved() []session.Key {
	var keys []session.Key
	families := f.tenant.Families()
	for i, id := range f.ids {
		seen := families[i].Seen
		if f.ledger.newestOf(key(id)) != seen[len(seen)-1].Serial+1 {
			keys = append(keys, key(id))
		}
	}
	return keys
}

// closeAll closes every process, each in the background.
func (f *fleet) closeAll(ctx context.Context) []chan error {
	all := make([]chan error, len(f.all))
	for i, p := range f.all {
		all[i] = make(chan error, 1)
		go func() { all[i] <- p.Close(ctx) }()
	}
	f.rest()
	return all
}

// goneDown tells story where the store went away with requests on the wire, a while ago.
func goneDown(t *testing.T, story func(t *testing.T, f *fleet)) {
	fleets(t, func(t *testing.T, f *fleet) {
		for f.tenant.InFlight(idptest.Refresh) < 3 {
			f.ask(fleetStep)
		}
		f.each(func(way *storetest.Faulty) { way.Down(); way.BreakFeed(storetest.ErrFault) })
		f.ask(20 * time.Second)
		f.pass(5 * time.Second)
		if len(f.unsaved()) == 0 {
			t.Fatal("there is nothing that could not be saved")
		}
		f.answers()
		story(t, f)
	})
}

// Where the store comes back while processes close, they save everything and say so.
func TestOutage_theStoreIsBackBeforeCloseGivesUp(t *testing.T) {
	goneDown(t, func(t *testing.T, f *fleet) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // of the bubble: it does not pass
		defer cancel()
		closed := f.closeAll(ctx)
		f.pass(5 * time.Second)
		f.each(func(way *storetest.Faulty) { way.Heal() })
		f.pass(30 * time.Second)
		for i, done := range closed {
			if err := <-done; err != nil {
				t.Errorf("process %d: Close = %v", i, err)
			}
		}
		f.all = nil
		f.nothingLost()
	})
}

// Where it does not, they name exactly the sessions of which the store lacks something.
func TestOutage_theStoreIsNotBackBeforeCloseGivesUp(t *testing.T) {
	goneDown(t, func(t *testing.T, f *fleet) {
		ctx, cancel := context.WithCancel(context.Background())
		closed := f.closeAll(ctx)
		f.pass(10 * time.Second)
		cancel()
		var named []session.Key
		for i, done := range closed {
			err := <-done
			if err == nil {
				continue
			}
			var cut *tokenward.CloseError
			if !errors.As(err, &cut) || !errors.Is(err, context.Canceled) {
				t.Fatalf("process %d: Close = %v, want a CloseError because of %v", i, err, context.Canceled)
			}
			named = append(named, cut.Unsaved...)
		}
		byKey := func(a, b session.Key) int { return bytes.Compare(a[:], b[:]) }
		want := f.unsaved()
		slices.SortFunc(named, byKey)
		slices.SortFunc(want, byKey)
		if !slices.Equal(named, want) {
			t.Errorf("named as unsaved: %v, want %v", named, want)
		}
	})
}
