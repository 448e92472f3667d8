package test_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

const google = "google-oauth2"

// connection asks for a connection's token and expects it.
func (r *rig) connection(id string, q tokenward.ConnectionRequest) tokenward.ConnectionToken {
	r.t.Helper()
	tok, err := r.client.GetAccessTokenForConnection(r.t.Context(), q, tokenward.SessionID(id))
	if err != nil {
		r.t.Fatalf("GetAccessTokenForConnection(%+v): %v", q, err)
	}
	return tok
}

// connectionErr asks for a connection's token and expects none.
func (r *rig) connectionErr(id string, q tokenward.ConnectionRequest) error {
	r.t.Helper()
	_, err := r.client.GetAccessTokenForConnection(r.t.Context(), q, tokenward.SessionID(id))
	if err == nil {
		r.t.Errorf("GetAccessTokenForConnection(%+v) succeeded, want an error", q)
	}
	return err
}

func (r *rig) wantExchanges(what string, want int) {
	r.t.Helper()
	r.want(what+": exchanges", r.tenant.Requests(idptest.ConnectionExchange), want)
}

// 6.1, row by row.
func TestConnection_orderOfChecks(t *testing.T) {
	t.Run("0: no connection is named", func(t *testing.T) {
		r := newRig(t)
		for _, id := range []string{r.login(), "made-up", ""} {
			e := asError[*tokenward.MissingRequiredArgumentError](t, id, r.connectionErr(id, tokenward.ConnectionRequest{}), "missing_required_argument_error")
			if e != nil && e.Argument != "connection" {
				t.Errorf("argument = %q", e.Argument)
			}
		}
	})
	t.Run("3: a cached token, no refresh token", func(t *testing.T) {
		r := newRig(t)
		id := r.login()
		first := r.connection(id, tokenward.ConnectionRequest{Connection: google})
		s := r.state(id).WithRefreshToken("x").Clone()
		s.RefreshToken = ""
		r.put(id, s)
		r.restart()
		if again := r.connection(id, tokenward.ConnectionRequest{Connection: google}); again != first {
			t.Errorf("token = %v, want the cached one", again)
		}
		r.wantExchanges("cached", 1)
	})
	t.Run("4: no session, no refresh token", func(t *testing.T) {
		r := newRig(t, withConfig(func(c *tokenward.Config) { c.Scopes = "openid" }))
		for _, id := range []string{r.login(), "made-up"} {
			r.wantConnectionCode(id, r.connectionErr(id, tokenward.ConnectionRequest{Connection: google}), "missing_refresh_token")
		}
		r.wantExchanges("no refresh token", 0)
	})
	t.Run("5: the exchange", func(t *testing.T) {
		r := newRig(t)
		id := r.login()
		tok := r.connection(id, tokenward.ConnectionRequest{Connection: google, LoginHint: "ada@work"})
		if tok.AccessToken == "" || tok.Connection != google || tok.LoginHint != "ada@work" || tok.Scope != "openid profile email" ||
			!tok.ExpiresAt.Equal(t0.Add(idptest.ConnectionTokenLife)) {
			t.Errorf("token = %+v", tok)
		}
		r.wantExchanges("a miss", 1)
	})
}

