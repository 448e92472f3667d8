// Package tokenwardtest signs a user in for a test of an application: one line gives a client, a fake provider and a session.
//
//	s := tokenwardtest.SignIn(t)
//	token, err := s.Client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, s.Session())
//
// The provider is an idptest.Tenant in this process, and time is a clock.Fake, so nothing waits and nothing listens:
//
//	s.Clock.Advance(2 * time.Hour)         // the access token has expired
//	s.Tenant.Script(idptest.Refresh, idptest.Status(503)) // the provider fails once
//	s.Tenant.Refreshes()                   // what it was asked for
//
// A handler under test gets s.Client in place of the program's own, and s.Request, which has the browser's cookies.
package tokenwardtest

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

// RedirectURI is that of the client, unless Config says otherwise.
const RedirectURI = "https://app.example.com/auth/callback"

// SignedIn is a session, and what it needs. The test closes all of it.
type SignedIn struct {
	Client *tokenward.Client
	Tenant *idptest.Tenant
	Clock  *clock.Fake // of both: that of the option Clock, else one in January 2026; nil with At and no Clock

	SessionID string
	User      tokenward.User
	Cookies   []*http.Cookie // that the user's browser has
}

// Option changes what SignIn does.
type Option func(*options)

type options struct {
	subject string
	claims  idptest.Claims
	config  []func(*tokenward.Config)
	client  []tokenward.Option
	tenant  []idptest.Option
	at      *SignedIn
	clock   *clock.Fake // nil: none was given
	ceiling time.Duration
}

// As signs in the user with that subject. Claims are beside and instead of the usual ones; nil: what the tenant knows of them.
// The default is idptest.Subject.
func As(subject string, claims idptest.Claims) Option {
	return func(o *options) { o.subject, o.claims = subject, claims }
}

// Ceiling has the provider say, by the claim session_expiry, that the session ends d after the sign-in by SignedIn.Clock. The session
// ends 30 seconds before that. With At it needs the option Clock.
func Ceiling(d time.Duration) Option { return func(o *options) { o.ceiling = d } }

// Config has edit change the client's configuration before the client is made.
func Config(edit func(*tokenward.Config)) Option {
	return func(o *options) { o.config = append(o.config, edit) }
}

// Clock has the client and the tenant go by c, and SignedIn.Clock be it: for a test whose store, or other part, goes by a clock already.
// With At it says by which clock these two go. The default is a clock of SignIn's own.
func Clock(c *clock.Fake) Option { return func(o *options) { o.clock = c } }

// Client passes options on to tokenward.New. They may replace the HTTP client and the logger that are given to it. The clock is given
// by Clock: tokenward.WithClock here would leave the tenant and SignedIn.Clock at another time.
func Client(opts ...tokenward.Option) Option {
	return func(o *options) { o.client = append(o.client, opts...) }
}

// Tenant passes options on to idptest.New. The clock is given by Clock: idptest.WithClock here would leave the client at another time.
func Tenant(opts ...idptest.Option) Option {
	return func(o *options) { o.tenant = append(o.tenant, opts...) }
}

// At signs in at a client that the test has already, whose provider is the tenant. Config, Client and Tenant change nothing then.
func At(client *tokenward.Client, tenant *idptest.Tenant) Option {
	return func(o *options) { o.at = &SignedIn{Client: client, Tenant: tenant} }
}

// SignIn signs a user in, as a browser does that completes a login. It ends the test where that cannot be.
func SignIn(tb testing.TB, opts ...Option) *SignedIn {
	tb.Helper()
	o := options{subject: idptest.Subject}
	for _, opt := range opts {
		opt(&o)
	}
	s := o.at
	if s == nil {
		s = start(tb, o)
	} else {
		s.Clock = o.clock
	}
	if o.claims != nil {
		s.Tenant.SetUser(o.subject, o.claims)
	}
	if o.ceiling != 0 {
		if s.Clock == nil {
			tb.Fatalf("tokenwardtest: Ceiling with At needs the option Clock")
		}
		s.Tenant.NextLogin(idptest.Claims{"session_expiry": s.Clock.Now().Add(o.ceiling).Unix()})
	}
	if err := s.signIn(o.subject); err != nil {
		tb.Fatalf("tokenwardtest: %v", err)
	}
	return s
}

// start makes a tenant and a client.
func start(tb testing.TB, o options) *SignedIn {
	tb.Helper()
	s := &SignedIn{Clock: o.clock}
	if s.Clock == nil {
		s.Clock = clock.NewFake(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	}
	s.Tenant = idptest.NewTenant(tb, append([]idptest.Option{idptest.InProcess(), idptest.WithClock(s.Clock)}, o.tenant...)...)
	cfg := tokenward.Config{
		Issuer: s.Tenant.Issuer(), ClientID: idptest.ClientID, ClientSecret: idptest.ClientSecret,
		Secrets: []string{"a secret of thirty-two bytes, for tests"}, RedirectURI: RedirectURI,
	}
	for _, edit := range o.config {
		edit(&cfg)
	}
	if cfg.ClientSecret != "" { // else Tenant says how the client authenticates
		s.Tenant.Set(idptest.WithClient(cfg.ClientID, cfg.ClientSecret, cfg.RedirectURI))
	}
	client, err := tokenward.New(cfg, append([]tokenward.Option{
		tokenward.WithClock(s.Clock), tokenward.WithHTTPClient(s.Tenant.Client()), tokenward.WithLogger(zap.NewNop()),
	}, o.client...)...)
	if err != nil {
		tb.Fatalf("tokenwardtest: %v", err)
	}
	s.Client = client
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := client.Close(ctx); err != nil {
			tb.Errorf("tokenwardtest: Close: %v", err)
		}
	})
	return s
}

func (s *SignedIn) signIn(subject string) error {
	begun := httptest.NewRecorder()
	req := tokenward.LoginRequest{AuthorizationParams: map[string]string{"login_hint": subject}}
	to, err := s.Client.StartInteractiveLogin(context.Background(), req, tokenward.HTTP(begun, s.Request(http.MethodGet, "/auth/login", nil)))
	if err != nil {
		return err
	}
	back, err := s.Tenant.Authorize(to)
	if err != nil {
		return err
	}
	s.Cookies = begun.Result().Cookies()
	done := httptest.NewRecorder()
	login, err := s.Client.CompleteInteractiveLogin(context.Background(), back, tokenward.HTTP(done, s.Request(http.MethodGet, back, nil)))
	if err != nil {
		return err
	}
	s.SessionID, s.User = login.SessionID, login.Session.User
	s.Cookies = nil
	for _, c := range done.Result().Cookies() {
		if c.MaxAge >= 0 {
			s.Cookies = append(s.Cookies, c)
		}
	}
	return nil
}

// Session returns the store options of calls about this session.
func (s *SignedIn) Session() tokenward.StoreOptions { return tokenward.SessionID(s.SessionID) }

// Request returns a request that the user's browser sends: httptest.NewRequest, with the cookies.
func (s *SignedIn) Request(method, target string, body io.Reader) *http.Request {
	r := httptest.NewRequest(method, target, body)
	for _, c := range s.Cookies {
		r.AddCookie(c)
	}
	return r
}
