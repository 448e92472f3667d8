package test_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store/storetest"
)

// cookies returns the session cookies of b as a browser sends them.
func (b *browser) cookies() string {
	var pairs []string
	if b.cookie != nil {
		pairs = append(pairs, "_a0_session="+b.cookie.Value)
	}
	for name, c := range b.others {
		if strings.HasPrefix(name, "_a0_session") {
			pairs = append(pairs, name+"="+c.Value)
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "; ")
}

// bringing returns a request with the session cookies of several browsers, in that order.
func bringing(cookies ...string) (tokenward.StoreOptions, *httptest.ResponseRecorder) {
	req, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
	req.Header.Set("Cookie", strings.Join(cookies, "; "))
	return tokenward.HTTP(w, req), w
}

// anotherUser is signed in as name, at the present second.
func (r *rig) anotherUser(name string) (b *browser, id string) {
	b = newBrowser(r)
	r.tenant.NextLogin(map[string]any{"nickname": name})
	id = b.login()
	r.clock.Advance(time.Second)
	return b, id
}

// After a change of the cookies' Domain a browser has two of one name, and sends the older one first.
func TestTwoCookies_theLivingOneCounts(t *testing.T) {
	eachKeeping(t, func(t *testing.T, r *rig) {
		older, olderID := r.anotherUser("older")
		newer, newerID := r.anotherUser("newer")
		wantName := func(doing, want string, cookies ...string) {
			t.Helper()
			o, w := bringing(cookies...)
			u, err := r.client.GetUser(t.Context(), o)
			if got, _ := u["nickname"].(string); got != want || err != nil {
				t.Errorf("%s: user %q, %v, want %q", doing, got, err, want)
			}
			if want != "" {
				if _, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, o); err != nil {
					t.Errorf("%s: %v", doing, err)
				}
			}
			if set := w.Header()["Set-Cookie"]; len(set) != 0 {
				t.Errorf("%s: Set-Cookie %q", doing, set)
			}
		}
		wantName("both live", "newer", older.cookies(), newer.cookies())
		wantName("both live", "newer", newer.cookies(), older.cookies())
		r.clock.Advance(30 * time.Minute)
		r.settle() // they go to sleep
		wantName("out of memory", "newer", older.cookies(), newer.cookies())
		r.logOut(tokenward.SessionID(newerID))
		wantName("the newer one is dead", "older", newer.cookies(), older.cookies())
		wantName("the newer one is dead", "older", older.cookies(), newer.cookies())
		wantName("three of them", "older", newer.cookies(), older.cookies(), newer.cookies())
		r.logOut(tokenward.SessionID(olderID))
		wantName("both are dead", "", older.cookies(), newer.cookies())
	})
}