// put writes a state past the client, as another process would.
func (r *rig) put(id string, s *session.State) {
	r.t.Helper()
	rec, err := r.memory.Load(r.t.Context(), key(id), store.Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	next, err := r.codec().Encode(key(id), s, session.NewVersion(randomness{}), rec.Incarnation)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.memory.Replace(r.t.Context(), key(id), next, store.Options{}); err != nil {
		r.t.Fatal(err)
	}
}

func TestConnection_cache(t *testing.T) {
	r := newRig(t)
	id := r.login()
	q := tokenward.ConnectionRequest{Connection: google}
	first := r.connection(id, q)
	updates := r.store.Updates()
	r.clock.Advance(idptest.ConnectionTokenLife - time.Nanosecond)
	if again := r.connection(id, q); again != first {
		t.Error("a token in its last moment was not served")
	}
	r.wantExchanges("until it expires", 1)
	r.want("updates by a hit", r.store.Updates()-updates, 0)
	r.clock.Advance(time.Nanosecond)
	if again := r.connection(id, q); again.AccessToken == first.AccessToken {
		t.Error("a token was served at its expiry")
	}
	r.wantExchanges("at its expiry", 2)
	if n := len(r.state(id).ConnectionTokenSets); n != 1 {
		t.Errorf("connection token sets = %d, want 1: the new one takes the old one's place", n)
	}
	r.restart()
	r.connection(id, q)
	r.wantExchanges("after a restart", 2)
}

// 6.2: a hint is met by that hint alone; without one, the set without, else the first.
func TestConnection_loginHints(t *testing.T) {
	r := newRig(t)
	id := r.login()
	ask := func(hint string) string {
		t.Helper()
		return r.connection(id, tokenward.ConnectionRequest{Connection: google, LoginHint: hint}).AccessToken
	}
	a := ask("a")
	if ask("") != a {
		t.Error("without a hint: want the one there is")
	}
	b := ask("b")
	if a == b || ask("a") != a || ask("b") != b {
		t.Error("hints share a token")
	}
	if ask("") != a {
		t.Error("without a hint: want the first of the connection")
	}
	r.wantExchanges("two hints", 2)
	if got := r.connection(id, tokenward.ConnectionRequest{Connection: google}); got.LoginHint != "a" {
		t.Errorf("the answer says hint %q, want whose token it is", got.LoginHint)
	}
	other := r.connection(id, tokenward.ConnectionRequest{Connection: "github"})
	if other.AccessToken == a || other.Connection != "github" {
		t.Errorf("another connection: %+v", other)
	}
	r.wantExchanges("another connection", 3)

	r.clock.Advance(idptest.ConnectionTokenLife)
	none := ask("")
	r.wantExchanges("all expired, no hint", 4)
	if ask("a") == a || ask("") != none {
		t.Error("a hint's token took the place of the one without")
	}
	r.wantExchanges("a hint again", 5)
	sets := r.state(id).ConnectionTokenSets
	if len(sets) != 4 {
		t.Errorf("connection token sets = %d, want 4: a, b, github and the one without a hint", len(sets))
	}
}

func TestConnection_response(t *testing.T) {
	tests := []struct {
		name    string
		fault   idptest.Fault
		expires time.Duration
		scope   string
	}{
		{"as it is", idptest.OK(), time.Hour, "openid profile email"},
		{"no expires_in", idptest.ExpiresIn(idptest.Absent), time.Hour, "openid profile email"},
		{"expires_in as text", idptest.ExpiresIn("90"), 90 * time.Second, "openid profile email"},
		{"expires_in with a fraction", idptest.ExpiresIn(json.RawMessage("90.9")), 90 * time.Second, "openid profile email"},
		{"expires_in null", idptest.ExpiresIn(nil), time.Hour, "openid profile email"},
		{"expires_in that is no number", idptest.ExpiresIn("soon"), 0, "openid profile email"},
		{"expires_in negative", idptest.ExpiresIn(-1), 0, "openid profile email"},
		{"no scope", idptest.NoScope(), time.Hour, ""},
	}
	for _, tt := range tests {
		r := newRig(t)
		id := r.login()
		r.tenant.Script(idptest.ConnectionExchange, tt.fault)
		tok := r.connection(id, tokenward.ConnectionRequest{Connection: google})
		if !tok.ExpiresAt.Equal(t0.Add(tt.expires)) || tok.Scope != tt.scope {
			t.Errorf("%s: expires %v, scope %q, want %v, %q", tt.name, tok.ExpiresAt, tok.Scope, t0.Add(tt.expires), tt.scope)
		}
	}
}

// Nothing but the connection's token set changes, and a new refresh token is kept.
func TestConnection_changesNothingElse(t *testing.T) {
	for _, rotates := range []bool{false, true} {
		opts := []idptest.Option{}
		if rotates {
			opts = append(opts, idptest.WithExchangeRotation())
		}
		r := newRig(t, withTenant(opts...))
		id := r.login(until(5 * time.Hour))
		before := r.state(id)
		r.connection(id, tokenward.ConnectionRequest{Connection: google})
		after := r.state(id)
		if (after.RefreshToken != before.RefreshToken) != rotates {
			t.Errorf("rotates %v: refresh token changed %v", rotates, !rotates)
		}
		if after.IDToken != before.IDToken || len(after.TokenSets) != 1 || after.TokenSets[0].AccessToken != before.TokenSets[0].AccessToken ||
			after.Internal.Ceiling != before.Internal.Ceiling || after.Internal.CreatedAt != before.Internal.CreatedAt || after.User.Sub() != before.User.Sub() {
			t.Errorf("rotates %v: %+v became %+v", rotates, before, after)
		}
		r.want("updates", r.store.Updates(), 1)
		r.connection(id, tokenward.ConnectionRequest{Connection: "github"})
		if r.tenant.Reuses() != 0 {
			t.Errorf("rotates %v: an old refresh token was presented", rotates)
		}
	}
}

// 6.4: what the provider refused is api_error, what could not be had retrieval_error.
func TestConnection_errors(t *testing.T) {
	body := `{"error":"access_denied","error_description":"No vault here."}`
	tests := []struct {
		name   string
		kind   idptest.Kind
		fault  idptest.Fault
		code   tokenward.Code
		oauth  tokenward.Code // of the cause
		status int
	}{
		{"refused", idptest.ConnectionExchange, idptest.OAuthError("access_denied", "No vault here."), "api_error", "access_denied", 400},
		{"refused, charset", idptest.ConnectionExchange, idptest.Respond(403, "application/json; charset=utf-8", body), "api_error", "access_denied", 403},
		{"refused, problem+json", idptest.ConnectionExchange, idptest.Respond(403, "application/problem+json", body), "api_error", "access_denied", 403},
		{"refused, no content type", idptest.ConnectionExchange, idptest.Respond(401, "", body), "api_error", "access_denied", 401},
		{"500", idptest.ConnectionExchange, idptest.Status(500), "api_error", "", 500},
		{"reset", idptest.ConnectionExchange, idptest.ResetConn(), "retrieval_error", "", 0},
		{"cut", idptest.ConnectionExchange, idptest.Cut(), "retrieval_error", "", -1},
		{"a web page", idptest.ConnectionExchange, idptest.Garbage(), "retrieval_error", "", -1},
		{"no access token", idptest.ConnectionExchange, idptest.Respond(200, "application/json", "{}"), "retrieval_error", "", -1},
		{"too long", idptest.ConnectionExchange, idptest.HugeBody(2 << 20), "retrieval_error", "", -1},
		{"no discovery", idptest.Discovery, idptest.Status(503), "retrieval_error", "metadata_error", -1},
		{"no token endpoint", idptest.Discovery, idptest.Edit(func(b map[string]any) { delete(b, "token_endpoint") }), "retrieval_error", "configuration_error", -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			id := r.login()
			r.restart() // discovery is asked anew
			r.tenant.Script(tt.kind, tt.fault)
			err := r.connectionErr(id, tokenward.ConnectionRequest{Connection: google})
			e := asError[*tokenward.AccessTokenForConnectionError](t, "exchange", err, tt.code)
			if e == nil {
				return
			}
			var cause *tokenward.APIError
			if !errors.As(e.Err, &cause) {
				t.Fatalf("cause = %v, want an APIError", e.Err)
			}
			if tt.oauth != "" && cause.Code != tt.oauth || tt.status >= 0 && cause.Status != tt.status {
				t.Errorf("cause = %s, status %d, want %s, %d", cause.Code, cause.Status, tt.oauth, tt.status)
			}
			if tt.oauth == "access_denied" && e.Message != "No vault here." {
				t.Errorf("message = %q, want error_description", e.Message)
			}
			r.want("updates", r.store.Updates(), 0)
			if u, err := r.client.GetUser(t.Context(), tokenward.SessionID(id)); u == nil || err != nil {
				t.Errorf("the session: %v, %v", u, err)
			}
			r.tenant.Heal()
			r.clock.Advance(time.Minute)
			if tt.kind == idptest.ConnectionExchange {
				r.connection(id, tokenward.ConnectionRequest{Connection: google}) // failures are not kept
			}
		})
	}
	t.Run("no client authentication", func(t *testing.T) {
		r := newRig(t)
		id := r.login()
		r.cfg.ClientSecret, r.cfg.Credentials = "", noVault
		r.restart()
		err := r.connectionErr(id, tokenward.ConnectionRequest{Connection: google})
		wantError[*tokenward.ConfigurationError](t, "exchange", err, "configuration_error")
		var wrapped *tokenward.AccessTokenForConnectionError
		if errors.As(err, &wrapped) {
			t.Errorf("%v is wrapped", err)
		}
	})
	t.Run("the store fails", func(t *testing.T) {
		r := newRig(t)
		id := r.login()
		r.restart()
		r.store.Fail(storetest.OpLoad, 1)
		err := r.connectionErr(id, tokenward.ConnectionRequest{Connection: google})
		r.wantConnectionCode("exchange", err, "store_error")
		if !errors.Is(err, tokenward.ErrStore) || !errors.Is(err, storetest.ErrFault) {
			t.Errorf("err = %v", err)
		}
	})
}

