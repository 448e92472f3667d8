package test_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// An actor system of the host's stays up when the client closes, and serves the next.
func TestOptions_actorSystem(t *testing.T) {
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
	defer system.Shutdown()
	r := newRig(t, withClient(tokenward.WithActorSystem(system)))
	id := r.login()
	r.restart(tokenward.WithActorSystem(system))
	if !r.lives(id) {
		t.Error("the second client in that system does not serve")
	}
	pid := system.Root.Spawn(actor.PropsFromFunc(func(actor.Context) {}))
	closeClient(t, r.client)
	if system.IsStopped() {
		t.Error("the host's system was shut down")
	}
	system.Root.Stop(pid)
}

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) Sync() error { return nil }

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// What goes wrong is logged, at the most talkative level, without a secret or a session id.
func TestOptions_logger(t *testing.T) {
	log := &syncBuffer{}
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewDevelopmentEncoderConfig()), log, zap.DebugLevel)
	r := newRig(t, withClient(tokenward.WithLogger(zap.New(core))))
	id := r.login(until(5 * time.Hour))
	r.store.Fail(storetest.OpUpdate, 1)
	r.token(id, tokenward.TokenRequest{Audience: apiB})
	r.settle()
	r.clock.Advance(time.Second)
	r.settle()
	r.tenant.Script(idptest.Refresh, idptest.Status(500))
	r.wantCode("refresh", r.tokenErr(id, tokenward.TokenRequest{Audience: apiC}), "refresh_token_error")
	r.connection(id, tokenward.ConnectionRequest{Connection: google})
	r.store.Fail(storetest.OpEnd, 1)
	r.advance(5 * time.Hour)
	closeClient(t, r.client)

	text := log.String()
	if !strings.Contains(text, "could not be saved") || !strings.Contains(text, "could not be deleted") {
		t.Errorf("the log does not say what went wrong:\n%s", text)
	}
	if !strings.Contains(text, key(id).String()) {
		t.Error("the log does not say whose session it was")
	}
	if found := r.tenant.SecretsIn(text); len(found) > 0 || strings.Contains(text, id) || strings.Contains(text, secret) {
		t.Errorf("the log shows %v, or the session id", found)
	}
}

// The host's HTTP client is copied: what the host does to it later changes nothing. It
// follows no redirects.
func TestOptions_httpClient(t *testing.T) {
	r := newRig(t)
	h := &http.Client{
		Transport:     r.tenant.Transport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return nil },
	}
	r.restart(tokenward.WithHTTPClient(h))
	h.Transport = nil
	id := r.login()
	r.tenant.Script(idptest.Refresh, idptest.Redirect(http.StatusPermanentRedirect, ""))
	r.wantCode("refresh", r.tokenErr(id, tokenward.TokenRequest{Audience: apiB}), "refresh_token_error")
	if s := r.tenant.Spilled(); len(s) > 0 {
		t.Errorf("a redirect took along %v", s)
	}
}

// Without stores, a client keeps sessions and logins in memory.
func TestOptions_defaultStores(t *testing.T) {
	r := newRig(t)
	c, err := tokenward.New(r.cfg, tokenward.WithLogger(zap.NewNop()), tokenward.WithClock(r.clock), tokenward.WithHTTPClient(r.tenant.Client()))
	if err != nil {
		t.Fatal(err)
	}
	defer closeClient(t, c)
	r.client = c
	id := r.login()
	if !r.lives(id) || r.memory.Len() != 0 {
		t.Errorf("lives %v, in the rig's store %d", r.lives(id), r.memory.Len())
	}
}

func TestOptions_algorithms(t *testing.T) {
	r := newRig(t, withTenant(idptest.WithIDToken(func(d *idptest.Draft) { d.Header["alg"] = "PS256" })), withClient(withProvider(tokenward.ProviderConfig{Algorithms: []string{"PS256"}})))
	r.tenant.Script(idptest.JWKS, idptest.Edit(func(b map[string]any) { // a key for any algorithm
		for _, k := range b["keys"].([]any) {
			delete(k.(map[string]any), "alg")
		}
	}).Always())
	r.login()
	r.tenant.Set(idptest.WithIDToken(func(d *idptest.Draft) { d.Header["alg"] = "RS256" }))
	_, err := r.tryLogin(tokenward.StoreOptions{})
	wantError[*tokenward.APIError](t, "RS256, which is not listed", err, "invalid_token")
}

