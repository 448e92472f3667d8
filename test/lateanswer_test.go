package test_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/store/cookie"
)

// openAnswer is a request of a browser whose answer has not begun.
type openAnswer struct {
	b      *browser
	o      tokenward.StoreOptions
	answer *httptest.ResponseRecorder
	finish func()
}

func (b *browser) ask() *openAnswer {
	b.options()
	a := &openAnswer{b: b, answer: b.answer}
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	if b.cookie != nil {
		req.AddCookie(b.cookie)
	}
	for _, c := range b.others {
		req.AddCookie(c)
	}
	w, finish := cookie.Wrap(a.answer)
	a.o, a.finish = tokenward.HTTP(w, req), finish
	return a
}

// arrives lets the answer begin, and the browser have it.
func (a *openAnswer) arrives() {
	a.finish()
	a.b.answer = a.answer
	a.b.took()
}

// eachKeeping runs f with sessions in a store and in cookies.
func eachKeeping(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Run("stateful", func(t *testing.T) { f(t, newRig(t)) })
	t.Run("stateless", func(t *testing.T) { f(t, stateless(t)) })
}

// A slow request left with an older cookie; in another tab the user has signed in since. Whatever the old request did, its answer
// leaves the new session alone.
func TestLateAnswer_leavesANewLoginAlone(t *testing.T) {
	type call = func(r *rig, o tokenward.StoreOptions)
	user := func(r *rig, o tokenward.StoreOptions) { _, _ = r.client.GetUser(r.t.Context(), o) }
	token := func(r *rig, o tokenward.StoreOptions) {
		_, _ = r.client.GetAccessToken(r.t.Context(), tokenward.TokenRequest{}, o)
	}
	logout := func(r *rig, o tokenward.StoreOptions) {
		if _, err := r.client.Logout(r.t.Context(), tokenward.LogoutRequest{}, o); err != nil {
			r.t.Error(err)
		}
	}
	for name, tt := range map[string]struct {
		before, after call           // the login in the other tab
		tab           func(*browser) // before the login there
	}{
		"a read that comes after the login": {nil, user, nil},
		"a renewal before it":               {user, nil, nil},
		"a refreshed token before it":       {token, nil, nil},
		"a token after it":                  {nil, token, nil},
		"a logout before it":                {logout, nil, nil},
		"a renewal before a logout and it":  {user, nil, func(b *browser) { b.r.logOut(b.options()); b.took() }},
		"a renewal, and a read after it":    {user, user, nil},
	} {
		t.Run(name, func(t *testing.T) {
			eachKeeping(t, func(t *testing.T, r *rig) {
				b := newBrowser(r)
				b.login()
				r.clock.Advance(2 * time.Hour) // a renewal is due
				slow := b.ask()
				if tt.before != nil {
					tt.before(r, slow.o)
					r.settle()
				}
				if tt.tab != nil {
					tt.tab(b)
				}
				b.login()
				before, others := b.cookie, maps.Clone(b.others)
				if tt.after != nil {
					tt.after(r, slow.o)
					r.settle()
				}
				slow.arrives()
				if n := len(slow.answer.Header()["Set-Cookie"]); n != 0 {
					t.Errorf("the late answer sets %q", slow.answer.Header()["Set-Cookie"])
				}
				b.cookie, b.others = before, others
				if b.user() == nil {
					t.Error("the new session does not live")
				}
			})
		})
	}
}

// In the usual order both come: a renewal, and the removal of a logout.
func TestLateAnswer_inTime(t *testing.T) {
	eachKeeping(t, func(t *testing.T, r *rig) {
		b := newBrowser(r)
		b.login()
		r.clock.Advance(2 * time.Hour)
		a := b.ask()
		if _, err := r.client.GetUser(t.Context(), a.o); err != nil {
			t.Fatal(err)
		}
		if a.arrives(); len(a.answer.Header()["Set-Cookie"]) == 0 {
			t.Error("the session was not renewed")
		}
		r.clock.Advance(2 * time.Hour)
		a = b.ask()
		if _, err := r.client.GetUser(t.Context(), a.o); err != nil { // renews, and is overruled
			t.Fatal(err)
		}
		r.logOut(a.o)
		if a.arrives(); b.cookie != nil || len(b.others) != 0 {
			t.Errorf("after the logout: %v, %v", b.cookie, b.others)
		}
	})
}

// A read takes no cookie away, whatever became of its session, and in whatever way it is asked for.
func TestRead_removesNoCookie(t *testing.T) {
	for name, end := range map[string]func(b *browser, id string){
		"logged out": func(b *browser, id string) { b.r.logOut(tokenward.SessionID(id)) },
		"unused":     func(b *browser, _ string) { b.r.clock.Advance(25 * time.Hour) },
		"at its end": func(b *browser, _ string) { b.r.clock.Advance(80 * time.Hour) },
		"at a ceiling": func(b *browser, _ string) {
			b.r.clock.Advance(30 * time.Minute)
			b.r.settle()
			b.r.clock.Advance(time.Hour)
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachKeeping(t, func(t *testing.T, r *rig) {
				b := newBrowser(r)
				r.tenant.NextLogin(map[string]any{"session_expiry": t0.Add(30 * time.Minute).Unix()})
				if name != "at a ceiling" {
					r.tenant.NextLogin(nil)
				}
				end(b, b.login())
				r.settle()
				for range 2 {
					o := b.options()
					if u, err := r.client.GetUser(t.Context(), o); u != nil || err != nil {
						t.Errorf("GetUser = %v, %v", u, err)
					}
					if s, err := r.client.GetSession(t.Context(), o); s != nil || err != nil {
						t.Errorf("GetSession = %v, %v", s, err)
					}
					_, _ = r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, o)
					_, _ = r.client.GetAccessTokenForConnection(t.Context(), tokenward.ConnectionRequest{Connection: google}, o)
					if len(b.set()) != 0 {
						t.Errorf("Set-Cookie %q", b.set())
					}
				}
			})
		})
	}
}
