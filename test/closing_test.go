package test_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// closeIn closes the client in the background.
func (r *rig) closeIn(ctx context.Context) chan error {
	done := make(chan error, 1)
	go func() { done <- r.client.Close(ctx) }()
	return done
}

// P12: requests on the wire complete and are saved, queued callers get ErrClosed, and from then on
// every call does.
func TestClose_duringFlights(t *testing.T) {
	for name, p := range points {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				id, cached := r.login(), r.login()
				r.expire()
				before := r.refreshToken(id)
				r.token(cached, tokenward.TokenRequest{})
				handle := r.client.Session(cached)
				if _, err := handle.GetAccessToken(context.Background(), tokenward.TokenRequest{}); err != nil {
					t.Fatal(err)
				}
				hold := r.tenant.Hold(idptest.Refresh, p)
				flying := r.askAll(5, id, tokenward.TokenRequest{})
				r.rest()
				queued := r.ask(context.Background(), id, tokenward.TokenRequest{Audience: audience(1)})
				r.rest()
				done := r.closeIn(context.Background())
				r.rest()

				_, err := queued.wait()
				r.wantCode("queued", err, "closed")
				for what, err := range map[string]error{
					"a new call":                 r.tokenErr(id, tokenward.TokenRequest{}),
					"a hit":                      r.tokenErr(cached, tokenward.TokenRequest{}),
					"an unknown session":         r.tokenErr("unknown", tokenward.TokenRequest{}),
					"no session":                 r.tokenErr("", tokenward.TokenRequest{}),
					"a hit of a handle":          second(handle.GetAccessToken(context.Background(), tokenward.TokenRequest{})),
					"a connection of no session": second(r.client.GetAccessTokenForConnection(context.Background(), tokenward.ConnectionRequest{Connection: "c"}, tokenward.SessionID(""))),
					"a connection":               second(r.client.GetAccessTokenForConnection(context.Background(), tokenward.ConnectionRequest{Connection: "c"}, tokenward.SessionID(id))),
					"GetUser":                    second(r.client.GetUser(context.Background(), tokenward.SessionID(cached))),
					"GetSession":                 second(r.client.GetSession(context.Background(), tokenward.SessionID(id))),
					"Logout":                     second(r.client.Logout(context.Background(), tokenward.LogoutRequest{}, tokenward.SessionID(id))),
					"StartInteractiveLogin":      second(r.client.StartInteractiveLogin(context.Background(), tokenward.LoginRequest{}, tokenward.StoreOptions{})),
					"Ready":                      r.client.Ready(context.Background()),
				} {
					if !errors.Is(err, tokenward.ErrClosed) {
						t.Errorf("%s while closing: err = %v, want %v", what, err, tokenward.ErrClosed)
					}
				}
				select {
				case err := <-done:
					t.Fatalf("Close came back before the flight was complete: %v", err)
				default:
				}
				hold.Release()
				for i, c := range flying {
					if _, err := c.wait(); err != nil {
						t.Errorf("caller %d: %v", i, err)
					}
				}
				if err := <-done; err != nil {
					t.Errorf("Close: %v", err)
				}
				if r.refreshToken(id) == before {
					t.Error("the rotated refresh token was not saved")
				}
				if err := r.client.Close(context.Background()); err != nil {
					t.Errorf("Close again: %v", err)
				}
				r.wantCode("afterwards", r.tokenErr(id, tokenward.TokenRequest{}), "closed")
				r.client = r.newClient()
				r.wantLiving(id)
			})
		})
	}
}

func second[T any](_ T, err error) error { return err }

// A save that waits for its next try is tried at once.
func TestClose_savesWhatIsUnsaved(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		before := r.refreshToken(id)
		r.store.Fail(storetest.OpUpdate, 1)
		r.token(id, tokenward.TokenRequest{})
		r.rest()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := r.client.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		if r.refreshToken(id) == before {
			t.Error("the rotated refresh token was not saved")
		}
	})
}