// 6.5: past the ceiling, not deleted yet: the cache answers, and a miss is exchanged; the
// call never deletes.
func TestConnection_ceilingDoesNotGate(t *testing.T) {
	r := newRig(t, withTenant(idptest.WithConnectionTokenLife(10*time.Hour)))
	r.restart(tokenward.WithClock(lateClock{r.clock}))
	id := r.login(until(time.Hour))
	first := r.connection(id, tokenward.ConnectionRequest{Connection: google})
	r.clock.Advance(2 * time.Second) // the actor is given back: no timer is left but the ceiling's, which is late
	r.settle()
	r.clock.Advance(2 * time.Hour)
	if again := r.connection(id, tokenward.ConnectionRequest{Connection: google}); again != first {
		t.Error("the cached token was not served")
	}
	r.wantExchanges("cached", 1)
	r.connection(id, tokenward.ConnectionRequest{Connection: "github"})
	r.wantExchanges("a miss", 2)
}

// 5.6: what the deletion leaves are the unexpired connection tokens, and nothing to get more with.
func TestConnection_afterTheCeiling(t *testing.T) {
	for name, read := range map[string]bool{"by the timer": false, "by a read": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, withTenant(idptest.WithConnectionTokenLife(3*time.Hour)), withLimits(tokenward.Limits{PassivateAfter: 2 * time.Hour})) // in memory
			if read {
				r.restart(tokenward.WithClock(lateClock{r.clock}))
			}
			id := r.login(until(time.Hour))
			first := r.connection(id, tokenward.ConnectionRequest{Connection: google, LoginHint: "a"})
			r.clock.Advance(time.Hour - 30*time.Second)
			if read {
				if u, err := r.client.GetUser(t.Context(), tokenward.SessionID(id)); u != nil || err != nil {
					t.Fatalf("GetUser = %v, %v", u, err)
				}
			}
			r.settle()
			r.want("sessions", r.memory.Len(), 0)
			r.tenant.Reset()
			for _, hint := range []string{"a", ""} {
				if again := r.connection(id, tokenward.ConnectionRequest{Connection: google, LoginHint: hint}); again != first {
					t.Errorf("hint %q: the cached token was not served", hint)
				}
			}
			for _, q := range []tokenward.ConnectionRequest{{Connection: google, LoginHint: "b"}, {Connection: "github"}} {
				r.wantConnectionCode("a miss", r.connectionErr(id, q), "missing_refresh_token")
			}
			if u, err := r.client.GetUser(t.Context(), tokenward.SessionID(id)); u != nil || err != nil {
				t.Errorf("GetUser = %v, %v", u, err)
			}
			r.clock.Advance(2 * time.Hour) // long after the marker's ten minutes
			r.settle()
			if again := r.connection(id, tokenward.ConnectionRequest{Connection: google}); again != first {
				t.Error("the cached token was not served to its end")
			}
			r.clock.Advance(30 * time.Second)
			r.settle()
			r.wantConnectionCode("at its expiry", r.connectionErr(id, tokenward.ConnectionRequest{Connection: google}), "missing_refresh_token")
			r.want("requests", r.tenant.Requests(idptest.Any), 0)
			r.want("deletes", r.store.Ends(), 1)
		})
	}
}