// Thirty seconds by default, and none where it is negative.
func TestOptions_leeway(t *testing.T) {
	for _, tt := range []struct {
		leeway time.Duration
		exp    time.Duration // from now
		iat    time.Duration
		code   tokenward.Code
	}{
		{-1, time.Second, 0, ""},
		{-1, 0, 0, "token_expired"},
		{-1, time.Hour, time.Second, "invalid_token"},
		{0, -29 * time.Second, 0, ""},
		{0, -31 * time.Second, 0, "token_expired"},
		{2 * time.Minute, -119 * time.Second, 0, ""},
		{2 * time.Minute, -121 * time.Second, 0, "token_expired"},
		{2 * time.Minute, time.Hour, 2 * time.Minute, ""},
		{2 * time.Minute, time.Hour, 121 * time.Second, "invalid_token"},
	} {
		r := newRig(t, withClient(withProvider(tokenward.ProviderConfig{Leeway: tt.leeway})))
		_, err := r.tryLogin(tokenward.StoreOptions{}, idptest.Claims{"exp": t0.Add(tt.exp).Unix(), "iat": t0.Add(tt.iat).Unix()})
		if got := tokenward.CodeOf(err); got != tt.code {
			t.Errorf("leeway %v, exp in %v, iat in %v: %v, want %q", tt.leeway, tt.exp, tt.iat, err, tt.code)
		}
	}
}

// A token is renewed that much before it expires, and served until then.
func TestOptions_refreshBuffer(t *testing.T) {
	r := newRig(t, withClient(tokenward.WithRefreshBuffer(5*time.Minute)))
	id := r.login()
	first := r.token(id, tokenward.TokenRequest{})
	r.clock.Advance(idptest.TokenLife - 5*time.Minute - time.Nanosecond)
	if again := r.token(id, tokenward.TokenRequest{}); again != first {
		t.Error("renewed too early")
	}
	r.clock.Advance(time.Nanosecond)
	if again := r.token(id, tokenward.TokenRequest{}); again == first {
		t.Error("not renewed in time")
	}
	r.want("refreshes", r.tenant.Refreshes(), 1)
}

// A buffer longer than tokens live hands out what it gets all the same.
func TestOptions_refreshBufferLongerThanTokensLive(t *testing.T) {
	r := newRig(t, withClient(tokenward.WithRefreshBuffer(2*idptest.TokenLife)))
	id := r.login()
	r.token(id, tokenward.TokenRequest{})
	r.token(id, tokenward.TokenRequest{})
	r.want("refreshes", r.tenant.Refreshes(), 2)
}

func TestOptions_identifiers(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	old := b.login()
	tx := &recordingTransactions{TransactionStore: store.NewTransactions(r.clock)}
	r.restart(tokenward.WithIdentifiers("sess", "login"), tokenward.WithTransactionStore(tx))
	for name, o := range map[string]tokenward.StoreOptions{"by id": tokenward.SessionID(old), "by cookie": b.options()} {
		if u, err := r.client.GetUser(t.Context(), o); u != nil || err != nil {
			t.Errorf("what was stored under other names, %s: %v, %v", name, u, err)
		}
	}
	var keys []session.Key
	r.store.OnCall(func(c storetest.Call) {
		if c.Op == storetest.OpReplace {
			keys = append(keys, c.Key)
		}
	})
	back, err := r.tenant.Authorize(r.start(tokenward.LoginRequest{}, b.options()))
	if err != nil {
		t.Fatal(err)
	}
	res, err := r.client.CompleteInteractiveLogin(t.Context(), back, b.options())
	if err != nil {
		t.Fatal(err)
	}
	r.store.OnCall(nil)
	if len(keys) != 1 || keys[0] != session.KeyOf("sess", res.SessionID) {
		t.Errorf("stored under %v", keys)
	}
	if !strings.HasPrefix(tx.key, "login:") {
		t.Errorf("transaction under %q", tx.key)
	}
	names := map[string]bool{}
	for _, c := range b.answer.Result().Cookies() {
		names[c.Name] = true
	}
	if !names["sess"] || names["_a0_session"] {
		t.Errorf("cookies = %v", names)
	}
}