// loginWith signs a user in whose browser brings those cookies too. It returns the answer.
func (r *rig) loginWith(cookies ...string) *httptest.ResponseRecorder {
	r.t.Helper()
	b := newBrowser(r)
	back, err := r.tenant.Authorize(r.start(tokenward.LoginRequest{}, b.options()))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, c := range b.answer.Result().Cookies() {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	o, w := bringing(cookies...)
	if _, err := r.client.CompleteInteractiveLogin(r.t.Context(), back, o); err != nil {
		r.t.Fatal(err)
	}
	return w
}

// The user signs in where a dead cookie comes first: the next page shows it, and no login follows the other.
func TestTwoCookies_noLoginLoop(t *testing.T) {
	eachKeeping(t, func(t *testing.T, r *rig) {
		dead, id := r.anotherUser("dead")
		r.logOut(tokenward.SessionID(id))
		b := newBrowser(r)
		b.answer = r.loginWith(dead.cookies())
		b.took()
		o, w := bringing(dead.cookies(), b.cookies())
		for range 3 {
			if u, err := r.client.GetUser(t.Context(), o); u == nil || err != nil || len(w.Header()) != 0 {
				t.Errorf("GetUser = %v, %v, header %v", u, err, w.Header())
			}
		}
	})
}

// A logout ends every session whose cookie came, else the user were signed in still; and so does a login, against fixation.
func TestTwoCookies_allEnd(t *testing.T) {
	eachKeeping(t, func(t *testing.T, r *rig) {
		for _, login := range []bool{false, true} {
			a, one := r.anotherUser("a")
			b, two := r.anotherUser("b")
			var w *httptest.ResponseRecorder
			if login {
				w = r.loginWith(a.cookies(), b.cookies())
			} else {
				var o tokenward.StoreOptions
				o, w = bringing(a.cookies(), b.cookies())
				r.logOut(o)
			}
			for _, id := range []string{one, two} {
				if u, err := r.client.GetUser(t.Context(), tokenward.SessionID(id)); u != nil || err != nil {
					t.Errorf("login %t: %v, %v, want both sessions ended", login, u, err)
				}
			}
			var kept int
			for _, c := range w.Result().Cookies() {
				if strings.HasPrefix(c.Name, "_a0_session") && c.MaxAge >= 0 {
					kept++
				}
			}
			if (kept > 0) != login || len(w.Header()["Set-Cookie"]) == 0 {
				t.Errorf("login %t: Set-Cookie %q", login, w.Header()["Set-Cookie"])
			}
		}
	})
}

// A store that does not answer is an outage, not the end of a session, and what lives elsewhere still counts.
func TestTwoCookies_whileTheStoreIsDown(t *testing.T) {
	r := newRig(t)
	a, _ := r.anotherUser("a")
	b, id := r.anotherUser("b")
	r.restart()
	r.store.Down()
	o, w := bringing(a.cookies(), b.cookies())
	if u, err := r.client.GetUser(t.Context(), o); u != nil || tokenward.CodeOf(err) != "store_error" || len(w.Header()) != 0 {
		t.Errorf("both unknown: %v, %v, %v", u, err, w.Header())
	}
	r.store.Heal()
	r.logOut(tokenward.SessionID(id))
	o, _ = bringing(b.cookies(), a.cookies())
	r.store.Fail(storetest.OpLoad, 2)
	if u, err := r.client.GetUser(t.Context(), o); u != nil || tokenward.CodeOf(err) != "store_error" {
		t.Errorf("one dead, one unknown: %v, %v", u, err)
	}
}

// Strangers can send any number of cookies: few of them cost a look into the store.
func TestTwoCookies_fourAtMost(t *testing.T) {
	r := newRig(t)
	var all []string
	for i := range 6 {
		b, id := r.anotherUser(fmt.Sprint(i))
		r.logOut(tokenward.SessionID(id))
		all = append(all, b.cookies())
	}
	r.restart()
	loads := r.store.Loads()
	o, _ := bringing(append([]string{"_a0_session=none"}, all...)...)
	if u, err := r.client.GetUser(t.Context(), o); u != nil || err != nil {
		t.Errorf("GetUser = %v, %v", u, err)
	}
	if n := r.store.Loads() - loads; n != 4 {
		t.Errorf("loads = %d, want 4", n)
	}
}

// Of one session in two cookies the one that was written last counts, and the other asks for no renewal.
func TestTwoCookies_ofOneSession(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	id := b.login()
	old := b.cookies()
	r.clock.Advance(2 * time.Hour)
	b.user() // renews
	o, w := bringing(old, b.cookies())
	if u, err := r.client.GetUser(t.Context(), o); u == nil || err != nil || len(w.Header()) != 0 {
		t.Errorf("GetUser = %v, %v, header %v", u, err, w.Header())
	}
	r.clock.Advance(23 * time.Hour) // the old one has lapsed
	if u, err := r.client.GetUser(t.Context(), o); u == nil || err != nil {
		t.Errorf("GetUser = %v, %v", u, err)
	}
	if n := r.store.Ends(session.KeyOf("_a0_session", id)); n != 0 {
		t.Errorf("deletes = %d", n)
	}
}
