package test_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
)

// asking has a caller ask in the background.
func asking(ask func() (tokenward.Token, error)) *caller {
	c := &caller{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.token, c.err = ask()
	}()
	return c
}

func (r *rig) askMachine(ctx context.Context, q tokenward.MachineRequest) *caller {
	return asking(func() (tokenward.Token, error) { return r.client.MachineToken(ctx, q) })
}

// machine asks once and expects an answer.
func (r *rig) machine(q tokenward.MachineRequest) tokenward.Token {
	r.t.Helper()
	t, err := r.client.MachineToken(context.Background(), q)
	if err != nil {
		r.t.Fatalf("MachineToken(%+v): %v", q, err)
	}
	return t
}

func (r *rig) machineErr(q tokenward.MachineRequest) error {
	r.t.Helper()
	_, err := r.client.MachineToken(context.Background(), q)
	if err == nil {
		r.t.Fatalf("MachineToken(%+v) succeeded, want an error", q)
	}
	return err
}

func (r *rig) wantMachine(n int) {
	r.t.Helper()
	r.want("requests", r.tenant.Requests(idptest.ClientCredentials), n)
}

// Any number of callers cost one request, whatever the order of their scopes.
func TestMachine_oneRequestForAnyNumberOfCallers(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		hold := r.tenant.Hold(idptest.ClientCredentials, idptest.AfterGrant)
		var all []*caller
		for i := range 10_000 {
			scope := []string{"read write", " write  read read"}[i%2]
			all = append(all, r.askMachine(t.Context(), tokenward.MachineRequest{Audience: apiB, Scope: scope}))
		}
		r.rest()
		r.want("requests on the wire", hold.Held(), 1)
		hold.Release()
		for i, c := range all {
			if got, err := c.wait(); err != nil || got != all[0].token || got.AccessToken == "" {
				t.Fatalf("caller %d: %v, %v, want what the first got", i, got, err)
			}
		}
		r.wantMachine(1)
		form := r.tenant.LastForm(idptest.ClientCredentials)
		if form.Get("audience") != apiB || form.Get("grant_type") != "client_credentials" || form.Get("client_id") != "demo" {
			t.Errorf("form = %v", form)
		}
		if n := r.memory.Len(); n != 0 {
			t.Errorf("the store has %d records, want none", n)
		}
	})
}

// The cache follows the rules of a session's: more scopes cover fewer, a token expires to the instant, and the configured
// scopes, which users grant, are not asked for.
func TestMachine_cache(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		wide := r.machine(tokenward.MachineRequest{Audience: apiB, Scope: "read write"})
		if got := r.machine(tokenward.MachineRequest{Audience: apiB, Scope: "write"}); got != wide {
			t.Error("a token with more scopes was not the answer")
		}
		if got := r.machine(tokenward.MachineRequest{Audience: apiB}); got != wide {
			t.Error("a token with scopes was not the answer to a call that names none")
		}
		r.wantMachine(1)
		r.machine(tokenward.MachineRequest{Audience: apiB, Scope: "admin"})
		r.machine(tokenward.MachineRequest{Audience: audience(1), Scope: "read"})
		r.machine(tokenward.MachineRequest{})
		r.wantMachine(4)
		if form := r.tenant.LastForm(idptest.ClientCredentials); form.Has("scope") || form.Get("audience") != "https://default.example" {
			t.Errorf("form = %v, want the configured audience and no scope", form)
		}
		r.clock.Advance(idptest.TokenLife - 1)
		if got := r.machine(tokenward.MachineRequest{Audience: apiB, Scope: "write"}); got != wide {
			t.Error("the token was replaced before its time")
		}
		r.clock.Advance(1)
		if got := r.machine(tokenward.MachineRequest{Audience: apiB, Scope: "write"}); got == wide {
			t.Error("the token was handed out at its expiry")
		}
		r.wantMachine(5)
	}, withConfig(func(cfg *tokenward.Config) {
		cfg.Audience, cfg.Scopes = "https://default.example", "openid profile offline_access"
	}))
}

