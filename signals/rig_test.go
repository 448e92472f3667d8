package signals_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/signals"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const (
	ada, bob     = idptest.Subject, "auth0|bob"
	adaMail      = "ada@example.com"
	logoutURL    = "https://app.example/global-token-revocation"
	pushURL      = "https://app.example/events"
	pushPassword = "Bearer the-password-of-pushes"
)

// rig is a client, its provider, which is the transmitter too, and what ends sessions from outside.
type rig struct {
	t        testing.TB
	alg      string
	clock    *clock.Fake
	tenant   *idptest.Tenant
	memory   *store.Memory
	store    *storetest.Faulty
	client   *tokenward.Client
	receiver *signals.Receiver
	logout   *signals.Logout
	log      *lockedBuffer
	ids      map[string]string // sessions by name, which is their sid

	mu     sync.Mutex
	events []signals.Event
}

// lockedBuffer holds the log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newRig(t testing.TB, edit ...func(*signals.Config)) *rig {
	t.Helper()
	return newRigWith(t, "RS256", edit...)
}

// newRigWith has the provider sign with alg: ES256 takes a fraction of the time.
func newRigWith(t testing.TB, alg string, edit ...func(*signals.Config)) *rig {
	t.Helper()
	return newRigOn(t, alg, nil, edit...)
}

func newRigOn(t testing.TB, alg string, memory []store.MemoryOption, edit ...func(*signals.Config)) *rig {
	t.Helper()
	r := &rig{t: t, alg: alg, clock: clock.NewFake(t0), log: &lockedBuffer{}, ids: map[string]string{}}
	profile := idptest.Profiles()[slices.IndexFunc(idptest.Profiles(), func(p idptest.Profile) bool { return p.Name == "auth0" })]
	profile.Keys.Alg, profile.Metadata.IDTokenAlgs = alg, []string{alg}
	r.tenant = idptest.NewTenant(t, idptest.WithProfile(profile), idptest.WithClient(idptest.ClientID, idptest.ClientSecret),
		idptest.WithClock(r.clock), idptest.InProcess())
	r.tenant.SetUser(bob, nil)
	r.memory = store.NewMemory(r.clock, memory...)
	r.store = storetest.NewFaulty(r.memory)
	r.client = r.newClient()
	r.receiver = r.newReceiver(r.client, edit...)
	var err error
	r.logout, err = signals.NewLogout(r.client, signals.LogoutConfig{
		Audience: logoutURL, Callers: []signals.Caller{{Issuer: "https://other.example/"}, {Issuer: r.tenant.Issuer()}},
		Resolve: resolve(r.tenant.Issuer()), HTTPClient: r.tenant.Client(), Clock: r.clock, Logger: r.logger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.logout.Close)
	return r
}

func (r *rig) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (r *rig) newClient() *tokenward.Client {
	r.t.Helper()
	c, err := tokenward.New(tokenward.Config{
		Issuer: r.tenant.Issuer(), ClientID: idptest.ClientID, ClientSecret: idptest.ClientSecret,
		Secrets: []string{"a secret of at least thirty-two bytes"}, RedirectURI: "http://127.0.0.1/callback",
	}, tokenward.WithClock(r.clock), tokenward.WithStateStore(r.store), tokenward.WithHTTPClient(r.tenant.Client()),
		tokenward.WithSlog(r.logger()), tokenward.WithProvider(tokenward.ProviderConfig{Algorithms: []string{r.alg}}))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = c.Close(ctx)
	})
	return c
}