// The remainder goes with a logout, a logout token, and a login.
func TestConnection_endsOfTheRemainder(t *testing.T) {
	ends := map[string]func(t *testing.T, r *rig){
		"logout": func(t *testing.T, r *rig) {
			if _, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID("mine")); err != nil {
				t.Fatal(err)
			}
		},
		"login":     func(_ *testing.T, r *rig) { r.loginAs(tokenward.SessionID("mine"), idptest.Claims{"sid": "another"}) },
		"a restart": func(_ *testing.T, r *rig) { r.restart() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, withTenant(idptest.WithConnectionTokenLife(10*time.Hour)))
			r.loginAs(tokenward.SessionID("mine"), until(time.Hour), idptest.Claims{"sid": "sid-1"})
			q := tokenward.ConnectionRequest{Connection: google}
			first := r.connection("mine", q)
			r.advance(time.Hour)
			if again := r.connection("mine", q); again != first {
				t.Fatal("nothing was left")
			}
			end(t, r)
			if name == "login" {
				if again := r.connection("mine", q); again == first {
					t.Error("the session before lends its tokens")
				}
				return
			}
			if name == "a restart" { // the store has what remains
				if again := r.connection("mine", q); again != first {
					t.Error("another token")
				}
				return
			}
			r.wantConnectionCode("after "+name, r.connectionErr("mine", q), "missing_refresh_token")
		})
	}
}