// The host is told of each session that could not be saved at the first try.
func TestHooks_saveFailed(t *testing.T) {
	type report struct {
		key session.Key
		err error
	}
	reports := make(chan report, 10)
	r := newRig(t, withClient(tokenward.WithHooks(tokenward.Hooks{SaveFailed: func(_ context.Context, k session.Key, err error) { reports <- report{k, err} }})))
	id := r.login()
	r.store.Fail(storetest.OpUpdate, 3)
	r.token(id, tokenward.TokenRequest{Audience: apiB})
	for range 5 {
		r.settle()
		r.clock.Advance(time.Second)
	}
	r.settle()
	if n := len(reports); n != 1 {
		t.Fatalf("reports = %d, want 1", n)
	}
	if got := <-reports; got.key != key(id) || !errors.Is(got.err, storetest.ErrFault) || errors.Is(got.err, tokenward.ErrStore) {
		t.Errorf("reported %v, %v", got.key, got.err)
	}
	if n := len(r.state(id).TokenSets); n != 2 {
		t.Errorf("token sets = %d, want it saved in the end", n)
	}
	if s := r.client.Stats(); s.SaveErrors != 1 || s.Unsaved != 0 {
		t.Errorf("Stats = %+v", s)
	}
}

// Store work that hangs ends at the deadline, with and without a caller.
func TestOptions_storeTimeout(t *testing.T) {
	fresh := func(t *testing.T) (*rig, *storetest.FaultyTransactions) {
		r := newRig(t)
		tx := storetest.NewFaultyTransactions(store.NewTransactions(r.clock))
		r.restart(tokenward.WithTransactionStore(tx), tokenward.WithLimits(tokenward.Limits{StoreTimeout: 2 * time.Second}))
		return r, tx
	}
	wait := func(t *testing.T, r *rig, s *storetest.Script, op storetest.Op, call func(ctx context.Context) error) {
		t.Helper()
		s.Hang(op, 1)
		arrived := make(chan struct{})
		s.OnCall(func(c storetest.Call) {
			if c.Op == op {
				close(arrived)
			}
		})
		defer s.OnCall(nil)
		done := make(chan error, 1)
		go func() { done <- call(t.Context()) }()
		<-arrived
		r.clock.Advance(2*time.Second - 1)
		select {
		case err := <-done:
			t.Fatalf("%s ended before the deadline: %v", op, err)
		default:
		}
		r.clock.Advance(1)
		if err := <-done; !errors.Is(err, tokenward.ErrStore) {
			t.Errorf("%s: err = %v, want the store's", op, err)
		}
	}
	t.Run("put", func(t *testing.T) {
		r, tx := fresh(t)
		wait(t, r, tx.Script, storetest.OpPut, func(ctx context.Context) error {
			_, err := r.client.StartInteractiveLogin(ctx, tokenward.LoginRequest{}, tokenward.StoreOptions{})
			return err
		})
	})
	for _, op := range []storetest.Op{storetest.OpGet, storetest.OpTake} {
		t.Run(string(op), func(t *testing.T) {
			r, tx := fresh(t)
			back := r.callback(tokenward.LoginRequest{})
			wait(t, r, tx.Script, op, func(ctx context.Context) error {
				_, err := r.client.CompleteInteractiveLogin(ctx, back, tokenward.StoreOptions{})
				return err
			})
		})
	}
	for _, op := range []storetest.Op{storetest.OpFind, storetest.OpLoad, storetest.OpEnd} {
		t.Run("back-channel logout, "+string(op), func(t *testing.T) {
			r, _ := fresh(t)
			r.login(idptest.Claims{"sid": "sid-1"})
			token := r.tenant.LogoutToken("", "sid-1")
			wait(t, r, r.store.Script, op, func(ctx context.Context) error {
				return r.client.HandleBackchannelLogout(ctx, token, tokenward.StoreOptions{})
			})
		})
	}
}

// Short limits: the memory of sessions that ended or never were.
func TestOptions_memories(t *testing.T) {
	r := newRig(t, withClient(tokenward.WithLimits(tokenward.Limits{RememberMissing: 10 * time.Second, PassivateAfter: time.Minute})))
	for range 3 {
		r.wantCode("nobody", r.tokenErr("nobody", tokenward.TokenRequest{}), "missing_refresh_token")
		r.clock.Advance(3 * time.Second)
		r.settle()
	}
	r.want("loads within the time", r.store.Loads(key("nobody")), 1)
	r.clock.Advance(2 * time.Second)
	r.settle()
	r.wantCode("nobody", r.tokenErr("nobody", tokenward.TokenRequest{}), "missing_refresh_token")
	r.want("loads after it", r.store.Loads(key("nobody")), 2)

	id := r.login()
	r.clock.Advance(59 * time.Second)
	r.settle()
	if n := r.client.Stats().Resident; n != 1 {
		t.Errorf("resident before PassivateAfter = %d, want 1", n)
	}
	r.clock.Advance(time.Second)
	r.settle()
	if n := r.client.Stats().Resident; n != 0 {
		t.Errorf("resident after PassivateAfter = %d, want 0", n)
	}
	if !r.lives(id) {
		t.Error("it ended")
	}
}