// A token lives as long as the answer says; an answer that does not say gives the default lifetime, one that says nonsense
// a token for those who waited.
func TestMachine_lifetimes(t *testing.T) {
	tests := []struct {
		name    string
		expires any
		opts    []tokenward.Option
		life    time.Duration
	}{
		{"text", "60", nil, time.Minute},
		{"fraction", json.Number("60.9"), nil, time.Minute},
		{"absent", idptest.Absent, []tokenward.Option{withProvider(tokenward.ProviderConfig{TokenLifetime: 5 * time.Minute})}, 5 * time.Minute},
		{"absent, and as long as the session", idptest.Absent, []tokenward.Option{withProvider(tokenward.ProviderConfig{TokenLifetime: tokenward.AsLongAsTheSession})}, time.Hour},
		{"with a buffer", 60, []tokenward.Option{tokenward.WithRefreshBuffer(10 * time.Second)}, 50 * time.Second},
		{"negative", -5, nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(_ *testing.T, r *rig) {
				r.tenant.Script(idptest.ClientCredentials, idptest.ExpiresIn(tt.expires).Always())
				r.clock.Advance(500 * time.Millisecond)
				r.machine(tokenward.MachineRequest{})
				if tt.life > 0 {
					r.clock.Advance(tt.life - 501*time.Millisecond)
					r.machine(tokenward.MachineRequest{})
					r.wantMachine(1)
					r.clock.Advance(time.Millisecond)
				}
				r.machine(tokenward.MachineRequest{})
				r.wantMachine(2)
			}, withClient(tt.opts...))
		})
	}
}

// Callers who want different scopes do not wait for each other: there is nothing to spend in turn.
func TestMachine_requestsForDifferentTokensGoAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		hold := r.tenant.Hold(idptest.ClientCredentials, idptest.BeforeGrant)
		a := r.askMachine(t.Context(), tokenward.MachineRequest{Scope: "a"})
		b := r.askMachine(t.Context(), tokenward.MachineRequest{Scope: "b"})
		r.rest()
		r.want("requests on the wire", hold.Held(), 2)
		hold.Release()
		for _, c := range []*caller{a, b} {
			if _, err := c.wait(); err != nil {
				t.Error(err)
			}
		}
	})
}

// A failure is the same error for all who wait, and it is not kept.
func TestMachine_oneFailureForAllWhoJoined(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.tenant.Script(idptest.ClientCredentials, idptest.OAuthError("invalid_scope", "no such scope"))
		hold := r.tenant.Hold(idptest.ClientCredentials, idptest.BeforeGrant)
		var all []*caller
		for range 100 {
			all = append(all, r.askMachine(t.Context(), tokenward.MachineRequest{Scope: "x"}))
		}
		r.rest()
		hold.Release()
		_, want := all[0].wait()
		r.wantCode("first", want, "failed_to_request_token")
		var api *tokenward.APIError
		if !errors.As(want, &api) || api.Code != "invalid_scope" || api.Status != 400 || tokenward.LoginRequired(want) {
			t.Errorf("%v, want the provider's error as its cause, and no login required", want)
		}
		for i, c := range all {
			if _, err := c.wait(); err != want { //nolint:errorlint // the very same
				t.Errorf("caller %d: %v", i, err)
			}
		}
		r.wantMachine(1)
		r.machine(tokenward.MachineRequest{Scope: "x"})
		r.wantMachine(2)
	})
}

// Each way in which a request fails has the code, and a cause that says what it was.
func TestMachine_failures(t *testing.T) {
	tests := []struct {
		name  string
		kind  idptest.Kind
		fault idptest.Fault
		cause tokenward.Code
	}{
		{"refused", idptest.ClientCredentials, idptest.OAuthError("access_denied", "no"), "access_denied"},
		{"an outage", idptest.ClientCredentials, idptest.Status(503), "token_error"},
		{"nonsense", idptest.ClientCredentials, idptest.Garbage(), "invalid_response"},
		{"no token", idptest.ClientCredentials, idptest.Edit(func(b map[string]any) { delete(b, "access_token") }), "invalid_response"},
		{"another type", idptest.ClientCredentials, idptest.Edit(func(b map[string]any) { b["token_type"] = "DPoP" }), "invalid_response"},
		{"reset", idptest.ClientCredentials, idptest.ResetConn(), "token_error"},
		{"no metadata", idptest.Discovery, idptest.Status(500), "metadata_error"},
		{"mfa_required", idptest.ClientCredentials, idptest.MFARequired("a token of the provider", nil), "mfa_required"},
	}
	for _, tt := range tests {
		r := newRig(t)
		r.tenant.Script(tt.kind, tt.fault)
		err := r.machineErr(tokenward.MachineRequest{})
		r.wantCode(tt.name, err, "failed_to_request_token")
		if !errors.Is(err, &tokenward.APIError{Code: tt.cause}) {
			t.Errorf("%s: %v, want the cause %s", tt.name, err, tt.cause)
		}
		r.machine(tokenward.MachineRequest{})
	}
}

