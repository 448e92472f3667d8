package signals_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/internal/testing/await"
	"github.com/tokenward/tokenward/signals"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// asked returns the names of the sessions whose user a client asks to sign in again, for what needs nothing else.
func (r *rig) asked(c *tokenward.Client) []string {
	r.t.Helper()
	names := []string{}
	for name, id := range r.ids {
		u, err := c.GetUser(r.t.Context(), tokenward.SessionID(id))
		if err != nil || u == nil {
			r.t.Fatalf("GetUser = %v, %v", u, err)
		}
		if c.CheckStepUp(u, tokenward.StepUp{}) != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// changed is a push of a credential-change, or of another event, that happened some time ago.
func (r *rig) changed(eventType string, subject idptest.Claims, ago time.Duration, members idptest.Claims, edits ...edit) int {
	event := map[string]any{"event_timestamp": r.ago(ago)}
	for name, v := range members {
		event[name] = v
	}
	return r.push(r.tenant.EventToken(eventType, subject, append([]edit{claim("events", map[string]any{eventType: event})}, edits...)...))
}

// An event that wants a step-up has the users of the sessions that it names asked to sign in later than it, in all processes and also where they
// sleep, until they have. Sessions that began more than 30 seconds after it are not asked, however often and late it comes.
func TestStepUp(t *testing.T) {
	down := idptest.Claims{"change_direction": "decrease"}
	for name, tt := range map[string]struct {
		send func(r *rig) []int
		want []string // of the sessions of ada, who signed in an hour (phone) and a minute (tablet) ago, and bob's
	}{
		"credential-change":            {func(r *rig) []int { return []int{r.changed(signals.CredentialChange, r.user(ada), 0, nil)} }, []string{"phone", "tablet"}},
		"assurance-level-change, down": {func(r *rig) []int { return []int{r.changed(signals.AssuranceLevelChange, r.user(ada), 0, down)} }, []string{"phone", "tablet"}},
		"assurance-level-change, up": {func(r *rig) []int {
			return []int{r.changed(signals.AssuranceLevelChange, r.user(ada), 0, idptest.Claims{"change_direction": "increase"})}
		}, []string{}},
		"of an opaque id that is not known": {func(r *rig) []int { return []int{r.changed(signals.CredentialChange, theSession("tablet"), 0, nil)} }, []string{}},
		"of a user's session": {func(r *rig) []int {
			return []int{r.changed(signals.CredentialChange, complexly("user", ada, "session", theSession("tablet"))(r).(idptest.Claims), 0, nil)}
		}, []string{"tablet"}},
		"by email": {func(r *rig) []int {
			return []int{r.changed(signals.CredentialChange, idptest.Claims{"format": "email", "email": adaMail}, 0, nil)}
		}, []string{"phone", "tablet"}},
		"of a while ago": {func(r *rig) []int { return []int{r.changed(signals.CredentialChange, r.user(ada), 2*time.Minute, nil)} }, []string{"phone"}},
		"of before":      {func(r *rig) []int { return []int{r.changed(signals.CredentialChange, r.user(ada), 2*time.Hour, nil)} }, []string{}},
		"repeated, and out of order": {func(r *rig) []int {
			again := []edit{claim("jti", "the same")}
			return []int{
				r.changed(signals.CredentialChange, r.user(ada), time.Minute, nil, again...), r.changed(signals.CredentialChange, r.user(ada), 2*time.Hour, nil),
				r.changed(signals.CredentialChange, r.user(ada), time.Minute, nil, again...), r.changed(signals.CredentialChange, r.user(ada), time.Minute, nil),
			}
		}, []string{"phone", "tablet"}},
		"of an issuer that it may not speak of": {func(r *rig) []int {
			return []int{r.changed(signals.CredentialChange, idptest.Claims{"format": "iss_sub", "iss": "https://other.example/", "sub": ada}, 0, nil)}
		}, []string{}},
	} {
		for _, resident := range []bool{true, false} {
			r := newRigOn(t, "ES256", []store.MemoryOption{store.Shared()})
			signedIn := func() idptest.Claims { return idptest.Claims{"auth_time": r.clock.Now().Unix()} }
			r.login(ada, "phone", signedIn())
			r.login(bob, "bob's", signedIn())
			r.clock.Advance(59 * time.Minute)
			r.login(ada, "tablet", signedIn())
			r.clock.Advance(time.Minute)
			elsewhere := r.newClient()
			r.asked(elsewhere) // it has them in memory
			if !resident {
				r.restart()
			}
			name = fmt.Sprint(name, ", resident ", resident)
			for _, status := range tt.send(r) {
				if status != http.StatusAccepted {
					t.Errorf("%s: the answer is %d", name, status)
				}
			}
			if got := r.asked(r.client); !slices.Equal(got, tt.want) {
				t.Errorf("%s: asked are %v, want %v", name, got, tt.want)
			}
			await.Eventually(t, name+": the other process asks the same", func() bool { return slices.Equal(r.asked(elsewhere), tt.want) })
			asked := 0
			for _, e := range r.events {
				asked += e.Asked
			}
			if asked != len(tt.want) {
				t.Errorf("%s: events have asked %d, want %d", name, asked, len(tt.want))
			}
			if got := r.living(); len(got) != 3 {
				t.Errorf("%s: %v live", name, got)
			}
			r.wantNoSecrets()
		}
	}
}

// An event is acknowledged once the store has what it wants. Where that fails it comes again.
func TestStepUp_storeFails(t *testing.T) {
	for _, op := range []storetest.Op{storetest.OpFind, storetest.OpLoad, storetest.OpUpdate} {
		r := newRigOn(t, "ES256", []store.MemoryOption{store.Shared()})
		r.login(ada, "phone", idptest.Claims{"auth_time": t0.Unix()})
		r.restart()
		r.clock.Advance(time.Minute)
		r.store.Fail(op, 1)
		token := r.tenant.EventToken(signals.CredentialChange, r.user(ada))
		if status := r.push(token); status != http.StatusServiceUnavailable {
			t.Errorf("%v fails: the answer is %d, want 503", op, status)
		}
		if status := r.push(token); status != http.StatusAccepted || !slices.Equal(r.asked(r.newClient()), []string{"phone"}) {
			t.Errorf("%v fails: when it comes again the answer is %d, and asked are %v", op, status, r.asked(r.client))
		}
	}
}
