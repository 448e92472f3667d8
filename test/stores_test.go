package test_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// P3: a good answer whose save fails is handed out, kept and saved later.
func TestSave_thatFails(t *testing.T) {
	var failed saveErrors
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		before := r.refreshToken(id)
		r.expire()
		r.store.Fail(storetest.OpUpdate, 3)
		tok := r.token(id, tokenward.TokenRequest{})
		r.want("requests", r.tenant.Refreshes(), 1)
		if err := r.client.Ready(context.Background()); !isNotReady(err) {
			t.Errorf("Ready = %v, want the store to be named", err)
		}
		r.want("unsaved", int(r.client.Stats().Unsaved), 1)
		r.rest()
		if errs := failed.all(); len(errs) != 1 || !errors.Is(errs[0], storetest.ErrFault) {
			t.Errorf("the handler was told %v, want one %v", errs, storetest.ErrFault)
		}
		if got := r.token(id, tokenward.TokenRequest{}); got != tok {
			t.Error("the token in hand is not served")
		}

		// Tried again after 50 ms, 100 ms, 200 ms, each up to a quarter more. The next wait
		// may begin while the clock still moves, so the quarter is gone through in small steps.
		var step time.Duration
		for n, wait := range []time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond} {
			r.want("updates", r.store.Updates(), n+1)
			r.clock.Advance(wait - step - 1)
			r.rest()
			r.want("updates just before the next try", r.store.Updates(), n+1)
			r.clock.Advance(step + 1)
			r.rest()
			step = wait / 100
			for range 25 {
				if r.store.Updates() > n+1 {
					break
				}
				r.clock.Advance(step)
				r.rest()
			}
		}
		r.want("updates", r.store.Updates(), 4)
		if r.refreshToken(id) == before {
			t.Error("the store has the spent refresh token")
		}
		if err := r.client.Ready(context.Background()); err != nil {
			t.Errorf("Ready = %v", err)
		}
		r.want("unsaved", int(r.client.Stats().Unsaved), 0)
		r.want("save errors", int(r.client.Stats().SaveErrors), 1)
		r.want("requests", r.tenant.Refreshes(), 1)
		r.wantLiving(id)

		// Another process, or this one started again, finds all of it.
		r.client = r.newClient()
		r.wantLiving(id)
	}, withClient(tokenward.WithHooks(tokenward.Hooks{SaveFailed: failed.add})))
}

// saveErrors collects what the hook SaveFailed is told.
type saveErrors struct {
	mu   sync.Mutex
	errs []error
}

func (e *saveErrors) add(_ context.Context, _ tokenward.Key, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.errs = append(e.errs, err)
}

func (e *saveErrors) all() []error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.errs
}

// A save that succeeded although it failed: the next try finds its own version.
func TestSave_thatFailsAfterItTookEffect(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		r.store.FailAfter(storetest.OpUpdate, 1)
		r.token(id, tokenward.TokenRequest{})
		if err := r.client.Ready(context.Background()); !isNotReady(err) {
			t.Errorf("Ready = %v, want the store to be named", err)
		}
		r.rest()
		r.clock.Advance(time.Second)
		r.rest()
		r.want("updates", r.store.Updates(), 2)
		if err := r.client.Ready(context.Background()); err != nil {
			t.Errorf("Ready = %v", err)
		}
		r.expire()
		r.token(id, tokenward.TokenRequest{})
		r.want("updates", r.store.Updates(), 3)
		r.wantLiving(id)
	})
}

func isNotReady(err error) bool {
	var e *tokenward.NotReadyError
	return errors.As(err, &e) && e.Store != nil
}

// A store that does not answer holds a caller for as long as the store's deadline.
func TestSave_thatHangs(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		before := r.refreshToken(id)
		r.expire()
		r.store.Hang(storetest.OpUpdate, 1)
		c := r.ask(context.Background(), id, tokenward.TokenRequest{})
		r.rest()
		if c.answered() {
			t.Fatal("answered before the store was")
		}
		r.clock.Advance(5 * time.Second)
		if _, err := c.wait(); err != nil {
			t.Errorf("err = %v", err)
		}
		r.rest()
		r.clock.Advance(time.Second)
		r.rest()
		r.want("updates", r.store.Updates(), 2)
		if r.refreshToken(id) == before {
			t.Error("the store has the spent refresh token")
		}
		r.wantLiving(id)
	})
}

