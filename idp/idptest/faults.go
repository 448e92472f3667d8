package idptest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Fault is one way in which an answer deviates from a good one. It is for one
// request unless Times or Always says otherwise.
//
// A fault that answers instead of the tenant (Status, OAuthError, ResetConn and so
// on) comes before the grant: nothing was rotated or used up. AfterGrant makes it
// come after, so that the client is told of a failure that was none. One that
// shapes the good answer (SlowBody, Edit, HugeBody and so on) always comes after.
type Fault struct {
	times  int // how many requests; -1 for all
	after  bool
	shapes bool
	hangs  bool
	trap   bool // redirects to pathTrap
	zips   bool
	delay  time.Duration
	header http.Header
	when   func(url.Values) bool
	echo   func(secrets []string) Fault
	// answer returns the answer. good is nil when the grant has not taken place.
	answer func(c *call, good *reply) *reply
}

// Times makes f be for n requests.
func (f Fault) Times(n int) Fault {
	f.times = n
	return f
}

// Always makes f be for every request, until Heal.
func (f Fault) Always() Fault {
	f.times = -1
	return f
}

// AfterGrant makes f come after the grant took effect: the code is used up, the
// refresh token rotated, and the client does not hear of it.
func (f Fault) AfterGrant() Fault {
	f.after = true
	return f
}

// When limits f to requests whose parameters satisfy cond, which must not call the
// tenant.
func (f Fault) When(cond func(form url.Values) bool) Fault {
	f.when = cond
	return f
}

// With adds a header to the answer, for example With("Retry-After", "2").
func (f Fault) With(header, value string) Fault {
	f.header = f.header.Clone()
	if f.header == nil {
		f.header = http.Header{}
	}
	f.header.Add(header, value)
	return f
}

// Script makes requests of kind k meet faults, in this order. A request takes the
// first fault in the script, over all calls of Script, that is for it and not
// used up yet. It takes it on arrival, before it is held.
func (t *Tenant) Script(k Kind, faults ...Fault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range faults {
		if f.times == 0 {
			continue
		}
		t.script = append(t.script, &scripted{kind: k, fault: f, remaining: f.times})
	}
}

// Heal forgets every fault that was scripted, and lets go of what hangs.
func (t *Tenant) Heal() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.script = nil
	close(t.healed)
	t.healed = make(chan struct{})
}

// scripted is one fault that waits for requests.
type scripted struct {
	kind      Kind
	fault     Fault
	remaining int // -1 for ever
}

// nextFault takes the fault that c shall meet. The caller holds t.mu.
func (t *Tenant) nextFault(c *call) *Fault {
	for i, s := range t.script {
		if !c.matches(s.kind) || s.fault.when != nil && !s.fault.when(c.form) {
			continue
		}
		if s.remaining > 0 {
			s.remaining--
		}
		if s.remaining == 0 {
			t.script = append(t.script[:i:i], t.script[i+1:]...)
		}
		return &s.fault
	}
	return nil
}

// spoil answers as f says.
func (t *Tenant) spoil(c *call, f *Fault, good *reply) *reply {
	if f.echo != nil {
		inner := f.echo(t.secretsOf(c))
		return t.spoil(c, &inner, good)
	}
	if f.hangs {
		t.await(c.req.Context(), c.healed)
		return nil
	}
	if !t.sleep(c.req.Context(), f.delay) {
		return nil
	}
	r := f.answer(c, good)
	if r.oauth != nil && c.kind == Authorize && t.pull(c) {
		if _, to, err := t.redirectTarget(c); err == nil {
			r = t.backWith(to, c.form, r.oauth)
		}
	}
	if f.trap {
		r = redirect(r.status, t.URL(pathTrap))
	}
	if f.zips {
		r.compress(c.req)
	}
	if len(f.header) > 0 && r.end < resetConn {
		r.header = r.header.Clone()
		maps.Copy(r.header, f.header)
	}
	return r
}

// instead is a fault that answers r whatever the tenant would have said.
func instead(r func() *reply) Fault {
	return Fault{times: 1, answer: func(*call, *reply) *reply { return r() }}
}

// shaping is a fault that changes the good answer.
func shaping(f func(good *reply)) Fault {
	return Fault{times: 1, shapes: true, answer: func(_ *call, good *reply) *reply {
		f(good)
		return good
	}}
}

// OK is no fault: the request is answered well. It is for "the third one fails":
// Script(Refresh, OK().Times(2), Status(500)).
func OK() Fault { return shaping(func(*reply) {}) }

// Delay answers well, but d later on the tenant's clock, when the grant has taken
// effect.
func Delay(d time.Duration) Fault {
	f := OK()
	f.delay = d
	return f
}

