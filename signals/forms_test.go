package signals_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/signals"
)

// form is one way in which universal logout and security events name sessions, or seem to. When it comes it is an hour after
// t0: ada's phone has signed in at t0 and her laptop ten minutes later, her tablet a minute ago; bob's at t0.
type form struct {
	name string
	send func(r *rig) []int // what is sent; it returns the statuses of the answers
	want []int
	ends []string
}

var all = []string{"laptop", "phone", "tablet"} // of ada's

type edit = func(*idptest.Draft)

func claim(name string, v any) edit { return func(d *idptest.Draft) { d.Claims[name] = v } }
func without(name string) edit      { return func(d *idptest.Draft) { delete(d.Claims, name) } }
func header(name string, v any) edit {
	return func(d *idptest.Draft) { d.Header[name] = v }
}
func wrongKey(d *idptest.Draft) { d.WrongKey = true }
func broken(d *idptest.Draft)   { d.BrokenSignature = true }

// at has a token made, or its event happened, some time ago.
func (r *rig) ago(d time.Duration) int64 { return r.clock.Now().Add(-d).Unix() }

func (r *rig) user(sub string) idptest.Claims {
	return idptest.Claims{"format": "iss_sub", "iss": r.tenant.Issuer(), "sub": sub}
}

func theSession(sid string) idptest.Claims { return idptest.Claims{"format": "opaque", "id": sid} }