// A session that a connection call loads past its ceiling answers that call first: from the
// cache, or by an exchange. Then it ends.
func TestConnection_loadsASessionPastItsCeiling(t *testing.T) {
	loadsPastItsCeiling(t)
}

// The same where the exchange needs the session's lease.
func TestConnection_loadsASessionPastItsCeilingUnderLeases(t *testing.T) {
	loadsPastItsCeiling(t, func(c *rigConfig) { c.memory = append(c.memory, store.Shared()) })
}

func loadsPastItsCeiling(t *testing.T, options ...rigOption) {
	for _, connection := range []string{google, "github"} {
		t.Run(connection, func(t *testing.T) {
			r := newRig(t, append(options, withTenant(idptest.WithConnectionTokenLife(10*time.Hour), idptest.WithExchangeRotation()))...)
			id := r.login(until(time.Hour))
			first := r.connection(id, tokenward.ConnectionRequest{Connection: google})
			updates := r.store.Updates()
			closeClient(t, r.client)
			r.clock.Advance(90 * time.Minute)
			r.client = r.newClient(tokenward.WithStateStore(storetest.Without[store.Index](r.store)))
			r.tenant.Reset()

			hold := r.tenant.Hold(idptest.ConnectionExchange, idptest.AfterGrant)
			call := r.exchange(t.Context(), id, connection)
			if connection != google { // the end comes while the exchange is under way
				if err := hold.Wait(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
				r.settle()
			}
			hold.Release()
			tok, err := call.wait()
			if err != nil || connection == google && tok != first {
				t.Errorf("token = %v, %v, want the cached one of %s", tok, err, google)
			}
			r.wantExchanges("on loading", map[string]int{google: 0, "github": 1}[connection])
			r.settle()
			r.want("ends", r.store.Ends(key(id)), map[string]int{google: 1, "github": 2}[connection]) // the second adds a token that came later
			r.want("sessions", r.memory.Len(), 0)
			r.want("updates", r.store.Updates()-updates, 0)
			for _, c := range []string{google, connection} {
				r.connection(id, tokenward.ConnectionRequest{Connection: c})
			}
			r.wantExchanges("from what is left", map[string]int{google: 0, "github": 1}[connection])
			_, err = r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, tokenward.SessionID(id))
			r.wantCode("GetAccessToken", err, "session_expired")
		})
	}
}

