package signals_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/signals"
)

// raw replaces a token by what is made of it.
func raw(token string, change func(parts []string) string) string {
	return change(strings.Split(token, "."))
}

func encoded(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// While the transmitter's keys or metadata cannot be had, or its metadata is of another issuer, events wait: none is refused for
// good, and none ends a session unverified.
func TestReceiver_transmitterDown(t *testing.T) {
	for name, faults := range map[string]map[idptest.Kind]idptest.Fault{
		"keys away":          {idptest.JWKS: idptest.Status(503)},
		"keys garbage":       {idptest.JWKS: idptest.Garbage()},
		"no keys":            {idptest.JWKS: idptest.Respond(200, "application/json", `{"keys":[]}`)},
		"metadata away":      {idptest.TransmitterMeta: idptest.Status(503)},
		"metadata of others": {idptest.TransmitterMeta: idptest.Edit(func(m map[string]any) { m["issuer"] = "https://other.example/" })},
		"no jwks_uri":        {idptest.TransmitterMeta: idptest.Edit(func(m map[string]any) { delete(m, "jwks_uri") })},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.login(ada, "phone")
				for kind, fault := range faults {
					r.tenant.Script(kind, fault.Always())
				}
				token := r.tenant.EventToken(signals.SessionRevoked, r.user(ada))
				w := serve(r.receiver.Push(), http.MethodPost, "application/secevent+jwt", pushPassword, token)
				if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !r.inStore("phone") {
					t.Errorf("status %d %v %s", w.Code, w.Header(), w.Body)
				}
				r.tenant.Transmit(r.tenant.EventToken(signals.SessionRevoked, r.user("eve"), claim("jti", "polled")))
				r.polling()
				r.eventually("a poll", func() bool { return r.tenant.Requests(idptest.Poll) > 0 })
				r.tenant.Heal()
				r.clock.Advance(11 * time.Minute) // metadata without jwks_uri is kept as long as any
				r.eventually("the event", func() bool { return r.tenant.Unacknowledged() == 0 })
				if len(r.tenant.RefusedEvents()) != 0 {
					t.Errorf("refused %v", r.tenant.RefusedEvents())
				}
				if code := r.push(token); code != http.StatusAccepted || r.inStore("phone") {
					t.Errorf("afterwards: status %d", code)
				}
			})
		})
	}
}

// The same for callers of universal logout.
func TestLogout_callerDown(t *testing.T) {
	for name, faults := range map[string]map[idptest.Kind]idptest.Fault{
		"keys away":          {idptest.JWKS: idptest.Status(503)},
		"metadata of others": {idptest.Discovery: idptest.Edit(func(m map[string]any) { m["issuer"] = "https://other.example/" })},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.login(ada, "phone")
			r.clock.Advance(11 * time.Minute)
			for kind, fault := range faults {
				r.tenant.Script(kind, fault.Always())
			}
			token := r.tenant.RevocationToken(logoutURL)
			if code := r.call(token, named(r.user(ada))); code != http.StatusServiceUnavailable || !r.inStore("phone") {
				t.Errorf("status %d", code)
			}
			r.tenant.Heal()
			if code := r.call(token, named(r.user(ada))); code != http.StatusNoContent || r.inStore("phone") {
				t.Errorf("afterwards: status %d", code)
			}
		})
	}
}

// A key that is not known may be one that could not be asked for yet, for strangers made up kids a moment ago: the caller is
// asked to come again, not turned away.
func TestLogout_newKey(t *testing.T) {
	r := newRig(t)
	r.login(ada, "phone")
	if code := r.call(r.tenant.RevocationToken(logoutURL), named(r.user("eve"))); code != http.StatusNoContent {
		t.Fatalf("status %d", code)
	}
	if code := r.call(r.tenant.RevocationToken(logoutURL, header("kid", "made-up")), named(r.user(ada))); code != http.StatusUnauthorized {
		t.Errorf("a kid that is made up: status %d", code)
	}
	r.tenant.RotateKeys()
	token := r.tenant.RevocationToken(logoutURL)
	w := serve(r.logout, http.MethodPost, "application/json", "Bearer "+token, named(r.user(ada)))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("a new key: status %d %s", w.Code, w.Body)
	}
	r.clock.Advance(30 * time.Second)
	if code := r.call(token, named(r.user(ada))); code != http.StatusNoContent || r.inStore("phone") {
		t.Errorf("half a minute later: status %d", code)
	}
	r.clock.Advance(30 * time.Second)
	r.tenant.Script(idptest.JWKS, idptest.Status(500))
	if code := r.call(r.tenant.RevocationToken(logoutURL, header("kid", "made-up")), named(r.user(ada))); code != http.StatusServiceUnavailable {
		t.Errorf("while keys cannot be had: status %d", code)
	}
}