func TestMachine_arguments(t *testing.T) {
	r := newRig(t)
	long := string(make([]byte, 2049))
	for _, q := range []tokenward.MachineRequest{{Audience: long}, {Scope: long}, {MinRemaining: -1}} {
		if err := r.machineErr(q); !errors.As(err, new(*tokenward.InvalidArgumentError)) {
			t.Errorf("%.40v: %v, want an InvalidArgumentError", q, err)
		}
	}
	r.wantMachine(0)
	public := newRig(t, withTenant(idptest.WithClient("demo", "")), withConfig(func(cfg *tokenward.Config) { cfg.ClientSecret, cfg.ClientAuth = "", tokenward.PublicClient }))
	err := public.machineErr(tokenward.MachineRequest{})
	public.wantCode("a public client", err, "failed_to_request_token")
	if !errors.As(err, new(*tokenward.ConfigurationError)) {
		t.Errorf("%v, want a ConfigurationError as its cause", err)
	}
	public.wantMachine(0)
}

// A caller who gives up gets its context's error at once. The request goes on, and its answer is kept.
func TestMachine_aCallerGivesUp(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		hold := r.tenant.Hold(idptest.ClientCredentials, idptest.BeforeGrant)
		ctx, cancel := context.WithCancel(t.Context())
		first := r.askMachine(ctx, tokenward.MachineRequest{})
		r.rest()
		second := r.askMachine(t.Context(), tokenward.MachineRequest{})
		r.rest()
		cancel()
		if _, err := first.wait(); err != context.Canceled { //nolint:errorlint // the very same
			t.Errorf("err = %v", err)
		}
		hold.Release()
		got, err := second.wait()
		if err != nil || r.machine(tokenward.MachineRequest{}) != got {
			t.Error(err)
		}
		r.wantMachine(1)
	})
}

// The request has a deadline of its own, by the clock, from when it is sent.
func TestMachine_deadline(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.tenant.Script(idptest.ClientCredentials, idptest.Hang())
		c := r.askMachine(t.Context(), tokenward.MachineRequest{})
		r.rest()
		r.clock.Advance(10*time.Second - 1)
		r.rest()
		if c.answered() {
			t.Fatal("answered before the deadline")
		}
		r.clock.Advance(1)
		_, err := c.wait()
		r.wantCode("the caller", err, "failed_to_request_token")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want DeadlineExceeded as its cause", err)
		}
		r.machine(tokenward.MachineRequest{})
	})
}

// Until a Retry-After is over nothing is sent for the application, whatever the audience; cached tokens are handed out.
func TestMachine_retryAfter(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		cached := r.machine(tokenward.MachineRequest{Audience: apiB})
		r.tenant.Script(idptest.ClientCredentials, idptest.Status(429).With("Retry-After", "30"))
		want := r.machineErr(tokenward.MachineRequest{})
		r.clock.Advance(30*time.Second - 1)
		for _, q := range []tokenward.MachineRequest{{}, {Audience: audience(1)}, {Scope: "x"}} {
			if err := r.machineErr(q); err != want { //nolint:errorlint // the very same
				t.Errorf("%v: %v, want %v", q, err, want)
			}
		}
		if got := r.machine(tokenward.MachineRequest{Audience: apiB}); got != cached {
			t.Error("the cached token was not handed out")
		}
		r.wantMachine(2)
		id := r.login() // the application's hold is no session's
		r.token(id, tokenward.TokenRequest{Audience: audience(2)})
		r.clock.Advance(1)
		r.machine(tokenward.MachineRequest{})
		r.wantMachine(3)
	})
}

// A refresh token is of no use beside client credentials, and is not kept.
func TestMachine_noRefreshTokenIsKept(t *testing.T) {
	inBubble(t, func(_ *testing.T, r *rig) {
		r.tenant.Script(idptest.ClientCredentials, idptest.Edit(func(b map[string]any) {
			b["refresh_token"], b["id_token"], b["expires_in"] = "rt", "id", 60
		}))
		r.machine(tokenward.MachineRequest{})
		r.clock.Advance(time.Minute)
		r.machine(tokenward.MachineRequest{})
		r.wantMachine(2)
		r.want("requests that spend a refresh token", r.tenant.Requests(idptest.Spend), 0)
	})
}

// A token that a resource server refused is replaced once for all who name it, and once in half a minute.
func TestMachine_refused(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		refused := r.machine(tokenward.MachineRequest{})
		var all []*caller
		for range 100 {
			all = append(all, r.askMachine(t.Context(), tokenward.MachineRequest{Refused: refused.AccessToken}))
		}
		for i, c := range all {
			if got, err := c.wait(); err != nil || got == refused || got != all[0].token {
				t.Fatalf("caller %d: %v", i, err)
			}
		}
		r.wantMachine(2)
		again := tokenward.MachineRequest{Refused: all[0].token.AccessToken}
		if got := r.machine(again); got != all[0].token {
			t.Error("replaced again within half a minute")
		}
		r.clock.Advance(30 * time.Second)
		if got := r.machine(again); got == all[0].token {
			t.Error("not replaced after half a minute")
		}
		r.wantMachine(3)
	})
}