// When the context ends first, Close says by hash what the store does not have.
func TestClose_cutShortNamesWhatIsUnsaved(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.client = mustNew(t, r)
		unsaved, flying, fine := r.login(), r.login(), r.login()
		r.expire()
		r.token(fine, tokenward.TokenRequest{})
		r.store.Inject(storetest.Fault{Op: storetest.OpUpdate, Key: key(unsaved), Err: storetest.ErrFault})
		r.token(unsaved, tokenward.TokenRequest{})
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		callers := r.askAll(3, flying, tokenward.TokenRequest{})
		r.rest()
		ctx, cancel := context.WithCancel(context.Background())
		done := r.closeIn(ctx)
		r.rest()
		cancel()
		err := <-done
		var cut *tokenward.CloseError
		if !errors.As(err, &cut) || !errors.Is(err, context.Canceled) {
			t.Fatalf("Close: err = %v (%T), want a CloseError because of %v", err, err, context.Canceled)
		}
		// A request that was cut off on the wire may have rotated its refresh token.
		if len(cut.Unsaved) != 2 || !slices.Contains(cut.Unsaved, key(unsaved)) || !slices.Contains(cut.Unsaved, key(flying)) {
			t.Errorf("unsaved = %v, want %v and %v", cut.Unsaved, key(unsaved), key(flying))
		}
		for _, c := range callers {
			_, err := c.wait()
			r.wantCode("a caller whose request was cut off", err, "closed")
		}
		if again := r.client.Close(context.Background()); again != err { //nolint:errorlint // the very same
			t.Errorf("Close again: %v, want the same", again)
		}
		hold.Release()
	})
}

// mustNew returns a client that the test closes itself, with an error.
func mustNew(t *testing.T, r *rig) *tokenward.Client {
	t.Helper()
	c, err := tokenward.New(r.cfg, tokenward.WithLogger(zap.NewNop()), tokenward.WithClock(r.clock), tokenward.WithStateStore(r.store), tokenward.WithHTTPClient(r.tenant.Client()))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// P5: whatever a caller waits for when the client closes, it is answered.
func TestClose_leavesNobodyWaiting(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		ids := make([]string, 3)
		for i := range ids {
			ids[i] = r.login()
		}
		asleep := r.login()
		r.expire()
		for _, id := range ids {
			r.inMemory(id)
		}
		gate := r.store.Hold(storetest.OpLoad)
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		var callers []*caller
		for _, id := range ids { // one flies, two wait for their turn
			callers = append(callers, r.askAll(3, id, tokenward.TokenRequest{})...)
			r.rest()
		}
		callers = append(callers, r.askAll(3, asleep, tokenward.TokenRequest{})...)
		r.rest()
		done := r.closeIn(context.Background())
		r.rest()
		hold.Release()
		gate.Release()
		if err := <-done; err != nil {
			t.Errorf("Close: %v", err)
		}
		for i, c := range callers {
			_, err := c.wait()
			if i < 3 && err != nil {
				t.Errorf("caller %d, on the wire: %v", i, err)
			}
			if i >= 3 {
				r.wantCode("a caller who waits", err, "closed")
			}
		}
		r.want("requests", r.tenant.Refreshes(), 1)
	}, withLimits(tokenward.Limits{ProviderRequests: 1}))
}

// A login or logout under way when the client closes is finished or refused.
func TestClose_duringALogin(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		old := r.login()
		gate := r.store.Hold(storetest.OpReplace)
		deletes := r.store.Hold(storetest.OpEnd)
		login := make(chan error, 1)
		go func() {
			_, err := r.tryLogin(tokenward.SessionID("new"))
			login <- err
		}()
		gate.Arrived(t, 1)
		logout := r.logout(old)
		deletes.Arrived(t, 1)
		done := r.closeIn(context.Background())
		r.rest()
		gate.Release()
		deletes.Release()
		if err := <-login; err != nil {
			t.Errorf("login: %v", err)
		}
		if err := <-logout; err != nil {
			t.Errorf("Logout: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("Close: %v", err)
		}
		r.wantGone(old)
		if _, err := r.stored("new"); err != nil {
			t.Errorf("the login's record: %v", err)
		}
	})
}