// A token that is not accepted is refused with the error of RFC 6750 section 3; a caller that sends none is told no error.
func TestLogout_challenges(t *testing.T) {
	const realm = `Bearer realm="universal logout"`
	r := newRig(t)
	token := r.tenant.RevocationToken(logoutURL)
	for _, tt := range []struct {
		authorization string
		status        int
		want          string
	}{
		{"", http.StatusUnauthorized, realm},
		{"Basic eDp5", http.StatusUnauthorized, realm},
		{"Bearer x", http.StatusUnauthorized, realm + `, error="invalid_token"`},
		{"Bearer " + token, http.StatusNoContent, ""},
		{"Bearer " + token, http.StatusUnauthorized, realm + `, error="invalid_token"`},
	} {
		w := serve(r.logout, http.MethodPost, "application/json", tt.authorization, named(r.user(ada)))
		if got := w.Header().Get("WWW-Authenticate"); w.Code != tt.status || got != tt.want {
			t.Errorf("%.10s: %d, WWW-Authenticate %q, want %d, %q", tt.authorization, w.Code, got, tt.status, tt.want)
		}
	}
	stranger := idptest.Claims{"format": "iss_sub", "iss": "https://other.example/", "sub": ada}
	w := serve(r.logout, http.MethodPost, "application/json", "Bearer "+r.tenant.RevocationToken(logoutURL), named(stranger))
	if got, want := w.Header().Get("WWW-Authenticate"), realm+`, error="insufficient_scope"`; w.Code != http.StatusForbidden || got != want {
		t.Errorf("another issuer's user: %d, WWW-Authenticate %q, want %q", w.Code, got, want)
	}
}

// What a body that is too long, breaks off or comes by another method is answered, to the letter of RFC 8935 section 2.
func TestPush_answers(t *testing.T) {
	r := newRig(t)
	r.login(ada, "phone")
	token := r.tenant.EventToken(signals.SessionRevoked, r.user(ada))
	send := func(method, kind, password string, body io.Reader) *httptest.ResponseRecorder {
		req := httptest.NewRequest(method, "/", body)
		req.Header.Set("Content-Type", kind)
		req.Header.Set("Authorization", password)
		w := httptest.NewRecorder()
		r.receiver.Push().ServeHTTP(w, req)
		return w
	}
	const set = "application/secevent+jwt"
	long := strings.Repeat("x", 10<<20)
	for _, tt := range []struct {
		name string
		w    *httptest.ResponseRecorder
		want int
		err  string
	}{
		{"GET", send(http.MethodGet, set, pushPassword, strings.NewReader(token)), http.StatusMethodNotAllowed, ""},
		{"HEAD", send(http.MethodHead, set, pushPassword, strings.NewReader(token)), http.StatusMethodNotAllowed, ""},
		{"PUT", send(http.MethodPut, set, pushPassword, strings.NewReader(token)), http.StatusMethodNotAllowed, ""},
		{"no password", send(http.MethodPost, set, "", strings.NewReader(token)), http.StatusBadRequest, "authentication_failed"},
		{"a form", send(http.MethodPost, "application/x-www-form-urlencoded", pushPassword, strings.NewReader(token)), http.StatusBadRequest, "invalid_request"},
		{"no media type", send(http.MethodPost, "", pushPassword, strings.NewReader(token)), http.StatusBadRequest, "invalid_request"},
		{"nothing", send(http.MethodPost, set, pushPassword, strings.NewReader("")), http.StatusBadRequest, "invalid_request"},
		{"10 MB", send(http.MethodPost, set, pushPassword, strings.NewReader(long)), http.StatusBadRequest, "invalid_request"},
		{"half of it", send(http.MethodPost, set, pushPassword, io.MultiReader(strings.NewReader(token[:50]), brokenOff{})), http.StatusServiceUnavailable, ""},
		{"it", send(http.MethodPost, set+"; charset=utf-8", pushPassword, strings.NewReader(token)), http.StatusAccepted, ""},
	} {
		h := tt.w.Header()
		var said map[string]string
		_ = json.Unmarshal(tt.w.Body.Bytes(), &said)
		switch {
		case tt.w.Code != tt.want || said["err"] != tt.err || h.Get("Cache-Control") != "no-store":
			t.Errorf("%s: %d %v %s, want %d %s", tt.name, tt.w.Code, h, tt.w.Body, tt.want, tt.err)
		case tt.err == "" && tt.w.Body.Len() != 0:
			t.Errorf("%s: has a body: %s", tt.name, tt.w.Body)
		case tt.err != "" && (len(said) != 2 || said["description"] == "" || h.Get("Content-Type") != "application/json" || h.Get("Content-Language") == ""):
			t.Errorf("%s: %v %s", tt.name, h, tt.w.Body)
		case tt.want == http.StatusMethodNotAllowed && h.Get("Allow") != http.MethodPost:
			t.Errorf("%s: Allow %q", tt.name, h.Get("Allow"))
		case tt.want == http.StatusServiceUnavailable && h.Get("Retry-After") == "":
			t.Errorf("%s: no Retry-After", tt.name)
		}
	}
	if r.inStore("phone") {
		t.Error("the session lives")
	}
}

