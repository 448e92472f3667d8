package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
)

// place is room for a session: of a host that names it, or of a browser.
type place struct {
	id      string // empty for a browser's
	user    string
	mu      sync.Mutex
	cookies map[string]*http.Cookie
}

// newPlace returns place n. Every third is a browser's, and the users of every fourth have
// a ceiling that comes soon.
func newPlace(n int) *place {
	s := &place{user: fmt.Sprint("user", n), cookies: map[string]*http.Cookie{}}
	if n%3 != 0 {
		s.id = fmt.Sprint("session", n)
	}
	if n%4 == 0 {
		s.user = fmt.Sprint("short", n)
	}
	return s
}

// options returns the options of one call, and a function that ends it. A browser makes one call at a time: of two
// logins at once it would keep the cookie of one, and the session of the other would stay.
func (s *place) options() (o tokenward.StoreOptions, end func()) {
	if s.id != "" {
		return tokenward.SessionID(s.id), func() {}
	}
	r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/"}, Header: http.Header{}, Host: "127.0.0.1"}
	s.mu.Lock()
	for _, c := range s.cookies {
		r.AddCookie(c)
	}
	w := answer{}
	return tokenward.HTTP(w, r), func() {
		defer s.mu.Unlock()
		for _, c := range (&http.Response{Header: http.Header(w)}).Cookies() {
			if c.MaxAge < 0 {
				delete(s.cookies, c.Name)
			} else {
				s.cookies[c.Name] = c
			}
		}
	}
}

// answer is a response of which the header counts.
type answer http.Header

// Header implements http.ResponseWriter.
func (a answer) Header() http.Header { return http.Header(a) }

// Write implements http.ResponseWriter.
func (answer) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader implements http.ResponseWriter.
func (answer) WriteHeader(int) {}

// work has all workers call until ctx ends.
func (s *soak) work(ctx context.Context) {
	var workers sync.WaitGroup
	for n := range s.cfg.Workers {
		random := rand.New(rand.NewPCG(s.cfg.Seed, uint64(n)))
		workers.Go(func() {
			for ctx.Err() == nil {
				s.one(random, s.places[random.IntN(len(s.places))])
				s.pause(ctx, time.Duration(random.IntN(20))*time.Millisecond)
			}
		})
	}
	workers.Wait()
}

// one makes a call. Some callers give up early.
func (s *soak) one(random *rand.Rand, at *place) {
	ctx, cancel := clock.WithTimeout(context.Background(), clock.System(), stuck)
	defer cancel()
	impatient := random.IntN(6) == 0
	if impatient {
		var leave context.CancelFunc
		ctx, leave = clock.WithTimeout(ctx, clock.System(), time.Duration(random.IntN(5000))*time.Microsecond)
		defer leave()
	}
	o, end := at.options()
	defer end()
	what, err := s.call(ctx, random, at, o)
	s.counts.add(what, err, impatient)
}

func (s *soak) call(ctx context.Context, random *rand.Rand, at *place, o tokenward.StoreOptions) (what string, err error) {
	switch n := random.IntN(100); {
	case n < 50:
		_, err = s.client.GetAccessToken(ctx, tokenward.TokenRequest{Audience: []string{"", "https://a", "https://b"}[random.IntN(3)]}, o)
		return "GetAccessToken", err
	case n < 65:
		_, err = s.client.GetAccessTokenForConnection(ctx, tokenward.ConnectionRequest{Connection: []string{"google", "github"}[random.IntN(2)]}, o)
		return "GetAccessTokenForConnection", err
	case n < 78:
		_, err = s.client.GetUser(ctx, o)
		return "GetUser", err
	case n < 80:
		_, err = s.client.Logout(ctx, tokenward.LogoutRequest{}, o)
		return "Logout", err
	case n < 81:
		token := s.provider.tell("logout " + at.user)
		return "HandleBackchannelLogout", s.client.HandleBackchannelLogout(ctx, token, tokenward.StoreOptions{})
	}
	return "login", s.login(ctx, random, at, o)
}

// login signs the user of the place in. It ends each login that it begins, so that none waits for
// an hour.
func (s *soak) login(ctx context.Context, random *rand.Rand, at *place, o tokenward.StoreOptions) error {
	pushed := random.IntN(2) == 0
	to, err := s.client.StartInteractiveLogin(ctx, tokenward.LoginRequest{Pushed: &pushed, AuthorizationParams: map[string]string{"login_hint": at.user}}, o)
	if err != nil {
		return err
	}
	back, err := s.authorize(to)
	if err != nil {
		return err
	}
	if random.IntN(10) == 0 {
		back = refused(back)
	}
	_, err = s.client.CompleteInteractiveLogin(ctx, back, o)
	if ctx.Err() != nil {
		_, _ = s.client.CompleteInteractiveLogin(context.WithoutCancel(ctx), refused(back), o)
	}
	return err
}

// refused is the callback of a user who said no.
func refused(back string) string {
	u, err := url.Parse(back)
	if err != nil {
		return back
	}
	u.RawQuery = url.Values{"state": {u.Query().Get("state")}, "error": {"access_denied"}}.Encode()
	return u.String()
}

// authorize follows an authorize URL as a browser does.
func (s *soak) authorize(to string) (back string, err error) {
	resp, err := s.browser.Get(to)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if back = resp.Header.Get("Location"); back == "" {
		return "", errors.New("soak: the provider sent the browser nowhere")
	}
	return back, nil
}