// A store that says conflict without another writer is asked again.
func TestSave_thatConflictsWithNobody(t *testing.T) {
	for name, fault := range map[string]storetest.Fault{
		"before it took effect": {Op: storetest.OpUpdate, Times: 1, Err: store.ErrConflict},
		"after it took effect":  {Op: storetest.OpUpdate, Times: 1, Err: store.ErrConflict, After: true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				id := r.login()
				before := r.refreshToken(id)
				r.expire()
				r.store.Inject(fault)
				r.token(id, tokenward.TokenRequest{})
				r.pass(10)
				if r.refreshToken(id) == before {
					t.Error("the store has the spent refresh token")
				}
				r.want("requests", r.tenant.Refreshes(), 1)
				if err := r.client.Ready(context.Background()); err != nil {
					t.Errorf("Ready = %v", err)
				}
				r.wantLiving(id)
			})
		})
	}
}

// No refresh token is spent while one is unsaved: the next flight tries the save first.
func TestSave_beforeTheNextRefreshTokenIsSpent(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		r.inMemory(id)
		r.store.Down()
		tok := r.token(id, tokenward.TokenRequest{Audience: audience(1)})
		r.want("requests", r.tenant.Refreshes(), 1)

		before := r.store.Updates()
		callers := append(r.askAll(5, id, tokenward.TokenRequest{Audience: audience(2)}), r.ask(context.Background(), id, tokenward.TokenRequest{Audience: audience(3)}))
		for _, c := range callers {
			_, err := c.wait()
			r.wantCode("while the store is down", err, "store_error")
			if !errors.Is(err, storetest.ErrFault) || !errors.Is(err, tokenward.ErrStore) {
				t.Errorf("err = %v, want the store's error in it", err)
			}
		}
		if r.store.Updates() == before {
			t.Error("the save was not tried")
		}
		_, err := r.exchange(context.Background(), id, "google-oauth2").wait()
		r.wantConnectionCode("a connection", err, "store_error")
		r.want("requests", r.tenant.Requests(idptest.Spend), 1)
		if got := r.token(id, tokenward.TokenRequest{Audience: audience(1)}); got != tok {
			t.Error("what is cached is not served")
		}

		r.store.Heal()
		before = r.store.Updates()
		r.token(id, tokenward.TokenRequest{Audience: audience(2)})
		r.want("requests", r.tenant.Refreshes(), 2)
		r.want("updates: the one that was due, and the new one", r.store.Updates()-before, 2)
		r.wantLiving(id)
	})
}

// A response without a new refresh token blocks nothing.
func TestSave_withoutANewRefreshTokenBlocksNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		r.inMemory(id)
		r.store.Down()
		for i := range 3 {
			r.token(id, tokenward.TokenRequest{Audience: audience(i)})
		}
		r.want("requests", r.tenant.Refreshes(), 3)
		if err := r.client.Ready(context.Background()); !isNotReady(err) {
			t.Errorf("Ready = %v, want the store to be named", err)
		}
		r.store.Heal()
		r.pass(10)
		s, err := r.stored(id)
		if err != nil {
			t.Fatal(err)
		}
		r.want("token sets stored", len(s.TokenSets), 4)
		if err := r.client.Ready(context.Background()); err != nil {
			t.Errorf("Ready = %v", err)
		}
	}, withTenant(idptest.WithoutRotation()))
}

// The record was deleted by another writer: it is not created again.
func TestSave_ofARecordThatIsGone(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		callers := r.askAll(3, id, tokenward.TokenRequest{})
		r.rest()
		queued := r.ask(context.Background(), id, tokenward.TokenRequest{Audience: audience(1)})
		r.rest()
		if err := r.memory.End(context.Background(), key(id), session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, store.Options{}); err != nil {
			t.Fatal(err)
		}
		hold.Release()
		for _, c := range append(callers, queued) {
			_, err := c.wait()
			r.wantCode("caller", err, "missing_session")
		}
		r.rest()
		r.wantGone(id)
		r.want("requests", r.tenant.Refreshes(), 1)
		r.wantCode("a later call", r.tokenErr(id, tokenward.TokenRequest{}), "missing_refresh_token")
		if err := r.client.Ready(context.Background()); err != nil {
			t.Errorf("Ready = %v", err)
		}
	})
}