// A host's actor system is the host's: it goes on.
func TestClose_leavesTheHostsActorSystemAlone(t *testing.T) {
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
	defer system.Shutdown()
	r := newRig(t, withClient(tokenward.WithActorSystem(system)))
	id := r.login()
	r.expire()
	r.token(id, tokenward.TokenRequest{})
	if err := r.client.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if system.IsStopped() {
		t.Error("the host's system was stopped")
	}
	done := make(chan struct{})
	pid := system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(string); ok {
			close(done)
		}
	}))
	system.Root.Send(pid, "still there?")
	<-done
	r.client = r.newClient(tokenward.WithActorSystem(system)) // and may have another client
	r.wantLiving(id)
}

// Close on an unused client, and twice at once.
func TestClose_twiceAtOnce(t *testing.T) {
	r := newRig(t)
	together(10, func(int) {
		if err := r.client.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// With a context that has ended already nothing is waited for.
func TestClose_atOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.client = mustNew(t, r)
		id := r.login()
		r.expire()
		hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		c := r.ask(context.Background(), id, tokenward.TokenRequest{})
		r.rest()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := r.client.Close(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Close: err = %v, want %v", err, context.Canceled)
		}
		if _, err := c.wait(); err == nil {
			t.Error("the caller was answered with a token that nobody has")
		}
		hold.Release()
	})
}

// lentTo notes whether the request that a call lends is in use.
type lentTo struct {
	store.StateStore
	entered, finish chan struct{}
	inUse           atomic.Bool
}

func (l *lentTo) Unwrap() store.StateStore { return l.StateStore }

func (l *lentTo) Replace(ctx context.Context, _ session.Key, _ store.Record, o store.Options) error {
	l.inUse.Store(o.Request != nil)
	close(l.entered)
	<-ctx.Done()
	<-l.finish // rolls back, say
	l.inUse.Store(false)
	return ctx.Err()
}

// What a call lent to the store is not used any more once it has returned, though closing was cut short.
func TestClose_cutShortWaitsForWhatIsLent(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		l := &lentTo{StateStore: r.memory, entered: make(chan struct{}), finish: make(chan struct{})}
		var err error
		r.client, err = tokenward.New(r.cfg, tokenward.WithLogger(zap.NewNop()), tokenward.WithClock(r.clock), tokenward.WithStateStore(l), tokenward.WithHTTPClient(r.tenant.Client()))
		if err != nil {
			t.Fatal(err)
		}
		first := httptest.NewRecorder()
		to, err := r.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, tokenward.HTTP(first, httptest.NewRequest(http.MethodGet, "/", nil)))
		if err != nil {
			t.Fatal(err)
		}
		back, err := r.tenant.Authorize(to)
		if err != nil {
			t.Fatal(err)
		}
		req := httptest.NewRequest(http.MethodGet, "/callback", nil)
		for _, c := range first.Result().Cookies() {
			req.AddCookie(c)
		}
		login := make(chan error, 1)
		go func() {
			_, err := r.client.CompleteInteractiveLogin(context.Background(), back, tokenward.HTTP(httptest.NewRecorder(), req))
			login <- err
		}()
		<-l.entered
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		closed := r.closeIn(ctx)
		synctest.Wait()
		if len(login) > 0 {
			t.Errorf("the call returned, and the request is in use: %v", l.inUse.Load())
		}
		r.clock.Advance(time.Second)
		synctest.Wait()
		var cut *tokenward.CloseError
		select {
		case err := <-closed:
			if !errors.As(err, &cut) {
				t.Errorf("Close: %v, want a CloseError", err)
			}
		default:
			t.Error("Close waits for a store that does not heed its context")
		}
		close(l.finish)
		if err := <-login; !errors.Is(err, session.ErrClosed) {
			t.Errorf("the login: %v, want closed", err)
		}
	})
}
