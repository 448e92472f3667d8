package test_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// canaries are the secrets of one test.
type canaries struct {
	mu      sync.Mutex
	all     map[string]string // what it is, by the secret
	checked map[string]bool   // errors, by type and text
}

func (c *canaries) add(what string, secrets ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = make(map[string]string)
	}
	for _, s := range secrets {
		if len(s) < 8 {
			continue
		}
		for _, form := range []string{
			s, url.QueryEscape(s), url.PathEscape(s), hex.EncodeToString([]byte(s)),
			base64.StdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s)),
		} {
			c.all[form] = what
		}
	}
}

// in names the secrets in text.
func (c *canaries) in(text string) (found []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for form, what := range c.all {
		if strings.Contains(text, form) {
			found = append(found, what)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// seen reports whether it was asked for name before.
func (c *canaries) seen(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.checked == nil {
		c.checked = make(map[string]bool)
	}
	before := c.checked[name]
	c.checked[name] = true
	return before
}

// check prints err, and whatever it wraps, in every way.
func (c *canaries) check(t *testing.T, where string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if c.seen(fmt.Sprintf("%T %v", err, err)) {
		return
	}
	if found := c.in(everyPrint(err)); len(found) > 0 {
		t.Errorf("%s: %T shows %v: %+v", where, err, found, err)
	}
	switch e := err.(type) { //nolint:errorlint // this is the unwrapping
	case interface{ Unwrap() error }:
		c.check(t, where, e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			c.check(t, where, inner)
		}
	}
}

// parrot is a provider, or a network, that says back what it was told.
type parrot struct {
	canaries
	inner http.RoundTripper
	mu    sync.Mutex
	say   func(req *http.Request, heard string) (*http.Response, error) // nil: nothing of its own
}

func (p *parrot) set(say func(*http.Request, string) (*http.Response, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.say = say
}

// RoundTrip implements http.RoundTripper.
func (p *parrot) RoundTrip(req *http.Request) (*http.Response, error) {
	p.mu.Lock()
	say := p.say
	p.mu.Unlock()
	if req.Method != http.MethodPost {
		return p.inner.RoundTrip(req)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"code", "code_verifier", "refresh_token", "subject_token", "actor_token", "assertion", "client_secret", "token"} {
		p.add(name, form.Get(name))
	}
	basic := req.Header.Get("Authorization")
	p.add("Authorization", strings.TrimPrefix(basic, "Basic "))
	if say != nil {
		heard := []string{basic, form.Encode()}
		for _, values := range form {
			heard = append(heard, values...)
		}
		return say(req, strings.Join(heard, " "))
	}
	req = req.Clone(req.Context())
	req.Body = io.NopCloser(bytes.NewReader(body))
	resp, err := p.inner.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	var tokens struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
		IDToken      string `json:"id_token"`
	}
	if json.Unmarshal(answer, &tokens) == nil {
		p.add("token of an answer", tokens.AccessToken, tokens.RefreshToken, tokens.IDToken)
	}
	return resp, nil
}

const (
	newToken   = "a-new-token-that-nobody-has-seen"
	actorToken = "a-token-of-the-one-who-acts"
	givenToken = "a-token-that-the-host-was-given"
)

func answering(status int, body func(heard string) any) func(*http.Request, string) (*http.Response, error) {
	return func(req *http.Request, heard string) (*http.Response, error) {
		b, err := json.Marshal(body(heard))
		if err != nil {
			return nil, err
		}
		header := http.Header{"Content-Type": {"application/json"}, "Location": {"https://evil.example/?" + url.QueryEscape(heard)}}
		return &http.Response{StatusCode: status, Status: heard, Header: header, Body: io.NopCloser(bytes.NewReader(b)), Request: req}, nil
	}
}

type echoError struct{ Heard string }

func (e *echoError) Error() string { return e.Heard }

// parrots are the ways in which a provider or transport says things back.
var parrots = map[string]func(*http.Request, string) (*http.Response, error){
	"nothing":     nil,
	"refusal":     answering(400, func(heard string) any { return map[string]any{"error": heard, "error_description": heard} }),
	"description": answering(403, func(heard string) any { return map[string]any{"error": "invalid_grant", "error_description": heard} }),
	"second factor": answering(403, func(heard string) any {
		return map[string]any{"error": "mfa_required", "mfa_token": newToken, "error_description": newToken + heard}
	}),
	"success without a token": answering(200, func(heard string) any {
		return map[string]any{"error_description": newToken + heard, "refresh_token": newToken}
	}),
	"success with a bad ID token": answering(200, func(heard string) any {
		return map[string]any{"access_token": newToken, "refresh_token": newToken, "id_token": newToken + "." + newToken + "." + heard}
	}),
	"text":     answering(502, func(heard string) any { return heard }),
	"redirect": answering(307, func(heard string) any { return heard }),
	"transport error": func(_ *http.Request, heard string) (*http.Response, error) {
		return nil, fmt.Errorf("malformed answer %q: %w", newToken, &echoError{heard})
	},
	"URL error": func(req *http.Request, heard string) (*http.Response, error) {
		return nil, &url.Error{Op: "Post", URL: req.URL.String() + "?" + heard, Err: &echoError{heard}}
	},
	"panic":            func(_ *http.Request, heard string) (*http.Response, error) { panic(heard) },
	"panic with error": func(_ *http.Request, heard string) (*http.Response, error) { panic(&echoError{heard}) },
}

// chatty is a store that says what it was given, in errors or panics.
type chatty struct {
	store.StateStore
	mu     sync.Mutex
	panics bool
	talks  bool
}

func (s *chatty) set(talks, panics bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.talks, s.panics = talks, panics
}

func (s *chatty) say(heard ...any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.talks && s.panics:
		panic(&echoError{fmt.Sprintf("%s %+v", heard, heard)})
	case s.talks:
		return &echoError{fmt.Sprintf("%s %+v", heard, heard)}
	}
	return nil
}

// Load implements store.StateStore.
func (s *chatty) Load(ctx context.Context, k session.Key, o store.Options) (store.Record, error) {
	r, err := s.StateStore.Load(ctx, k, o)
	if said := s.say(k, r, o.Values); said != nil {
		return store.Record{}, said
	}
	return r, err
}

// Replace implements store.StateStore.
func (s *chatty) Replace(ctx context.Context, k session.Key, r store.Record, o store.Options) error {
	return errors.Join(s.say(k, r), s.StateStore.Replace(ctx, k, r, o))
}

// Update implements store.StateStore.
func (s *chatty) Update(ctx context.Context, k session.Key, v session.Version, r store.Record, o store.Options) error {
	return errors.Join(s.say(k, r), s.StateStore.Update(ctx, k, v, r, o))
}

// End implements store.StateStore.
func (s *chatty) End(ctx context.Context, k session.Key, only session.Incarnation, e store.Ending, o store.Options) error {
	return errors.Join(s.say(k), s.StateStore.End(ctx, k, only, e, o))
}

// P10: all operations, in all failures, by a provider, a network and a store that tell
// everything they know. No error and no line of the log has a secret.
func TestCanary_noErrorShowsASecret(t *testing.T) {
	for name, say := range parrots {
		t.Run(name, func(t *testing.T) { everything(t, say) })
	}
}

func everything(t *testing.T, say func(*http.Request, string) (*http.Response, error)) {
	p, talk, saves := &parrot{}, &chatty{}, &saveErrors{}
	p.add("new token", newToken, actorToken, givenToken)
	r := newRig(t, withConfig(func(c *tokenward.Config) {
		c.ClientSecret, c.Secrets = "the-client's secret+of/many=signs", []string{secret, otherSecret}
		c.ClientAuth = tokenward.ClientSecretPost // which the provider can quote in clear; package idp tests both
	}), withTenant(idptest.WithClient("demo", "the-client's secret+of/many=signs")))
	p.inner, talk.StateStore = r.tenant.Transport(), r.store
	p.add("secret", append(r.cfg.Secrets, r.cfg.ClientSecret)...)
	r.client = r.newClientToCut(tokenward.WithHTTPClient(&http.Client{Transport: p}), tokenward.WithStateStore(talk), tokenward.WithRevocation(),
		withProvider(tokenward.ProviderConfig{Nonce: tokenward.Always}), tokenward.WithHooks(tokenward.Hooks{SaveFailed: saves.add}))
	ctx := t.Context()
	check := func(where string, err error) {
		t.Helper()
		p.check(t, where, err)
		if err != nil {
			if leaks := r.tenant.SecretsIn(fmt.Sprintf("%+v", err)); leaks != nil {
				t.Errorf("%s shows %v: %v", where, leaks, err)
			}
		}
	}
	ids := []string{r.login(), r.login(), r.login(), r.login()} // each meets the store in another mood
	p.add("session id", ids...)
	r.clock.Advance(idptest.TokenLife)
	back := r.callback(tokenward.LoginRequest{})
	for _, q := range []string{back + "%zz", "%zz" + back, "\x7f" + back, with(back, "iss", back), with(back, "state", "unknown"), back} {
		if q == back {
			p.set(say)
		}
		u, err := url.Parse(q)
		if err == nil {
			p.add("code", u.Query().Get("code"))
		}
		_, err = r.complete(q)
		check("callback", err)
	}
	pushed := true
	_, err := r.client.StartInteractiveLogin(ctx, tokenward.LoginRequest{Pushed: &pushed, AppState: func() {}}, tokenward.StoreOptions{})
	check("app state", err)
	_, err = r.client.StartInteractiveLogin(ctx, tokenward.LoginRequest{Pushed: &pushed}, tokenward.StoreOptions{})
	check("pushed", err)
	for i, storing := range []struct{ talks, panics bool }{{false, false}, {true, false}, {true, true}} {
		talk.set(storing.talks, storing.panics)
		for _, id := range ids[i : i+2] {
			o := tokenward.SessionID(id)
			_, err = r.client.GetAccessToken(ctx, tokenward.TokenRequest{Audience: fmt.Sprint("https://api", i)}, o)
			check("GetAccessToken", err)
			_, err = r.client.GetAccessTokenForConnection(ctx, tokenward.ConnectionRequest{Connection: google}, o)
			check("GetAccessTokenForConnection", err)
			_, err = r.client.MachineToken(ctx, tokenward.MachineRequest{Audience: fmt.Sprint("https://api", i)})
			check("MachineToken", err)
			_, err = r.client.ExchangeToken(ctx, tokenward.ExchangeRequest{ActorToken: actorToken, ActorTokenType: "x", Audience: fmt.Sprint(i)}, o)
			check("ExchangeToken", err)
			_, err = r.client.ExchangeToken(ctx, tokenward.ExchangeRequest{SubjectToken: givenToken, Audience: fmt.Sprint(i), OnBehalfOf: i == 1}, tokenward.StoreOptions{})
			check("ExchangeToken of the host's", err)
			_, err = r.client.GetUser(ctx, tokenward.SessionID("unknown"+id))
			check("GetUser", err)
			_, err = r.client.Session(id).TokenSource(ctx, tokenward.TokenRequest{Audience: "https://other"}).Token()
			check("TokenSource", err)
			check("HandleBackchannelLogout", r.backchannel(id+"."+id+"."+id))
			check("HandleBackchannelLogout", r.backchannel(r.tenant.LogoutToken("nobody", "")+"x"))
			check("Ready", r.client.Ready(ctx))
		}
		_, err = r.client.Logout(ctx, tokenward.LogoutRequest{}, tokenward.SessionID(ids[3]))
		check("Logout", err)
		r.settle()
	}
	if len(p.checked) < 12 {
		t.Errorf("only %d different errors", len(p.checked))
	}
	now, cancel := context.WithCancel(ctx)
	cancel()
	check("Close", r.client.Close(now))
	_, err = r.client.GetAccessToken(ctx, tokenward.TokenRequest{}, tokenward.SessionID(ids[0]))
	check("closed", err)
	for _, err := range saves.all() {
		check("SaveFailed", err)
	}
	if found := p.in(r.log.text.String()); len(found) > 0 {
		t.Errorf("the log shows %v", found)
	}
}

// newClientToCut returns one more client, which the test closes itself.
func (r *rig) newClientToCut(opts ...tokenward.Option) *tokenward.Client {
	r.t.Helper()
	c, err := tokenward.New(r.cfg, append([]tokenward.Option{tokenward.WithClock(r.clock), tokenward.WithLogger(r.log.logger())}, opts...)...)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// A transport that panics fails the call and nothing else, also where the caller itself
// is the one who sends.
func TestTransport_thatPanics(t *testing.T) {
	r := newRig(t)
	p := &parrot{inner: r.tenant.Transport()}
	r.client = r.newClient(tokenward.WithHTTPClient(&http.Client{Transport: p}), withProvider(tokenward.ProviderConfig{PushedAuthorization: true}))
	to := r.start(tokenward.LoginRequest{}, tokenward.StoreOptions{})
	back, err := r.tenant.Authorize(to)
	if err != nil {
		t.Fatal(err)
	}
	p.set(parrots["panic"])
	if _, err := r.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, tokenward.StoreOptions{}); err == nil {
		t.Error("pushed authorization: no error")
	}
	if _, err := r.complete(back); tokenward.CodeOf(err) != "token_error" {
		t.Errorf("code exchange: %v, want token_error", err)
	}
	p.set(nil)
	r.login()
}

// A host's own actor system may log all it likes: dead letters and events show nothing.
func TestCanary_inAHostsActorSystem(t *testing.T) {
	log := &syncBuffer{}
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}), actor.WithDeadLetterThrottleCount(0), actor.WithDeadLetterRequestLogging(true), actor.WithDeveloperSupervisionLogging(true))
	defer system.Shutdown()
	var letters atomic.Int64
	events := &syncBuffer{}
	sub := system.EventStream.Subscribe(func(event any) {
		if e, ok := event.(*actor.DeadLetterEvent); ok {
			letters.Add(1)
			_, _ = io.WriteString(events, everyPrint(e)+everyPrint(e.Message))
		}
	})
	defer system.EventStream.Unsubscribe(sub)

	dead := system.Root.Spawn(actor.PropsFromFunc(func(actor.Context) {}))
	if err := system.Root.StopFuture(dead).Wait(); err != nil {
		t.Fatal(err)
	}
	sent := 0
	for _, s := range shows {
		v := reflect.New(s.of)
		if _, ours := v.Interface().(interface{ IgnoreDeadLetterLogging() }); !ours {
			continue
		}
		fill(v.Elem(), s.of.Name(), 0)
		system.Root.Send(dead, v.Interface())
		sent++
	}
	system.Root.Send(dead, &messages.NeedToken{Flight: directory.NewFlight(nil, store.Options{})})
	if sent < 15 || int(letters.Load()) < sent {
		t.Errorf("%d messages sent, %d dead letters", sent, letters.Load())
	}
	if found := planted(log.String() + events.String()); len(found) > 0 {
		t.Errorf("dead letters show %v", found)
	}

	// A client whose requests are answered when its actors are no more.
	r := newRig(t)
	defect := &trap{Clock: r.clock}
	r.client = r.newClientToCut(tokenward.WithClock(defect), tokenward.WithActorSystem(system), tokenward.WithHTTPClient(r.tenant.Client()), tokenward.WithStateStore(r.store))
	id := r.login(until(idptest.TokenLife + idptest.TokenLife))
	r.clock.Advance(idptest.TokenLife)
	r.settle() // what the advance set going shall not meet the defect
	defect.armed.Store(1)
	r.wantCode("a defect", r.tokenErr(id, tokenward.TokenRequest{}), "internal_error")
	r.settle()
	hold := r.tenant.Hold(idptest.Spend, idptest.AfterGrant)
	done := make(chan error, 2)
	go func() {
		_, err := r.client.GetAccessToken(context.Background(), tokenward.TokenRequest{}, tokenward.SessionID(id))
		done <- err
	}()
	go func() {
		_, err := r.client.GetAccessTokenForConnection(context.Background(), tokenward.ConnectionRequest{Connection: google}, tokenward.SessionID(id))
		done <- err
	}()
	if err := hold.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	r.store.Down()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = r.client.Close(now)
	hold.Release()
	for range 2 {
		if err := <-done; err == nil {
			t.Error("a call was answered although the client was cut off")
		}
	}
	r.store.Heal()
	text := log.String() + events.String()
	if found := r.tenant.SecretsIn(text); len(found) > 0 || randomIn(log.String()) != "" || strings.Contains(text, id) {
		t.Errorf("the host's log shows %q", found)
	}
}

// A defect of a store, whatever its value says.
func TestCanary_panicOfAStore(t *testing.T) {
	r := newRig(t)
	p := &panicky{StateStore: r.store}
	r.client = r.newClient(tokenward.WithStateStore(p))
	id := r.login()
	for _, op := range []storetest.Op{storetest.OpUpdate, storetest.OpEnd, storetest.OpReplace, storetest.OpLoad} {
		p.on(op)
		_, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{Audience: "https://" + string(op)}, tokenward.SessionID(id))
		if err != nil && strings.Contains(everyPrint(err), "a defect of the store") {
			t.Errorf("%s: the panic's value is shown: %v", op, err)
		}
		_, err = r.client.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID(id+string(op)))
		if err != nil && strings.Contains(everyPrint(err), "a defect of the store") {
			t.Errorf("%s: the panic's value is shown: %v", op, err)
		}
		r.settle()
	}
	p.on("")
	if strings.Contains(r.log.text.String(), "a defect of the store") {
		t.Error("the log shows the value of a panic")
	}
}
