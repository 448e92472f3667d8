package test_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store/storetest"
)

// nthDefect is a clock that panics once: when a session asks it for the time at the start of
// the nth message that it handles. The panic's value knows a secret.
type nthDefect struct {
	clock.Clock
	left atomic.Int64
	met  atomic.Bool
}

const defectCanary = "rt_0_0_0123456789abcdef0123456789abcdef"

// Now implements clock.Clock.
func (c *nthDefect) Now() time.Time {
	pcs := make([]uintptr, 8)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	if f, _ := frames.Next(); strings.HasSuffix(f.Function, "actors.(*Session).handle") && c.left.Add(-1) == 0 {
		c.met.Store(true)
		panic(&echoError{defectCanary})
	}
	return c.Clock.Now()
}

// everyMessage makes a session handle every kind of message there is, and ignores the results of its
// calls. In a bubble only, where each run has the same messages: a request
// has come back before the next call.
func everyMessage(t *testing.T, r *rig) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	id := tokenward.SessionID("a session id that is a secret of its browser's")
	r.log.knows("a session id that is a secret of its browser's")
	ask := func(audience string) {
		_, _ = r.client.GetAccessToken(ctx, tokenward.TokenRequest{Audience: audience}, id)
		r.rest()
	}
	pass := func(d time.Duration) { // what is due at different times does not meet
		for _, step := range []time.Duration{time.Second / 2, 2 * time.Second, d - 5*time.Second/2} {
			r.clock.Advance(step)
			r.rest()
		}
	}
	connection := func() {
		_, _ = r.client.GetAccessTokenForConnection(ctx, tokenward.ConnectionRequest{Connection: google}, id)
		r.rest()
	}
	signIn := func(claims idptest.Claims) {
		pass(3 * time.Minute) // past the memory of a logout token, and a quarantine
		_, _ = r.tryLogin(id, claims)
		r.rest()
	}
	signIn(nil)
	ask("https://one")
	connection()
	r.store.Fail(storetest.OpUpdate, 1)
	ask("https://two")
	r.clock.Advance(time.Second) // the save is tried again
	r.rest()
	r.store.FailAfter(storetest.OpUpdate, 1)
	ask("https://three")
	r.tenant.Script(idptest.Refresh, idptest.OAuthError("invalid_scope", ""))
	ask("https://four")
	r.store.Fail(storetest.OpEnd, 1)
	hold := r.tenant.Hold(idptest.Revocation, idptest.BeforeGrant) // so that it comes back last
	_, _ = r.client.Logout(ctx, tokenward.LogoutRequest{}, id)
	r.rest()
	hold.Release()
	r.rest()
	signIn(nil)
	_ = r.backchannel(r.tenant.LogoutToken(idptest.Subject, "", func(d *idptest.Draft) { d.Claims["aud"] = "demo" }))
	r.rest()
	signIn(idptest.Claims{"session_expiry": r.clock.Now().Add(10 * time.Minute).Unix()})
	connection() // which remains: an actor sees to that
	pass(11 * time.Minute)
	signIn(nil)
	pass(20 * time.Minute) // passivated
	ask("https://five")
	now, giveUp := context.WithTimeout(ctx, 5*time.Second)
	defer giveUp()
	_ = r.client.Close(now)
}

// P10: a defect in any message at all shows nothing: not what the message or the session
// carries, not what the panic says.
func TestCanary_aDefectInEveryMessage(t *testing.T) {
	met := make(map[string]bool)
	for n := int64(1); ; n++ {
		hit := false
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				r.close()
				defect := &nthDefect{Clock: r.clock}
				defect.left.Store(n)
				r.client = r.newClientToCut(tokenward.WithClock(defect), tokenward.WithStateStore(r.store), tokenward.WithHTTPClient(r.tenant.Client()), tokenward.WithRevocation())
				everyMessage(t, r)
				hit = defect.met.Load()
				text := r.log.text.String()
				if strings.Contains(text, defectCanary[:12]) {
					t.Error("the log shows what a panic said")
				}
				if !hit {
					return
				}
				if got := r.client.Stats().Failures; got != 1 {
					t.Errorf("defects = %d, want 1", got)
				}
				for line := range strings.Lines(text) {
					var said struct{ Message, Stack string }
					if json.Unmarshal([]byte(line), &said) == nil && said.Message != "" {
						met[said.Message] = true
						if !strings.Contains(said.Stack, "actors.(*Session)") {
							t.Errorf("the log has no stack: %s", line)
						}
					}
				}
			})
		})
		if !hit || t.Failed() {
			break
		}
	}
	for _, kind := range []string{
		"*messages.NeedToken", "*messages.ReplaceSession", "*messages.EndSession", "*messages.CeilingReached", "*messages.Passivate", "*messages.Finish",
		"*actors.permitGranted", "*actors.providerAnswered", "*actors.opDone", "*actors.retryDue", "*actors.revoked",
	} {
		if !met[kind] {
			t.Errorf("no defect in a %s: %v", kind, met)
		}
	}
}

// P10: an execution trace and a dump of all goroutines, taken while requests are in the
// air, hold no secret.
func TestCanary_traceAndGoroutines(t *testing.T) {
	var recorded, dump bytes.Buffer
	if err := trace.Start(&recorded); err != nil {
		t.Skip("a trace is being recorded already")
	}
	r := newRig(t, withTenant(idptest.InProcess()))
	id := r.login()
	r.log.knows(id)
	r.clock.Advance(idptest.TokenLife)
	hold := r.tenant.Hold(idptest.Spend, idptest.AfterGrant)
	asked := r.ask(t.Context(), id, tokenward.TokenRequest{})
	if err := hold.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := pprof.Lookup("goroutine").WriteTo(&dump, 2); err != nil {
		t.Error(err)
	}
	if err := pprof.Lookup("goroutine").WriteTo(&dump, 1); err != nil {
		t.Error(err)
	}
	hold.Release()
	if _, err := asked.wait(); err != nil {
		t.Error(err)
	}
	r.settle()
	trace.Stop()
	secrets := r.refreshToken(id)
	for what, text := range map[string]string{"the trace": recorded.String(), "the dump": dump.String()} {
		if found := r.tenant.SecretsIn(text); len(found) > 0 || strings.Contains(text, id) || strings.Contains(text, secrets) || strings.Contains(text, secret) {
			t.Errorf("%s shows %v", what, found)
		}
		if len(text) < 1000 {
			t.Errorf("%s has %d bytes only", what, len(text))
		}
	}
}