func TestMachine_minRemaining(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		had := r.machine(tokenward.MachineRequest{})
		r.clock.Advance(idptest.TokenLife - time.Minute)
		if got := r.machine(tokenward.MachineRequest{MinRemaining: 30 * time.Second}); got != had {
			t.Error("replaced although it lasts")
		}
		fresh := r.machine(tokenward.MachineRequest{MinRemaining: time.Minute})
		for range 10 { // longer than the provider's tokens live: not a request for each call
			r.machine(tokenward.MachineRequest{MinRemaining: 2 * idptest.TokenLife})
		}
		if fresh == had {
			t.Error("not replaced")
		}
		r.wantMachine(2)
	})
}

// The answer for another audience is said to be one, or refused.
func TestMachine_strictAudience(t *testing.T) {
	r := newRig(t, withTenant(idptest.WithAccessToken(func(d *idptest.Draft) { d.Claims["aud"] = "https://other.example" })))
	if got := r.machine(tokenward.MachineRequest{Audience: apiB}); got.ActualAudience != "https://other.example" {
		t.Errorf("ActualAudience = %q", got.ActualAudience)
	}
	r.client = r.newClient(withProvider(tokenward.ProviderConfig{StrictAudience: true}))
	r.wantCode("strict", r.machineErr(tokenward.MachineRequest{Audience: apiB}), "incorrect_audience")
}

// What users can make the memory hold is bounded: the least used tokens leave.
func TestMachine_memoryIsBounded(t *testing.T) {
	inBubble(t, func(_ *testing.T, r *rig) {
		r.machine(tokenward.MachineRequest{Audience: apiB})
		for i := range 100 {
			r.clock.Advance(time.Second)
			r.machine(tokenward.MachineRequest{Audience: audience(i)})
			r.machine(tokenward.MachineRequest{Audience: apiB})
		}
		r.wantMachine(101) // the one in use stays
		r.machine(tokenward.MachineRequest{Audience: audience(0)})
		r.wantMachine(102)
		r.machine(tokenward.MachineRequest{Audience: audience(99)})
		r.wantMachine(102)
	}, withLimits(tokenward.Limits{GrantedTokens: 16}))
}

// Requests for the application wait for permits of signed-in users, and for no others.
func TestMachine_permits(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		hold := r.tenant.Hold(idptest.ClientCredentials, idptest.BeforeGrant)
		var all []*caller
		for i := range 5 {
			all = append(all, r.askMachine(t.Context(), tokenward.MachineRequest{Audience: audience(i)}))
			r.rest()
		}
		r.want("requests on the wire", hold.Held(), 3)
		_, err := all[4].wait()
		r.wantCode("one more than may wait", err, "overloaded")
		hold.Release()
		for _, c := range all[:4] {
			if _, err := c.wait(); err != nil {
				t.Error(err)
			}
		}
	}, withLimits(tokenward.Limits{ProviderRequests: 4, QueuedFlights: 1}))
}

// A provider that does not work is left alone by the application's requests, too, and they count for its breaker.
func TestMachine_breaker(t *testing.T) {
	r := newRig(t, withClient(tokenward.WithBreaker(tokenward.BreakerPolicy{Failures: 3})))
	id := r.login()
	r.exchanged(id, forB)
	r.tenant.Script(idptest.ClientCredentials, idptest.Status(503).Always())
	for range 3 {
		_ = r.machineErr(tokenward.MachineRequest{})
	}
	until := r.clock.Now().Add(10 * time.Second)
	err := r.machineErr(tokenward.MachineRequest{})
	r.wantCode("while it is open", err, "failed_to_request_token")
	r.wantOpen("while it is open", err, until)
	err = r.exchangeErr(id, tokenward.ExchangeRequest{Audience: audience(1)})
	r.wantExchangeCode("an exchange", err, "token_exchange_failed")
	r.wantOpen("an exchange", err, until)
	r.exchanged(id, forB) // from the cache
	r.wantMachine(3)
	r.tenant.Heal()
	r.clock.Advance(10 * time.Second)
	r.machine(tokenward.MachineRequest{})
	r.exchanged(id, tokenward.ExchangeRequest{Audience: audience(1)})
}