func named(subject any) string {
	b, err := json.Marshal(map[string]any{"sub_id": subject})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// logoutOf is a universal logout of a subject.
func logoutOf(subject func(r *rig) any, edits ...edit) func(*rig) []int {
	return func(r *rig) []int {
		return []int{r.call(r.tenant.RevocationToken(logoutURL, edits...), named(subject(r)))}
	}
}

func logoutOfAda(edits ...edit) func(*rig) []int { return logoutOf(theAda, edits...) }

func theAda(r *rig) any { return r.user(ada) }

func is(v any) func(*rig) any { return func(*rig) any { return v } }

// event is a push of a security event.
func event(eventType string, subject func(r *rig) any, edits ...edit) func(*rig) []int {
	return func(r *rig) []int {
		claims, _ := subject(r).(idptest.Claims)
		return []int{r.push(r.tenant.EventToken(eventType, claims, edits...))}
	}
}

func revoked(edits ...edit) func(*rig) []int { return event(signals.SessionRevoked, theAda, edits...) }

// complexly is a subject of several members.
func complexly(members ...any) func(*rig) any {
	return func(r *rig) any {
		s := idptest.Claims{"format": "complex"}
		for i := 0; i < len(members); i += 2 {
			v := members[i+1]
			if sub, ok := v.(string); ok {
				v = map[string]any(r.user(sub))
			} else if c, ok := v.(idptest.Claims); ok {
				v = map[string]any(c)
			}
			s[members[i].(string)] = v
		}
		return s
	}
}

// happened has a session-revoked have happened at a time, in its members.
func happened(at any) edit {
	return claim("events", map[string]any{signals.SessionRevoked: map[string]any{"event_timestamp": at}})
}

var logoutForms = []form{
	{"by iss and sub", logoutOfAda(), []int{204}, all},
	{"the issuer in another spelling", func(r *rig) []int {
		return logoutOf(is(idptest.Claims{"format": "iss_sub", "iss": "HTTPS://" + r.tenant.Issuer()[len("https://"):len(r.tenant.Issuer())-1], "sub": ada}))(r)
	}, []int{204}, all},
	{"by email", logoutOf(is(idptest.Claims{"format": "email", "email": "Ada@Example.com"})), []int{204}, all},
	{"by an opaque id", logoutOf(is(theSession("ada's id"))), []int{204}, all},
	{"by aliases", logoutOf(func(r *rig) any {
		return idptest.Claims{"format": "aliases", "identifiers": []any{r.user(ada), idptest.Claims{"format": "email", "email": adaMail}}}
	}), []int{204}, all},
	{"by aliases of which one is not known here", logoutOf(func(r *rig) any {
		return idptest.Claims{"format": "aliases", "identifiers": []any{theSession("eve's id"), r.user(ada), idptest.Claims{"format": "phone_number", "phone_number": "+1"}}}
	}), []int{204}, all},
	{"by aliases none of which is known", logoutOf(is(idptest.Claims{"format": "aliases", "identifiers": []any{theSession("eve's id"), theSession("eve's other id")}})), []int{404}, nil},
	{"by aliases within aliases", logoutOf(is(idptest.Claims{"format": "aliases", "identifiers": []any{idptest.Claims{"format": "aliases", "identifiers": []any{theSession("ada's id")}}}})), []int{400}, nil},
	{"a session that is no subject, beside a user", logoutOf(complexly("user", ada, "session", 7)), []int{400}, nil},
	{"an email that looks the same", logoutOf(is(idptest.Claims{"format": "email", "email": "ada@exampl\u0435.com"})), []int{204}, nil},
	{"under the name of older drafts", func(r *rig) []int {
		return []int{r.call(r.tenant.RevocationToken(logoutURL), `{"subject":`+named(r.user(ada))[len(`{"sub_id":`):])}
	}, []int{204}, all},
	{"with a JWT of no type", logoutOfAda(func(d *idptest.Draft) { delete(d.Header, "typ") }), []int{204}, all},
	{"twice, by two tokens", func(r *rig) []int { return append(logoutOfAda()(r), logoutOfAda()(r)...) }, []int{204, 204}, all},
	{"twice, by one token", func(r *rig) []int {
		token := r.tenant.RevocationToken(logoutURL)
		first := r.call(token, named(r.user(ada)))
		return []int{first, r.call(token, named(r.user(bob)))}
	}, []int{204, 401}, all},
	{"a token that was made before a session began", func(r *rig) []int { return logoutOfAda(claim("iat", r.ago(3*time.Minute)))(r) }, []int{204}, []string{"laptop", "phone"}},
	{"a user who has no session", logoutOf(func(r *rig) any { return r.user("eve") }), []int{204}, nil},
	{"an opaque id that is not known", logoutOf(is(theSession("eve's id"))), []int{404}, nil},
	{"an opaque id that cannot be looked up", logoutOf(is(theSession("out of order"))), []int{422}, nil},
	{"another format", logoutOf(is(idptest.Claims{"format": "phone_number", "phone_number": "+12065550100"})), []int{400}, nil},
	{"nobody", func(r *rig) []int { return []int{r.call(r.tenant.RevocationToken(logoutURL), `{}`)} }, []int{400}, nil},
	{"no JSON", func(r *rig) []int { return []int{r.call(r.tenant.RevocationToken(logoutURL), `sub_id=ada`)} }, []int{400}, nil},
	{"an iss_sub without sub", logoutOf(func(r *rig) any { return idptest.Claims{"format": "iss_sub", "iss": r.tenant.Issuer()} }), []int{400}, nil},
	{"a user of another issuer", logoutOf(is(idptest.Claims{"format": "iss_sub", "iss": "https://other.example/", "sub": ada})), []int{403}, nil},
	{"no caller", func(r *rig) []int {
		return []int{serve(r.logout, http.MethodPost, "application/json", "", named(r.user(ada))).Code}
	}, []int{401}, nil},
	{"a forged caller", logoutOfAda(wrongKey), []int{401}, nil},
	{"a caller with an altered signature", logoutOfAda(broken), []int{401}, nil},
	{"a caller without signature", logoutOfAda(header("alg", "none")), []int{401}, nil},
	{"a caller signed by a shared secret", logoutOfAda(header("alg", "HS256")), []int{401}, nil},
	{"a caller with an unknown key", logoutOfAda(header("kid", "unknown")), []int{401}, nil},
	{"a token for another endpoint", logoutOfAda(claim("aud", "https://other.example/revoke")), []int{401}, nil},
	{"a caller with critical headers", logoutOfAda(header("crit", []string{"exp"})), []int{401}, nil},
	{"a caller with a key by jku", logoutOfAda(wrongKey, header("jku", "https://evil.example/keys")), []int{401}, nil},
	{"a token made in the future", func(r *rig) []int { return logoutOfAda(claim("iat", r.ago(-time.Minute)))(r) }, []int{401}, nil},
	{"a token of another issuer", logoutOfAda(claim("iss", "https://evil.example/")), []int{401}, nil},
	{"a token that has expired", func(r *rig) []int {
		return logoutOfAda(claim("iat", r.ago(10*time.Minute)), claim("exp", r.ago(time.Minute)))(r)
	}, []int{401}, nil},
	{"a token without jti", logoutOfAda(without("jti")), []int{401}, nil},
	{"a token without exp", logoutOfAda(without("exp")), []int{401}, nil},
	{"a token that is good for days", func(r *rig) []int { return logoutOfAda(claim("exp", r.ago(-48*time.Hour)))(r) }, []int{401}, nil},
	{"an event as the caller's token", func(r *rig) []int {
		return []int{r.call(r.tenant.EventToken(signals.SessionRevoked, r.user(ada), claim("aud", logoutURL)), named(r.user(ada)))}
	}, []int{401}, nil},
	{"another method", func(r *rig) []int {
		return []int{serve(r.logout, http.MethodGet, "application/json", "Bearer "+r.tenant.RevocationToken(logoutURL), named(r.user(ada))).Code}
	}, []int{405}, nil},
	{"another media type", func(r *rig) []int {
		return []int{serve(r.logout, http.MethodPost, "text/plain", "Bearer "+r.tenant.RevocationToken(logoutURL), named(r.user(ada))).Code}
	}, []int{400}, nil},
}

var eventForms = []form{
	{"session-revoked", revoked(), []int{202}, all},
	{"account-disabled", event(signals.AccountDisabled, theAda), []int{202}, all},
	{"account-purged", event(signals.AccountPurged, theAda), []int{202}, all},
	{"sessions-revoked", event(signals.SessionsRevoked, theAda), []int{202}, all},
	{"by email", event(signals.SessionRevoked, is(idptest.Claims{"format": "email", "email": adaMail})), []int{202}, all},
	{"by an opaque id", event(signals.SessionRevoked, is(theSession("ada's id"))), []int{202}, all},
	{"a session of a user", event(signals.SessionRevoked, complexly("user", ada, "session", theSession("laptop"))), []int{202}, []string{"laptop"}},
	{"a session of a user by email", event(signals.SessionRevoked, complexly("user", idptest.Claims{"format": "email", "email": adaMail}, "session", theSession("laptop"))), []int{202}, []string{"laptop"}},
	{"a session", event(signals.SessionRevoked, complexly("session", theSession("laptop"))), []int{202}, []string{"laptop"}},
	{"a session of another user by email", event(signals.SessionRevoked, complexly("user", idptest.Claims{"format": "email", "email": "bob@example.com"}, "session", theSession("laptop"))), []int{202}, nil},
	{"a session of another user by an opaque id", event(signals.SessionRevoked, func(r *rig) any {
		return complexly("user", theSession("ada's id"), "session", theSession("bob's"))(r)
	}), []int{202}, nil},
	{"a session that is none of a user", event(signals.SessionRevoked, complexly("user", ada, "session", theSession("none"))), []int{202}, nil},
	{"a session of a user who has no session", event(signals.SessionRevoked, complexly("user", "eve", "session", theSession("laptop"))), []int{202}, nil},
	{"a user by aliases and a session", event(signals.SessionRevoked, func(r *rig) any {
		return complexly("user", idptest.Claims{"format": "aliases", "identifiers": []any{map[string]any(r.user("eve")), map[string]any(r.user(ada))}}, "session", theSession("laptop"))(r)
	}), []int{202}, []string{"laptop"}},
	{"by aliases of which one is not known here", event(signals.SessionRevoked, func(r *rig) any {
		return idptest.Claims{"format": "aliases", "identifiers": []any{map[string]any(theSession("eve's id")), map[string]any(r.user(ada))}}
	}), []int{202}, all},
	{"an email in another letter case", event(signals.SessionRevoked, is(idptest.Claims{"format": "email", "email": " ADA@EXAMPLE.com"})), []int{202}, all},
	{"a session that is null, beside a user", event(signals.SessionRevoked, complexly("user", ada, "session", nil)), []int{202}, all},
	{"a session that is a number, beside a user", event(signals.SessionRevoked, complexly("user", ada, "session", 7)), []int{400}, nil},
	{"a device that is a list, beside a user", event(signals.SessionRevoked, complexly("user", ada, "device", []string{"a device"})), []int{400}, nil},
	{"complex in complex", event(signals.SessionRevoked, complexly("user", idptest.Claims{"format": "complex", "user": theSession("ada's id")})), []int{400}, nil},
	{"two events in one token", revoked(claim("events", map[string]any{
		signals.SessionRevoked: map[string]any{}, signals.CredentialChange: map[string]any{},
	})), []int{202}, all},
	{"two events, of which one is none", revoked(claim("events", map[string]any{
		signals.SessionRevoked: map[string]any{}, "https://schemas.example/event-type/other": "x",
	})), []int{400}, nil},
	{"sub_id, and another subject in the event", revoked(func(d *idptest.Draft) {
		d.Claims["events"] = map[string]any{signals.SessionRevoked: map[string]any{"subject": map[string]any{"format": "iss_sub", "iss": d.Claims["iss"], "sub": bob}}}
	}), []int{202}, all},
	{"an event of another type without subject", event("https://schemas.example/event-type/other", theAda, without("sub_id")), []int{202}, nil},
	{"an event of another type with a subject of its own", event("x", is(nil), without("sub_id"), claim("events", map[string]any{
		"https://schemas.example/event-type/other": map[string]any{"subject": "of a mail"},
	})), []int{202}, nil},
	{"a session-revoked with a subject of its own", revoked(without("sub_id"), claim("events", map[string]any{
		signals.SessionRevoked: map[string]any{"subject": "of a mail"},
	})), []int{400}, nil},
	{"an aud of several", revoked(claim("aud", []string{"https://other.example/", idptest.EventAudience})), []int{202}, all},
	{"the long form of the type", revoked(header("typ", "application/secevent+jwt")), []int{202}, all},
	{"an event 30 seconds before a session counts for it", func(r *rig) []int {
		return revoked(happened(r.ago(time.Minute + 30*time.Second)))(r)
	}, []int{202}, all},
	{"one 31 seconds before does not", func(r *rig) []int {
		return revoked(happened(r.ago(time.Minute + 31*time.Second)))(r)
	}, []int{202}, []string{"laptop", "phone"}},
	{"a time that is no number counts from the token", revoked(happened("yesterday")), []int{202}, all},
	{"critical headers", revoked(header("crit", []string{"b64"}), header("b64", true)), []int{400}, nil},
	{"a key by jku", revoked(wrongKey, header("jku", "https://evil.example/keys")), []int{400}, nil},
	{"a key by x5u", revoked(wrongKey, header("x5u", "https://evil.example/keys")), []int{400}, nil},
	{"a key of its own", revoked(wrongKey, header("jwk", map[string]any{"kty": "oct", "k": "AAAA"})), []int{400}, nil},
	{"a token within a token", func(r *rig) []int {
		inner := r.tenant.EventToken(signals.SessionRevoked, r.user(ada))
		outer := raw(r.tenant.EventToken(signals.SessionRevoked, r.user(ada), header("cty", "JWT")), func(p []string) string { return p[0] + "." + encoded(inner) + "." + p[2] })
		return []int{r.push(outer)}
	}, []int{400}, nil},
	{"the claims of another token", func(r *rig) []int {
		other := strings.Split(r.tenant.EventToken(signals.SessionRevoked, r.user(bob)), ".")
		return []int{r.push(raw(r.tenant.EventToken(signals.SessionRevoked, r.user(ada)), func(p []string) string { return p[0] + "." + other[1] + "." + p[2] }))}
	}, []int{400}, nil},
	{"encrypted", func(r *rig) []int {
		return []int{r.push(r.tenant.EventToken(signals.SessionRevoked, r.user(ada)) + ".x.y")}
	}, []int{400}, nil},
	{"a session of another user", event(signals.SessionRevoked, complexly("user", bob, "session", theSession("laptop"))), []int{202}, nil},
	{"a user in a tenant", event(signals.SessionRevoked, complexly("user", ada, "tenant", theSession("a tenant"))), []int{202}, all},
	{"a device of a user", event(signals.SessionRevoked, complexly("user", ada, "device", theSession("a device"))), []int{202}, nil},
	{"the subject in the event, as in drafts", revoked(without("sub_id"), func(d *idptest.Draft) {
		d.Claims["events"] = map[string]any{signals.SessionRevoked: map[string]any{
			"subject": map[string]any{"subject_type": "iss-sub", "iss": d.Claims["iss"], "sub": ada},
		}}
	}), []int{202}, all},
	{"an earlier event", func(r *rig) []int { return revoked(happened(r.ago(5 * time.Minute)))(r) }, []int{202}, []string{"laptop", "phone"}},
	{"an event in milliseconds, as in drafts", func(r *rig) []int { return revoked(happened(r.ago(5*time.Minute) * 1000))(r) }, []int{202}, []string{"laptop", "phone"}},
	{"an event of the future counts from its token", func(r *rig) []int {
		return revoked(happened(r.ago(-time.Hour)), claim("iat", r.ago(5*time.Minute)))(r)
	}, []int{202}, []string{"laptop", "phone"}},
	{"an event without a time counts from its token", func(r *rig) []int {
		return revoked(claim("events", map[string]any{signals.SessionRevoked: map[string]any{}}), claim("iat", r.ago(55*time.Minute)))(r)
	}, []int{202}, []string{"phone"}},
	{"out of order", func(r *rig) []int {
		return append(revoked(happened(r.ago(5*time.Minute)))(r), revoked(happened(r.ago(50*time.Minute)))(r)...)
	}, []int{202, 202}, []string{"laptop", "phone"}},
	{"twice", func(r *rig) []int {
		token := r.tenant.EventToken(signals.SessionRevoked, r.user(ada))
		return []int{r.push(token), r.push(token), r.push(token)}
	}, []int{202, 202, 202}, all},
	{"again after a restart and a new login", func(r *rig) []int {
		token := r.tenant.EventToken(signals.SessionRevoked, r.user(ada))
		first := r.push(token)
		r.clock.Advance(3 * time.Minute)
		r.login(ada, "new")
		r.receiver = r.newReceiver(r.client)
		return []int{first, r.push(token)}
	}, []int{202, 202}, all},
	{"a logout and events of one user at once", func(r *rig) []int {
		var group sync.WaitGroup
		got := make([]int, 6)
		for i := range got {
			send := revoked()
			if i%2 == 0 {
				send = logoutOfAda()
			}
			group.Go(func() { got[i] = send(r)[0] })
		}
		group.Wait()
		return got
	}, []int{204, 202, 204, 202, 204, 202}, all},
	{"with an exp that is to come", func(r *rig) []int { return revoked(claim("exp", r.ago(-time.Minute)))(r) }, []int{202}, all},
	{"credential-change", event(signals.CredentialChange, theAda), []int{202}, nil},
	{"assurance-level-change", event(signals.AssuranceLevelChange, theAda), []int{202}, nil},
	{"an event of another type", event("https://schemas.example/event-type/other", theAda), []int{202}, nil},
	{"a user who has no session", event(signals.SessionRevoked, func(r *rig) any { return r.user("eve") }), []int{202}, nil},
	{"a user of another issuer", event(signals.SessionRevoked, is(idptest.Claims{"format": "iss_sub", "iss": "https://other.example/", "sub": ada})), []int{202}, nil},
	{"forged", revoked(wrongKey), []int{400}, nil},
	{"an altered signature", revoked(broken), []int{400}, nil},
	{"no signature", revoked(header("alg", "none")), []int{400}, nil},
	{"signed by a shared secret", revoked(header("alg", "HS256")), []int{400}, nil},
	{"an unknown key", revoked(header("kid", "unknown")), []int{400}, nil},
	{"for another receiver", revoked(claim("aud", "https://other.example/")), []int{400}, nil},
	{"from another transmitter", revoked(claim("iss", "https://evil.example/")), []int{400}, nil},
	{"a token of another type", revoked(header("typ", "JWT")), []int{400}, nil},
	{"no jti", revoked(without("jti")), []int{400}, nil},
	{"no iat", revoked(without("iat")), []int{400}, nil},
	{"made in the future", func(r *rig) []int { return revoked(claim("iat", r.ago(-time.Minute)))(r) }, []int{400}, nil},
	{"expired", func(r *rig) []int { return revoked(claim("exp", r.ago(time.Minute)))(r) }, []int{400}, nil},
	{"no events", revoked(without("events")), []int{400}, nil},
	{"no subject", revoked(without("sub_id")), []int{400}, nil},
	{"a logout token", func(r *rig) []int {
		return []int{r.push(r.tenant.LogoutToken(ada, "", claim("aud", idptest.EventAudience)))}
	}, []int{400}, nil},
	{"the wrong password", func(r *rig) []int {
		return []int{serve(r.receiver.Push(), http.MethodPost, "application/secevent+jwt", "Bearer guess", r.tenant.EventToken(signals.SessionRevoked, r.user(ada))).Code}
	}, []int{400}, nil},
	{"another media type", func(r *rig) []int {
		return []int{serve(r.receiver.Push(), http.MethodPost, "application/json", pushPassword, r.tenant.EventToken(signals.SessionRevoked, r.user(ada))).Code}
	}, []int{400}, nil},
}

// Each legal form ends what it names, once, whether it is in memory or asleep; no other does.
func TestForms(t *testing.T) {
	run := func(kind string, forms []form) {
		for _, f := range forms {
			for _, asleep := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/asleep=%v", kind, f.name, asleep), func(t *testing.T) { f.check(t, asleep) })
			}
		}
	}
	run("logout", logoutForms)
	run("event", eventForms)
	if n := len(logoutForms) + len(eventForms); n < 40 {
		t.Errorf("%d forms, want 40 at least", n)
	}
}

func (f *form) check(t *testing.T, asleep bool) {
	r := newRig(t)
	r.login(ada, "phone")
	r.login(bob, "bob's")
	r.clock.Advance(10 * time.Minute)
	r.login(ada, "laptop")
	r.clock.Advance(49 * time.Minute)
	r.login(ada, "tablet")
	r.clock.Advance(time.Minute)
	if asleep {
		r.restart()
	}
	if got := f.send(r); !slices.Equal(got, f.want) {
		t.Errorf("answers %v, want %v\n%s", got, f.want, r.log)
	}
	want := []string{}
	for name := range r.ids {
		if !slices.Contains(f.ends, name) {
			want = append(want, name)
		}
	}
	slices.Sort(want)
	if got := r.living(); !slices.Equal(got, want) {
		t.Errorf("%v live, want %v", got, want)
	}
	// Two that meet may both ask the store, which keeps the first end.
	if n := r.store.Ends(); n != len(f.ends) && (len(f.want) < 4 || n < len(f.ends)) {
		t.Errorf("the store was asked for %d ends, want %d", n, len(f.ends))
	}
	r.wantNoSecrets()
}