// brokenOff is the end of a body whose sender has gone.
type brokenOff struct{}

func (brokenOff) Read([]byte) (int, error) { return 0, errors.New("the connection was reset") }

// What is too long or breaks off at the other endpoint.
func TestLogout_answers(t *testing.T) {
	r := newRig(t)
	r.login(ada, "phone")
	token := r.tenant.RevocationToken(logoutURL)
	for name, tt := range map[string]struct {
		body io.Reader
		want int
	}{
		"10 MB":          {strings.NewReader(`{"sub_id":"` + strings.Repeat("x", 10<<20)), http.StatusRequestEntityTooLarge},
		"half of it":     {io.MultiReader(strings.NewReader(`{"sub_`), brokenOff{}), http.StatusBadRequest},
		"something else": {strings.NewReader(named(r.user(ada)) + `{}`), http.StatusBadRequest},
		"a brace more":   {strings.NewReader(named(r.user(ada)) + `}`), http.StatusBadRequest},
		"text after it":  {strings.NewReader(named(r.user(ada)) + ` and more`), http.StatusBadRequest},
		"deep":           {strings.NewReader(strings.Repeat("[", 20_000)), http.StatusBadRequest},
	} {
		req := httptest.NewRequest(http.MethodPost, "/", tt.body)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		r.logout.ServeHTTP(w, req)
		if w.Code != tt.want || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %v %s, want %d", name, w.Code, w.Header(), w.Body, tt.want)
		}
	}
	if code := r.call(token, named(r.user(ada))+" \r\n"); code != http.StatusNoContent {
		t.Errorf("the token, which nothing has used: %d", code)
	}
}