// Status answers an HTTP status with a body that is not JSON.
func Status(status int) Fault {
	return Respond(status, "text/plain; charset=utf-8", http.StatusText(status)+"\n")
}

// Respond answers exactly this.
func Respond(status int, contentType, body string) Fault {
	if status == http.StatusNoContent || status == http.StatusNotModified {
		body = ""
	}
	return instead(func() *reply {
		r := &reply{status: status, header: http.Header{}, body: []byte(body)}
		if contentType != "" {
			r.header.Set("Content-Type", contentType)
		}
		return r
	})
}

// Garbage answers a web page with status 200, as a captive portal does.
func Garbage() Fault {
	return Respond(http.StatusOK, "text/html; charset=utf-8", "<!doctype html><title>Welcome</title><p>Please accept the terms of this network.")
}

// OAuthError answers an error of RFC 6749 section 5.2; the authorize endpoint sends
// it to the redirect URI. The status is 401 for invalid_client, 403 for
// invalid_grant, as Auth0 answers, and 400 for all others.
func OAuthError(code, description string) Fault {
	return instead(func() *reply { return oauthReply(code, description) })
}

// MFARequired answers that a second factor is wanted. An empty token is left out,
// and so are nil requirements.
func MFARequired(token string, requirements any) Fault {
	return instead(func() *reply {
		r := oauthReply("mfa_required", "Multifactor authentication required")
		body := map[string]any{"error": r.oauth.code, "error_description": r.oauth.description}
		if token != "" {
			body["mfa_token"] = token
		}
		if requirements != nil {
			body["mfa_requirements"] = requirements
		}
		r.body = marshal(body)
		return r
	})
}

// ResetConn resets the connection (RST) before anything is answered. A tenant that
// is down altogether is Script(Any, ResetConn().Always()).
func ResetConn() Fault { return instead(func() *reply { return &reply{end: resetConn} }) }

// Hang never answers: the request ends when its client gives up, when the tenant
// closes, or at Heal, which resets its connection.
func Hang() Fault {
	return Fault{times: 1, hangs: true}
}

// Cut closes the connection in the middle of the body.
func Cut() Fault { return broken(func(r *reply) { r.end = cut }) }

// Truncated answers half of the JSON as if it were all.
func Truncated() Fault { return broken(func(r *reply) { r.body = r.body[:len(r.body)/2] }) }

// broken is a fault that spoils the good answer, or one that looks good where the
// grant has not taken place.
func broken(f func(*reply)) Fault {
	return Fault{times: 1, answer: func(_ *call, good *reply) *reply {
		if good == nil {
			good = jsonReply(http.StatusOK, map[string]any{
				"access_token": secret("never_"), "refresh_token": secret("never_"), "token_type": "Bearer",
			})
		}
		f(good)
		return good
	}}
}

// SlowBody sends the good answer chunk bytes at a time, each after a pause on the
// tenant's clock.
func SlowBody(chunk int, pause time.Duration) Fault {
	return shaping(func(r *reply) { r.chunk, r.pause = max(chunk, 1), pause })
}

// HugeBody makes the good answer size bytes long, still valid JSON.
func HugeBody(size int) Fault {
	return Edit(func(body map[string]any) {
		body["padding"] = ""
		body["padding"] = strings.Repeat("x", max(size-len(marshal(body)), 0))
	})
}

// Edit changes the good answer, where that is a JSON object: of the token endpoint,
// of discovery, of the JWKS. Numbers are json.Number; json.RawMessage writes what
// Go's own types cannot.
func Edit(change func(body map[string]any)) Fault {
	return shaping(func(r *reply) { r.edit(change) })
}

// edit changes the body, where that is a JSON object.
func (r *reply) edit(change func(body map[string]any)) {
	var body map[string]any
	d := json.NewDecoder(strings.NewReader(string(r.body)))
	d.UseNumber()
	if d.Decode(&body) != nil {
		return
	}
	change(body)
	r.body = marshal(body)
}

// ExpiresIn answers with this expires_in: a number, a text, json.RawMessage, or
// Absent.
func ExpiresIn(v any) Fault {
	return Edit(func(body map[string]any) { Claims(body).add(Claims{"expires_in": v}) })
}

// NoScope leaves scope out of the answer.
func NoScope() Fault { return Edit(func(body map[string]any) { delete(body, "scope") }) }

// Redirect answers a redirect, for example http.StatusTemporaryRedirect, which asks
// the client to send its secrets again. An empty location leads to a page of the
// tenant that tells Spilled what reached it.
func Redirect(status int, location string) Fault {
	if status < 300 || status > 399 {
		panic(fmt.Sprintf("idptest: %d is not a redirect", status))
	}
	f := instead(func() *reply { return redirect(status, location) })
	f.trap = location == ""
	return f
}