// The ceiling comes while an exchange is under way: its callers get the token, which joins
// the remainder; queued callers get nothing; nothing is written.
func TestConnection_underWayAtTheCeiling(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login(until(35 * time.Second)) // nearer than a request's deadline
		hold := r.tenant.Hold(idptest.ConnectionExchange, idptest.BeforeGrant)
		one := r.exchange(t.Context(), id, google)
		if err := hold.Wait(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		two := r.exchange(t.Context(), id, google)
		queued := r.exchange(t.Context(), id, "github")
		r.rest()
		r.clock.Advance(5 * time.Second)
		r.settle()
		_, err := queued.wait()
		r.wantConnectionCode("queued", err, "missing_refresh_token")
		r.want("deletes", r.store.Ends(key(id)), 1)
		hold.Release()
		first, err := one.wait()
		if err != nil {
			t.Fatalf("under way: %v", err)
		}
		second, err := two.wait()
		if err != nil || second != first {
			t.Errorf("joined: %v, %v", second, err)
		}
		r.settle()
		if again := r.connection(id, tokenward.ConnectionRequest{Connection: google}); again != first {
			t.Error("the token did not join what is left")
		}
		r.wantExchanges("in all", 1)
		r.want("updates", r.store.Updates(), 0)
		r.want("sessions", r.memory.Len(), 0)
	}, withTenant(idptest.WithExchangeRotation(), idptest.WithConnectionTokenLife(5*time.Hour)))
}

// The same where domains come from a resolver: the remainder belongs to the session's domain, though there was none
// before the token came.
func TestConnection_underWayAtTheCeilingOfADomain(t *testing.T) {
	d := newDomains(t)
	d.tenant.Set(idptest.WithConnectionTokenLife(5 * time.Hour))
	d.tenant.SetUser(idptest.Subject, until(35*time.Second))
	o := at(d.tenant, tokenward.SessionID(d.signIn(d.tenant)))
	hold := d.tenant.Hold(idptest.ConnectionExchange, idptest.BeforeGrant)
	q := tokenward.ConnectionRequest{Connection: google}
	var first tokenward.ConnectionToken
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		first, err = d.client.GetAccessTokenForConnection(t.Context(), q, o)
	}()
	if err := hold.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	d.clock.Advance(5 * time.Second)
	d.settle()
	hold.Release()
	if <-done; err != nil {
		t.Fatalf("under way: %v", err)
	}
	d.settle()
	if again, err := d.client.GetAccessTokenForConnection(t.Context(), q, o); err != nil || again != first {
		t.Errorf("from what is left: %v, %v", again, err)
	}
}

// An exchange that fails after the ceiling says so.
func TestConnection_failsAfterTheCeiling(t *testing.T) {
	r := newRig(t)
	id := r.login(until(35 * time.Second)) // nearer than a request's deadline
	hold := r.tenant.Hold(idptest.ConnectionExchange, idptest.BeforeGrant)
	r.tenant.Script(idptest.ConnectionExchange, idptest.OAuthError("access_denied", "No."))
	one := r.exchange(t.Context(), id, google)
	if err := hold.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(5 * time.Second)
	r.settle()
	hold.Release()
	_, err := one.wait()
	r.wantConnectionCode("under way", err, "api_error")
	r.wantConnectionCode("afterwards", r.connectionErr(id, tokenward.ConnectionRequest{Connection: google}), "missing_refresh_token")
}
