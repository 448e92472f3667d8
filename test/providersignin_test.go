package test_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/internal/providers"
)

// visitor is a user of an application at one provider.
type visitor struct {
	ctx     context.Context
	profile idptest.Profile
	clock   *clock.Fake
	tenant  *idptest.Tenant
	setup   providers.Setup
	client  *tokenward.Client // nil where New refused the setup
	refused error

	session   tokenward.StoreOptions
	user      tokenward.User
	token     tokenward.Token
	refreshes bool // the login brought a refresh token
}

// newVisitor starts a provider that plays p, and an application that is configured as setup says.
func newVisitor(t *testing.T, p idptest.Profile, setup func(idptest.Profile, *idptest.Tenant) providers.Setup) *visitor {
	t.Helper()
	v := &visitor{ctx: t.Context(), profile: p, clock: clock.NewFake(t0)}
	v.tenant = idptest.NewTenant(t, idptest.InProcess(), idptest.WithClock(v.clock), idptest.WithProfile(p))
	v.setup = setup(p, v.tenant)
	cfg := v.setup.Config
	cfg.Secrets, cfg.RedirectURI = []string{secret}, "http://127.0.0.1:9/callback"
	v.client, v.refused = tokenward.New(cfg, append([]tokenward.Option{
		tokenward.WithClock(v.clock), tokenward.WithHTTPClient(v.tenant.Client()), tokenward.WithLogger(zap.NewNop()),
	}, v.setup.Options()...)...)
	if v.refused == nil {
		t.Cleanup(func() {
			if err := v.client.Close(context.Background()); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	return v
}

// visit signs in and does all that the provider offers. It returns the first thing that goes
// wrong.
func (v *visitor) visit() error {
	for _, step := range []struct {
		name string
		run  func() error
	}{
		{"login", v.signIn},
		{"user", v.isKnown},
		{"cached token", v.asksOften},
		{"expiry", v.outlivesItsTokens},
		{"refused refresh", v.isRefused},
		{"logout", v.signOut},
		{"back-channel logout", v.isSignedOut},
	} {
		if err := step.run(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// signIn signs in as a browser does.
func (v *visitor) signIn() error {
	if v.refused != nil {
		return v.refused
	}
	to, err := v.client.StartInteractiveLogin(v.ctx, tokenward.LoginRequest{}, tokenward.StoreOptions{})
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	back, err := v.tenant.Callback(to)
	if err != nil {
		return err
	}
	if back.Method == http.MethodPost {
		if err := back.ParseForm(); err != nil {
			return err
		}
		back.URL.RawQuery = back.PostForm.Encode()
	}
	res, err := v.client.CompleteInteractiveLogin(v.ctx, back.URL.String(), tokenward.StoreOptions{})
	if err != nil {
		return err
	}
	if n := v.tenant.Requests(idptest.UserInfo); n > v.tenant.Requests(idptest.CodeExchange) {
		return fmt.Errorf("%d userinfo requests, want one at most", n)
	}
	v.session = tokenward.SessionID(res.SessionID)
	v.user = res.Session.User
	v.refreshes = v.tenant.Family(v.user.Sub()).Subject != ""
	return nil
}

// isKnown looks at what the session says of the user.
func (v *visitor) isKnown() error {
	u, err := v.client.GetUser(v.ctx, v.session)
	if err != nil {
		return err
	}
	lacks := v.profile.Lacks
	for name, want := range map[string]any{"name": "Ada Lovelace", "email": "ada@example.com"} {
		if absent := name == "name" && lacks.Name || name == "email" && lacks.Email; absent {
			want = nil
		}
		if u[name] != want {
			return fmt.Errorf("%s = %v, want %v", name, u[name], want)
		}
	}
	if _, given := u["email_verified"]; given && !u.EmailVerified() {
		return fmt.Errorf("EmailVerified is false, and email_verified %v", u["email_verified"])
	}
	return nil
}

// requests returns how many requests of kind k the provider gets from f.
func (v *visitor) requests(k idptest.Kind, f func() error) (int, error) {
	before := v.tenant.Requests(k)
	err := f()
	return v.tenant.Requests(k) - before, err
}

func (v *visitor) ask() (err error) {
	v.token, err = v.client.GetAccessToken(v.ctx, tokenward.TokenRequest{}, v.session)
	return err
}

// asksOften asks for the token of the login, which is good.
func (v *visitor) asksOften() error {
	n, err := v.requests(idptest.Token, func() error { return errors.Join(v.ask(), v.ask(), v.ask()) })
	if err == nil && (n != 0 || v.token.AccessToken == "") {
		err = fmt.Errorf("%d token requests, want 0", n)
	}
	return err
}

// outlivesItsTokens asks again each time that the token has expired.
func (v *visitor) outlivesItsTokens() error {
	if v.profile.Tokens.ExpiresIn == idptest.ExpiresAbsent && v.token.ExpiresAt.Sub(t0) > v.profile.Tokens.Life {
		v.clock.Advance(v.profile.Tokens.Life) // it is good for as long as the session
		return v.asksOften()
	}
	if !v.refreshes {
		v.expire()
		n, err := v.requests(idptest.Token, v.ask)
		if !errors.Is(err, tokenward.ErrMissingRefreshToken) || n != 0 {
			return fmt.Errorf("without a refresh token: %d requests, %w, want missing_refresh_token", n, err)
		}
		return nil
	}
	for range 2 {
		if err := v.refresh(); err != nil {
			return err
		}
	}
	spent, want := v.tenant.Family(v.user.Sub()), []int{0, 1}
	if r := v.profile.Refresh.Rotation; r == idptest.SameToken || r == idptest.SameTokenRepeated {
		want = []int{0, 0}
	}
	if !spent.Alive || !slices.Equal(spent.Serials(), want) {
		return fmt.Errorf("refresh tokens spent: %v, want %v", spent.Serials(), want)
	}
	return nil
}

// expire lets the token expire.
func (v *visitor) expire() { v.clock.Advance(v.token.ExpiresAt.Sub(v.clock.Now())) }

// refresh asks when the token has expired. A provider that says when to come again is asked again
// then.
func (v *visitor) refresh() error {
	v.expire()
	old := v.token
	var later *tokenward.APIError
	n, err := v.requests(idptest.Token, v.ask)
	if errors.As(err, &later) && later.RetryAfter > 0 {
		held, early := v.requests(idptest.Token, v.ask)
		if held != 0 || early == nil {
			return fmt.Errorf("before Retry-After: %d requests, %w", held, early)
		}
		v.clock.Advance(later.RetryAfter)
		n, err = v.requests(idptest.Token, v.ask)
	}
	switch {
	case err != nil:
		return err
	case n != 1 || v.token.AccessToken == old.AccessToken || !v.token.ExpiresAt.After(v.clock.Now()):
		return fmt.Errorf("%d refreshes, want 1 and a new token", n)
	}
	return v.asksOften()
}

// isRefused has an administrator revoke the refresh token.
func (v *visitor) isRefused() error {
	if !v.refreshes {
		return nil
	}
	if err := v.tenant.Revoke(v.user.Sub()); err != nil {
		return err
	}
	v.expire()
	n, err := v.requests(idptest.Token, v.ask)
	if tokenward.CodeOf(err) != "refresh_token_error" || !tokenward.LoginRequired(err) || n != 1 {
		return fmt.Errorf("revoked: %d refreshes, LoginRequired %v, %w", n, tokenward.LoginRequired(err), err)
	}
	return v.wantUser(true)
}

// wantUser checks whether the session is there.
func (v *visitor) wantUser(there bool) error {
	u, err := v.client.GetUser(v.ctx, v.session)
	if err != nil || (u != nil) != there {
		return fmt.Errorf("there is a user: %v, %w", u != nil, err)
	}
	return nil
}

const goodbye = "http://127.0.0.1:9/goodbye"

// signOut signs out here and, where that can be done, at the provider, and comes back.
func (v *visitor) signOut() error {
	to, err := v.client.Logout(v.ctx, tokenward.LogoutRequest{ReturnTo: goodbye, Params: v.setup.LogoutParamsTo(goodbye)}, v.session)
	if err != nil {
		return err
	}
	if err := v.wantUser(false); err != nil {
		return err
	}
	if v.profile.Lacks.EndSession {
		if to != goodbye {
			return fmt.Errorf("it leads to %s, want %s", to, goodbye)
		}
		return nil
	}
	resp, err := v.tenant.Transport().RoundTrip(mustGet(to))
	if err != nil {
		return err
	}
	resp.Body.Close()
	back, err := url.Parse(resp.Header.Get("Location"))
	if at := goodbye; err != nil || v.tenant.Requests(idptest.Logout) != 1 || back.Scheme+"://"+back.Host+back.Path != at {
		return fmt.Errorf("the provider answers %s with %d %s", to, resp.StatusCode, resp.Header.Get("Location"))
	}
	return nil
}

func mustGet(at string) *http.Request {
	r, err := http.NewRequest(http.MethodGet, at, nil)
	if err != nil {
		panic(err)
	}
	return r
}

// isSignedOut signs in once more, and has the provider end that session.
func (v *visitor) isSignedOut() error {
	if v.profile.Lacks.BackChannelLogout {
		return nil
	}
	if err := v.signIn(); err != nil {
		return err
	}
	sid, _ := v.user["sid"].(string)
	if err := v.client.HandleBackchannelLogout(v.ctx, v.tenant.LogoutToken(v.user.Sub(), sid), tokenward.StoreOptions{}); err != nil {
		return err
	}
	return v.wantUser(false)
}