// What a caller passes reaches every store call made within its call, and nothing of
// the request outlives it.
func TestStoreOptions_reachTheStore(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		var mu sync.Mutex
		calls := map[storetest.Op][]store.Options{}
		r.store.OnCall(func(c storetest.Call) {
			mu.Lock()
			defer mu.Unlock()
			calls[c.Op] = append(calls[c.Op], c.Options)
		})
		last := func(op storetest.Op) store.Options {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if len(calls[op]) == 0 {
				t.Fatalf("no %s", op)
			}
			return calls[op][len(calls[op])-1]
		}
		unchanged := func(op storetest.Op, w http.ResponseWriter, req *http.Request, value string) {
			t.Helper()
			o := last(op)
			if o.Request != req || o.Response != w || o.Values["tenant"] != value || o.Background {
				t.Errorf("%s: options %+v, want those of the caller", op, o)
			}
		}
		w, req := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
		o := func(value string) tokenward.StoreOptions {
			return tokenward.HTTP(w, req).With(map[string]any{"tenant": value})
		}
		r.loginAs(o("login"), idptest.Claims{"session_expiry": t0.Add(100 * time.Hour).Unix()})
		unchanged(storetest.OpReplace, w, req, "login")
		for _, c := range w.Result().Cookies() {
			req.AddCookie(c)
		}

		r.client = r.newClient()
		if _, err := r.client.GetUser(context.Background(), o("load")); err != nil {
			t.Fatal(err)
		}
		unchanged(storetest.OpLoad, w, req, "load")

		r.expire()
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := r.client.GetAccessToken(context.Background(), tokenward.TokenRequest{}, o("first")); err != nil {
				t.Error(err)
			}
		})
		r.rest()
		all.Go(func() {
			if _, err := r.client.GetAccessToken(context.Background(), tokenward.TokenRequest{}, o("second")); err != nil {
				t.Error(err)
			}
		})
		r.rest()
		r.store.Fail(storetest.OpUpdate, 1)
		hold.Release()
		all.Wait()
		if o := last(storetest.OpUpdate); o.Request != nil || o.Response != nil || o.Background || o.Values["tenant"] != "first" {
			t.Errorf("Update after a flight: options %+v, want the values of the call that started it and nothing else", o)
		}
		r.rest()
		r.clock.Advance(time.Second)
		r.rest()
		if o := last(storetest.OpUpdate); o.Request != nil || o.Response != nil || !o.Background || o.Values != nil {
			t.Errorf("Update that is tried again: options %+v, want Background and nothing else", o)
		}

		if _, err := r.client.Logout(context.Background(), tokenward.LogoutRequest{}, o("logout")); err != nil {
			t.Fatal(err)
		}
		unchanged(storetest.OpEnd, w, req, "logout")

		// A deletion that a timer causes gets no caller's options; one that a read causes gets the reader's.
		r.loginAs(tokenward.SessionID("b"), idptest.Claims{"session_expiry": r.clock.Now().Add(time.Hour).Unix()})
		r.clock.Advance(time.Hour)
		r.rest()
		if o := last(storetest.OpEnd); !o.Background || o.Request != nil || o.Values != nil {
			t.Errorf("Delete at the ceiling: options %+v, want Background and nothing else", o)
		}
	})
}

// A store that panics is a store that fails.
func TestStore_thatPanics(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		p := &panicky{StateStore: r.store}
		r.client = r.newClient(tokenward.WithStateStore(p))

		p.on(storetest.OpLoad)
		err := r.tokenErr(id, tokenward.TokenRequest{})
		if code := tokenward.CodeOf(err); code != "store_error" && code != "internal_error" {
			t.Errorf("Load: err = %v", err)
		}
		p.on("")
		r.expire()
		p.on(storetest.OpUpdate)
		r.token(id, tokenward.TokenRequest{})
		p.on("")
		r.rest()
		r.clock.Advance(time.Second)
		r.rest()
		p.on(storetest.OpEnd)
		if err := <-r.logout(id); err == nil {
			t.Error("Logout succeeded")
		}
		p.on("")
		r.rest()
		r.clock.Advance(time.Second)
		r.rest()
		r.wantGone(id)
		p.on(storetest.OpReplace)
		if _, err := r.tryLogin(tokenward.SessionID(id)); err == nil {
			t.Error("login succeeded")
		}
		p.on("")
		r.loginAs(tokenward.SessionID(id))
		r.wantLiving(id)
	})
}

// panicky panics in one operation.
type panicky struct {
	store.StateStore
	mu sync.Mutex
	op storetest.Op
}

func (p *panicky) on(op storetest.Op) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.op = op
}

func (p *panicky) check(op storetest.Op) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.op == op {
		panic("a defect of the store")
	}
}

func (p *panicky) Load(ctx context.Context, k session.Key, o store.Options) (store.Record, error) {
	p.check(storetest.OpLoad)
	return p.StateStore.Load(ctx, k, o)
}

func (p *panicky) Replace(ctx context.Context, k session.Key, r store.Record, o store.Options) error {
	p.check(storetest.OpReplace)
	return p.StateStore.Replace(ctx, k, r, o)
}

func (p *panicky) Update(ctx context.Context, k session.Key, v session.Version, r store.Record, o store.Options) error {
	p.check(storetest.OpUpdate)
	return p.StateStore.Update(ctx, k, v, r, o)
}

func (p *panicky) End(ctx context.Context, k session.Key, only session.Incarnation, e store.Ending, o store.Options) error {
	p.check(storetest.OpEnd)
	return p.StateStore.End(ctx, k, only, e, o)
}