func (r *rig) newReceiver(c *tokenward.Client, edit ...func(*signals.Config)) *signals.Receiver {
	r.t.Helper()
	cfg := signals.Config{
		Issuer: r.tenant.Issuer(), Audience: idptest.EventAudience, Algorithms: []string{r.alg}, PushAuthorization: pushPassword,
		Resolve: resolve(r.tenant.Issuer()), Tell: r.tell, HTTPClient: r.tenant.Client(), Clock: r.clock, Logger: r.logger(),
	}
	for _, f := range edit {
		f(&cfg)
	}
	receiver, err := signals.NewReceiver(c, cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(receiver.Close)
	return receiver
}

// resolve knows the opaque id of ada.
func resolve(issuer string) signals.Resolve {
	return func(_ context.Context, s signals.Subject) ([]tokenward.EndRequest, error) {
		switch {
		case s.Format != signals.FormatOpaque:
			return nil, nil
		case s.ID == "ada's id":
			return []tokenward.EndRequest{{Issuer: issuer, Subject: ada}}, nil
		case s.ID == "out of order":
			return nil, fmt.Errorf("the directory is away")
		}
		return nil, signals.ErrUnknownSubject
	}
}

func (r *rig) tell(_ context.Context, e signals.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	return nil
}

// login signs a user in: name is the session's, and its sid.
func (r *rig) login(sub, name string, more ...idptest.Claims) {
	r.t.Helper()
	to, err := r.client.StartInteractiveLogin(r.t.Context(), tokenward.LoginRequest{}, tokenward.StoreOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	claims := idptest.Claims{"sub": sub, "sid": name, "email": adaMail, "email_verified": true}
	if sub != ada {
		claims["email"] = "bob@example.com"
	}
	back, err := r.tenant.Authorize(to, append([]idptest.Claims{claims}, more...)...)
	if err != nil {
		r.t.Fatal(err)
	}
	done, err := r.client.CompleteInteractiveLogin(r.t.Context(), back, tokenward.StoreOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	r.ids[name] = done.SessionID
}

// living returns the names of the sessions that live, by what callers see and what the store has.
func (r *rig) living() []string {
	r.t.Helper()
	names := []string{}
	for name, id := range r.ids {
		u, err := r.client.GetUser(r.t.Context(), tokenward.SessionID(id))
		if err != nil {
			r.t.Fatal(err)
		}
		if u != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// serve answers a request to a handler.
func serve(h http.Handler, method, kind, authorization, body string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, "/", strings.NewReader(body))
	req.Header.Set("Content-Type", kind)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

func (r *rig) push(token string) int {
	return r.answer(serve(r.receiver.Push(), http.MethodPost, "application/secevent+jwt", pushPassword, token))
}

func (r *rig) call(token, body string) int {
	return r.answer(serve(r.logout, http.MethodPost, "application/json", "Bearer "+token, body))
}

// answer returns the status of an answer. Its body must show no more than the log may.
func (r *rig) answer(w *httptest.ResponseRecorder) int {
	_, _ = r.log.Write(w.Body.Bytes())
	return w.Code
}

// restart puts a new client, which has no session in memory, in the place of the old one.
func (r *rig) restart() {
	r.t.Helper()
	if err := r.client.Close(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	r.client = r.newClient()
	r.receiver = r.newReceiver(r.client)
	logout, err := signals.NewLogout(r.client, signals.LogoutConfig{
		Audience: logoutURL, Callers: []signals.Caller{{Issuer: "https://other.example/"}, {Issuer: r.tenant.Issuer()}},
		Resolve: resolve(r.tenant.Issuer()), HTTPClient: r.tenant.Client(), Clock: r.clock, Logger: r.logger(),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(logout.Close)
	r.logout = logout
}

// wantNoSecrets looks for tokens and for whom they name in the log.
func (r *rig) wantNoSecrets() {
	r.t.Helper()
	said := r.log.String()
	for _, word := range []string{ada, bob, adaMail, "ada's id", "laptop", "Bearer ", "eyJhbGci", "out of order"} {
		if strings.Contains(said, word) {
			r.t.Errorf("the log quotes %q:\n%s", word, said)
		}
	}
}

// wantNoTokens looks for tokens in the log.
func (r *rig) wantNoTokens() {
	r.t.Helper()
	if strings.Contains(r.log.String(), "eyJhbGci") {
		r.t.Errorf("the log quotes a token:\n%s", r.log)
	}
}