// A function of the host that panics costs one request: the caller may send it again.
func TestLogout_hostPanics(t *testing.T) {
	r := newRig(t)
	r.login(ada, "phone")
	panics := true
	logout, err := signals.NewLogout(r.client, signals.LogoutConfig{
		Audience: logoutURL, Callers: []signals.Caller{{Issuer: r.tenant.Issuer()}}, HTTPClient: r.tenant.Client(), Clock: r.clock, Logger: r.logger(),
		Resolve: func(context.Context, signals.Subject) ([]tokenward.EndRequest, error) {
			if panics {
				panic("a secret of the host")
			}
			return nil, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer logout.Close()
	r.logout = logout
	token := r.tenant.RevocationToken(logoutURL)
	if code := r.call(token, named(r.user(ada))); code != http.StatusUnprocessableEntity || !r.inStore("phone") {
		t.Errorf("status %d", code)
	}
	panics = false
	if code := r.call(token, named(r.user(ada))); code != http.StatusNoContent || r.inStore("phone") {
		t.Errorf("again: status %d", code)
	}
	if strings.Contains(r.log.String(), "a secret of the host") {
		t.Error("the log shows the panic's value")
	}
}

// One entry of a batch that cannot be read at all is refused by its name; the others are dealt with.
func TestPoll_aBatchWithOneThatIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.login(ada, "phone")
		all := map[string]any{"of the session": r.tenant.EventToken(signals.SessionRevoked, r.user(ada))}
		for _, none := range []string{`{}`, `7`, `null`, `""`, `["x"]`, `"x.y.z"`} {
			all[none] = json.RawMessage(none)
		}
		sets, err := json.Marshal(map[string]any{"sets": all, "moreAvailable": false})
		if err != nil {
			t.Fatal(err)
		}
		r.tenant.Script(idptest.Poll, idptest.Respond(200, "application/json", string(sets)))
		r.polling()
		r.eventually("all refused", func() bool {
			return len(r.tenant.RefusedEvents()) == 6 && r.tenant.Acknowledged()["of the session"] == 1
		})
		for jti, code := range r.tenant.RefusedEvents() {
			if code != "invalid_request" {
				t.Errorf("%s: %s", jti, code)
			}
		}
		if r.inStore("phone") {
			t.Error("the session lives")
		}
	})
}

// A transmitter that has more, and sent nothing, is asked again soon.
func TestPoll_moreAvailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.tenant.Script(idptest.Poll, idptest.Respond(200, "application/json", `{"sets":{},"moreAvailable":true}`).Times(100))
		began := r.clock.Now()
		r.polling()
		r.eventually("6 polls", func() bool { return r.tenant.Requests(idptest.Poll) >= 6 })
		if took := r.clock.Now().Sub(began); took > 40*time.Second {
			t.Errorf("6 polls took %v", took)
		}
	})
}

// The host is told of an event once in 24 hours, however it comes and however often.
func TestReceiver_ids(t *testing.T) {
	r := newRig(t)
	r.login(ada, "phone")
	token := r.tenant.EventToken(signals.SessionRevoked, r.user(ada))
	reports := func(when string, want int) {
		t.Helper()
		for range 3 {
			if code := r.push(token); code != http.StatusAccepted {
				t.Errorf("%s: status %d", when, code)
			}
		}
		if n := len(r.events); n != want {
			t.Errorf("%s: the host was told %d times, want %d", when, n, want)
		}
	}
	reports("at once", 1)
	r.clock.Advance(24*time.Hour - 1)
	reports("within 24 hours", 1)
	r.clock.Advance(1)
	reports("after 24 hours", 2)
	r.receiver = r.newReceiver(r.client)
	reports("after a restart", 3)
}

// An event that the host always fails holds up no other for more than some seconds.
func TestPoll_anEventThatFailsAlways(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failures atomic.Int64
		r := newRig(t, func(c *signals.Config) {
			c.Tell = func(_ context.Context, e signals.Event) error {
				if e.ID == "fails" && failures.Add(1) <= 200 { // far more often than in the time of this test
					return errors.New("the host is away")
				}
				return nil
			}
		})
		r.login(ada, "phone")
		r.tenant.Transmit(r.tenant.EventToken(signals.CredentialChange, r.user("eve"), claim("jti", "fails")))
		r.polling()
		began := r.clock.Now()
		r.eventually("10 minutes of failures", func() bool { return r.clock.Now().Sub(began) > 10*time.Minute })
		polls := r.tenant.Requests(idptest.Poll)
		if polls > 80 {
			t.Errorf("%d polls in 10 minutes", polls)
		}
		r.tenant.Transmit(r.tenant.EventToken(signals.SessionRevoked, r.user(ada), claim("jti", "revoked")))
		began = r.clock.Now()
		r.eventually("the other event", func() bool { return r.tenant.Acknowledged()["revoked"] > 0 })
		if took := r.clock.Now().Sub(began); r.inStore("phone") || took > 25*time.Second {
			t.Errorf("the session is there: %v; it was acknowledged after %v", r.inStore("phone"), took)
		}
	})
}