// A store that cannot be asked is an error, never "no session".
func TestLoad_thatFails(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.client = r.newClient()
		gate := storetest.NewGate()
		r.store.Inject(storetest.Fault{Op: storetest.OpLoad, Times: 1, Gate: gate, Err: storetest.ErrFault})
		loads := r.store.Loads()
		callers := r.askAll(10, id, tokenward.TokenRequest{})
		r.rest()
		gate.Release()
		for _, c := range callers {
			_, err := c.wait()
			r.wantCode("caller", err, "store_error")
			if !errors.Is(err, storetest.ErrFault) {
				t.Errorf("err = %v, want the store's error in it", err)
			}
		}
		r.want("loads", r.store.Loads()-loads, 1)
		r.store.Fail(storetest.OpLoad, 3)
		r.rest()
		if u, err := r.client.GetUser(context.Background(), tokenward.SessionID(id)); u != nil || !errors.Is(err, tokenward.ErrStore) {
			t.Errorf("GetUser = %v, %v, want %v", u, err, tokenward.ErrStore)
		}
		r.rest()
		if s, err := r.client.GetSession(context.Background(), tokenward.SessionID(id)); s != nil || !errors.Is(err, tokenward.ErrStore) {
			t.Errorf("GetSession = %v, %v, want %v", s, err, tokenward.ErrStore)
		}
		r.rest()
		_, err := r.exchange(context.Background(), id, "google-oauth2").wait()
		r.wantConnectionCode("connection", err, "store_error")
		r.rest()
		r.token(id, tokenward.TokenRequest{})
	})
}

func TestLoad_thatHangs(t *testing.T) {
	inBubble(t, func(_ *testing.T, r *rig) {
		id := r.login()
		r.client = r.newClient()
		r.store.Hang(storetest.OpLoad, 1)
		callers := r.askAll(10, id, tokenward.TokenRequest{})
		r.rest()
		r.clock.Advance(5 * time.Second)
		for _, c := range callers {
			_, err := c.wait()
			r.wantCode("caller", err, "store_error")
		}
		r.token(id, tokenward.TokenRequest{})
	})
}

// That there is no session is remembered for a second, by our clock.
func TestLoad_missingIsRememberedForASecond(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		for range 3 {
			r.wantCode("unknown", r.tokenErr("unknown", tokenward.TokenRequest{}), "missing_refresh_token")
			if u, err := r.client.GetUser(context.Background(), tokenward.SessionID("unknown")); u != nil || err != nil {
				t.Errorf("GetUser = %v, %v", u, err)
			}
			_, err := r.exchange(context.Background(), "unknown", "google-oauth2").wait()
			r.wantConnectionCode("unknown", err, "missing_refresh_token")
		}
		r.want("loads", r.store.Loads(), 1)
		r.clock.Advance(time.Second - 1)
		_ = r.tokenErr("unknown", tokenward.TokenRequest{})
		r.want("loads within the second", r.store.Loads(), 1)
		r.clock.Advance(1)
		_ = r.tokenErr("unknown", tokenward.TokenRequest{})
		r.want("loads after it", r.store.Loads(), 2)

		// A login is not kept waiting by the memory.
		r.loginAs(tokenward.SessionID("unknown"))
		r.token("unknown", tokenward.TokenRequest{})
		r.want("loads", r.store.Loads(), 2)
	})
}

// A flood of made-up ids costs a load each and leaves nothing behind.
func TestLoad_aFloodOfUnknownSessions(t *testing.T) {
	r := newRig(t)
	const n = 24_000 // more than are remembered
	together(8, func(w int) {
		for i := range n / 8 {
			id := "made up " + string(rune('a'+w)) + time.Duration(i).String()
			if _, err := r.client.GetAccessToken(context.Background(), tokenward.TokenRequest{}, tokenward.SessionID(id)); tokenward.CodeOf(err) != "missing_refresh_token" {
				t.Errorf("err = %v", err)
				return
			}
		}
	})
	r.want("loads", r.store.Loads(), n)
	r.want("resident", int(r.client.Stats().Resident), 0)
	r.clock.Advance(time.Minute)
	r.settle()
	id := r.login()
	r.token(id, tokenward.TokenRequest{})
}

// What no secret opens is no session, and is left alone.
func TestLoad_ofWhatCannotBeRead(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		other := r.cfg
		r.cfg.Secrets = []string{"another secret of thirty-two bytes or more"}
		r.client = r.newClient()
		r.wantCode("caller", r.tokenErr(id, tokenward.TokenRequest{}), "missing_refresh_token")
		if u, err := r.client.GetUser(context.Background(), tokenward.SessionID(id)); u != nil || err != nil {
			t.Errorf("GetUser = %v, %v, want nil, nil", u, err)
		}
		r.want("unreadable", int(r.client.Stats().Unreadable), 1)
		r.want("deletes", r.store.Ends(), 0)
		r.cfg = other
		r.client = r.newClient()
		r.token(id, tokenward.TokenRequest{})
	})
}