// An observer is told of calls that no plain hit answered, and of the request.
func TestMachine_isObserved(t *testing.T) {
	r := newRig(t)
	r.machine(tokenward.MachineRequest{})
	r.machine(tokenward.MachineRequest{}) // a hit, whose query is kept by now
	r.exchanged(r.login(), forB)
	r.tenant.Script(idptest.ClientCredentials, idptest.Status(503))
	_ = r.machineErr(tokenward.MachineRequest{Audience: apiB})
	r.book.want(t, "call machine_token", "call machine_token :  ", "call machine_token :  failed_to_request_token")
	r.book.want(t, "call exchange_token", "call exchange_token :  ")
	r.book.want(t, "request POST client_credentials", "request POST client_credentials: 200 false", "request POST client_credentials: 503 false")
	r.book.want(t, "request POST token_exchange", "request POST token_exchange: 200 false")
}

// Close cuts a request off, its callers and those who come later get ErrClosed.
func TestMachine_close(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.machine(tokenward.MachineRequest{})
		r.tenant.Script(idptest.ClientCredentials, idptest.Hang())
		c := r.askMachine(t.Context(), tokenward.MachineRequest{Audience: apiB})
		r.rest()
		r.close()
		_, err := c.wait()
		r.wantCode("one who waits", err, "closed")
		r.wantCode("one who comes later", r.machineErr(tokenward.MachineRequest{}), "closed")
	})
}

// A resolver names the registration by the store options in the context. Tokens of one are no other's.
func TestMachine_registrations(t *testing.T) {
	r := newRig(t, withTenant(idptest.WithClient("acme", "acme-secret"), idptest.WithClient("globex", "globex-secret")))
	r.cfg.Issuer, r.cfg.ClientSecret, r.cfg.ClientID = "", "", ""
	r.cfg.RegistrationResolver = func(_ context.Context, o store.Options) (tokenward.Registration, error) {
		name, _ := o.Values["tenant"].(string)
		if name == "" {
			return tokenward.Registration{}, errors.New("no tenant")
		}
		return tokenward.Registration{Issuer: r.tenant.Issuer(), ClientID: name}, nil
	}
	r.cfg.Credentials = func(_ context.Context, _, id string) (tokenward.Credentials, error) {
		return tokenward.Credentials{ClientSecret: id + "-secret"}, nil
	}
	r.client = r.newClient()
	as := func(name string) (tokenward.Token, error) {
		ctx := tokenward.ContextWith(t.Context(), tokenward.StoreOptions{}.With(map[string]any{"tenant": name}))
		return r.client.MachineToken(ctx, tokenward.MachineRequest{Audience: apiB})
	}
	a, errA := as("acme")
	b, errB := as("globex")
	if errA != nil || errB != nil || a == b {
		t.Fatalf("%v, %v, the same token: %v", errA, errB, a == b)
	}
	if got := r.tenant.LastForm(idptest.ClientCredentials).Get("client_id"); got != "globex" {
		t.Errorf("client_id = %q", got)
	}
	if again, err := as("acme"); err != nil || again != a {
		t.Errorf("not from the cache: %v", err)
	}
	if err := r.machineErr(tokenward.MachineRequest{}); !errors.As(err, new(*tokenward.DomainResolverError)) {
		t.Errorf("%v, want a DomainResolverError", err)
	}
	r.wantMachine(2)
}

// A hit allocates nothing, of the zero request and of one that names an audience and scopes.
func TestMachine_hitsAllocateNothing(t *testing.T) {
	r := newRig(t)
	requests := []tokenward.MachineRequest{{}}
	for i := range 20 {
		requests = append(requests, tokenward.MachineRequest{Audience: audience(i), Scope: "read write"})
	}
	for range 2 {
		for _, q := range requests {
			r.machine(q)
		}
	}
	for _, q := range requests {
		if n := testing.AllocsPerRun(100, func() { r.machine(q) }); n != 0 {
			t.Errorf("%v: %v allocations", q, n)
		}
	}
}

// The transport sends the application's token to the audience's origin, and one that the server refuses is replaced once.
func TestMachine_transport(t *testing.T) {
	r := newRig(t)
	var seen []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		seen = append(seen, req.Header.Get("Authorization"))
		if seen[0] == seen[len(seen)-1] {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = fmt.Fprint(w, "ok")
	}))
	defer api.Close()
	client := &http.Client{Transport: r.client.MachineTransport(tokenward.MachineRequest{Audience: apiB}, nil, api.URL)}
	resp, err := client.Get(api.URL)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || string(body) != "ok" || len(seen) != 2 {
		t.Errorf("%q, %v after %d requests", body, err, len(seen))
	}
	r.wantMachine(2)
}
