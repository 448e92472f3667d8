package httpauth

import (
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/store/cookie"
)

// Handlers are the HTTP side of a tokenward.Client. They are safe for concurrent use.
type Handlers struct {
	client      *tokenward.Client
	base        *url.URL
	origin      string   // of base
	path        string   // of base, percent-encoded, without a slash at its end; empty where base is an origin
	strict      bool     // the session's cookies come with no request that another site caused
	redirectURI *url.URL // the client's redirect URI; its Host is empty where there is none
	o           options
	allowed     map[string]bool
	registered  atomic.Pointer[registration]
	stepUps     sync.Map // of tokenward.StepUp, by name
}

// Option changes what New makes.
type Option func(*options)

type options struct {
	allow       []string
	allowAny    bool
	login       string
	after       string
	afterLogout string
	logout      map[string]string
	others      []string
	refuse      bool
	framed      bool
	onError     func(w http.ResponseWriter, r *http.Request, err error)
	onLogin     func(w http.ResponseWriter, r *http.Request, login *tokenward.LoginResult)
}

// AllowParams names authorization parameters that a request to Login may carry in its
// query, such as login_hint or audience; organization and invitation become the typed
// options. The default is none. The parameters that bind a login (state, nonce, PKCE,
// client_id, response_type) and redirect_uri, response_mode, request and request_uri
// are never taken.
func AllowParams(names ...string) Option {
	return func(o *options) { o.allow = append(o.allow, names...) }
}

// AllowAnyParams takes every authorization parameter but those that are never taken.
// An attacker who can make a user follow a link can then choose scopes and audiences.
func AllowAnyParams() Option { return func(o *options) { o.allowAny = true } }

// LoginPath is where Require sends browsers that are not signed in, with return_to added to
// its query. The default is the login under the prefix of Register; without a Register it is
// /auth/login. The path may leave out that of the base URL.
func LoginPath(path string) Option { return func(o *options) { o.login = path } }

// AfterLogin is where a login leads that named no return_to. The default is /. The path may
// leave out that of the base URL.
func AfterLogin(path string) Option { return func(o *options) { o.after = path } }

// AfterLogout is where the provider sends a browser after a logout that named no return_to. The path may leave out that of the
// base URL. The default is none: the browser stays at the provider, most of which send it on only to addresses that were
// registered there. Choose a page that needs no sign-in: a page behind Require signs the user in again, often without a
// question, for the provider may still know the browser.
func AfterLogout(path string) Option { return func(o *options) { o.afterLogout = path } }

// LogoutParams are added to the provider's logout URL: Cognito wants logout_uri, for example. See
// tokenward.LogoutRequest.
func LogoutParams(params map[string]string) Option {
	return func(o *options) { o.logout = maps.Clone(params) }
}

// RefuseForgeries makes Attach and Require refuse what Protect refuses, against cross-site request forgery: a page of another
// origin that has a signed-in browser change something. The default is that Protect stands where the host puts it.
func RefuseForgeries() Option { return func(o *options) { o.refuse = true } }

// ServeFrontchannelLogout adds FrontchannelLogout to the routes of Register and Handler, as GET /frontchannel-logout under
// their prefix. The default is that there is none: nothing authenticates such a request but that it knows the sid, so prefer
// back-channel logout where the provider has it.
func ServeFrontchannelLogout() Option { return func(o *options) { o.framed = true } }

// AllowOrigins names origins, such as https://admin.example.com, whose pages may change something here: Protect lets
// them through. The Logout handler does not. The default is none.
func AllowOrigins(origins ...string) Option {
	return func(o *options) { o.others = append(o.others, origins...) }
}

// OnLogin is called when a login has completed, before the browser is redirected. It may set headers and cookies, and
// must not answer. Where the provider posted the callback, r.PostForm is its form: Apple sends the user's
// name there, once, as JSON in the field user. That is not signed, so believe it no more than what the
// user could have typed.
func OnLogin(f func(w http.ResponseWriter, r *http.Request, login *tokenward.LoginResult)) Option {
	return func(o *options) { o.onLogin = f }
}

// OnError answers a request that failed, for a log or a page of the host's. err has the cause, which no page shows. The default is
// WriteError, and logs nothing; the client itself logs a login that the provider refuses because of the application's configuration.
func OnError(f func(w http.ResponseWriter, r *http.Request, err error)) Option {
	return func(o *options) { o.onError = f }
}

// New returns handlers for a server that browsers reach at baseURL, such as
// https://app.example.com. It may have a path, such as https://example.com/app, which a proxy takes
// off: redirects and return targets then lie below it. Its origin is that of the client's
// redirect URI. New fails with a *tokenward.ConfigurationError.
func New(client *tokenward.Client, baseURL string, opts ...Option) (*Handlers, error) {
	if client == nil {
		return nil, wrong("client: is required")
	}
	base, err := parseBase(baseURL)
	if err != nil {
		return nil, err
	}
	h := &Handlers{
		client: client, base: base, origin: origin(base), path: base.EscapedPath(), allowed: make(map[string]bool),
		strict: client.Cookies().SameSite == http.SameSiteStrictMode,
		o:      options{after: "/", onError: WriteError},
	}
	for _, opt := range opts {
		opt(&h.o)
	}
	if err := h.o.check(); err != nil {
		return nil, err
	}
	if h.redirectURI, err = url.Parse(client.RedirectURI()); err != nil {
		return nil, wrong("RedirectURI: cannot be parsed as a URL")
	}
	if at := origin(h.redirectURI); h.redirectURI.Host != "" && at != h.origin {
		return nil, wrong("baseURL: its origin is " + h.origin + ", and that of the client's RedirectURI is " + at + "; browsers must reach both at one origin")
	}
	for _, name := range h.o.allow {
		h.allowed[name] = true
	}
	return h, nil
}

func (o options) check() error {
	if _, ok := ReturnPath(o.after); !ok {
		return wrong("AfterLogin: must be a path on this origin")
	}
	if _, ok := ReturnPath(o.afterLogout); o.afterLogout != "" && !ok {
		return wrong("AfterLogout: must be a path on this origin")
	}
	if _, ok := ReturnPath(o.login); o.login != "" && !ok || strings.Contains(o.login, "#") {
		return wrong("LoginPath: must be a path on this origin, without a fragment")
	}
	for _, origin := range o.others {
		if err := http.NewCrossOriginProtection().AddTrustedOrigin(origin); err != nil || ascii(strings.ToLower(origin)) != origin {
			return wrong("AllowOrigins: want an origin as browsers send it, scheme://host or scheme://host:port in lower case")
		}
	}
	return nil
}

// never are parameters that no request may set.
var never = map[string]bool{
	"client_id": true, "response_type": true, "code_challenge": true, "code_challenge_method": true, "state": true,
	"nonce": true, "redirect_uri": true, "response_mode": true, "request": true, "request_uri": true, "return_to": true, stepUpParam: true,
}

// appState is what a login remembers until its callback.
type appState struct {
	ReturnTo string `json:"return_to"`
	StepUp   string `json:"step_up,omitempty"` // the name of what the login is for; see RequireStepUp
}

// Login starts a login and redirects to the provider. The query parameter return_to,
// a path on this origin, says where the login leads; others are authorization
// parameters where they are allowed.
func (h *Handlers) Login(w http.ResponseWriter, r *http.Request) {
	w, finish := cookie.Wrap(w)
	defer finish()
	if h.turnedAway(w, r, false) {
		return
	}
	query := r.URL.Query()
	to, ok := ReturnPath(query.Get("return_to"))
	if !ok {
		to = h.o.after
	}
	need, name := h.stepUpOf(w, r)
	req := tokenward.LoginRequest{AppState: appState{to, name}, AuthorizationParams: make(map[string]string)}
	for name, values := range query {
		switch {
		case never[name] || !h.o.allowAny && !h.allowed[name] || values[0] == "":
		case name == "organization":
			req.Organization = values[0]
		case name == "invitation":
			req.Invitation = values[0]
		default:
			req.AuthorizationParams[name] = values[0]
		}
	}
	maps.Copy(req.AuthorizationParams, need.AuthorizationParams())
	at, err := h.client.StartInteractiveLogin(r.Context(), req, tokenward.HTTP(w, r))
	if errors.Is(err, &tokenward.InvalidArgumentError{Argument: "app_state"}) { // more than a browser keeps
		req.AppState = appState{h.o.after, name}
		at, err = h.client.StartInteractiveLogin(r.Context(), req, tokenward.HTTP(w, r))
	}
	if err != nil {
		h.fail(w, r, err, withStepUp("?return_to="+url.QueryEscape(to), name)) // at the login itself
		return
	}
	redirect(w, at)
}

// landing is where a completed login leads.
func (h *Handlers) landing(remembered json.RawMessage) string {
	var state appState
	_ = json.Unmarshal(remembered, &state)
	to, ok := ReturnPath(state.ReturnTo)
	if !ok {
		to = h.o.after
	}
	return h.below(to)
}

// Logout ends the session and redirects to the provider's logout, which ends the user's session there. The parameter return_to of the
// query, else of the form that was posted, is a path or an absolute URL on this origin, and says where the provider sends the browser
// then. Any other is ignored. Without one it is AfterLogout, else the browser stays at the provider. Where the provider has no logout, or
// does not say where it is, the redirect is to that address, else to the start page.
//
// A link may lead here, or a form that is posted: a fetch would follow the redirect, which only the browser itself can. A request
// that another site caused is refused with 403.
func (h *Handlers) Logout(w http.ResponseWriter, r *http.Request) {
	w, finish := cookie.Wrap(w)
	defer finish()
	if h.turnedAway(w, r, r.Method == http.MethodPost) {
		return
	}
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" || h.crossOrigin(r) {
		h.o.onError(w, r, errCrossOrigin)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	back := cmp.Or(h.returnURL(r.URL.Query().Get("return_to")), h.returnURL(r.PostFormValue("return_to")), h.returnURL(h.o.afterLogout))
	to, err := h.client.Logout(r.Context(), tokenward.LogoutRequest{ReturnTo: back, Params: h.o.logout}, tokenward.HTTP(w, r))
	if err != nil && tokenward.CodeOf(err) != "metadata_error" { // the session ends before the provider is asked where to go
		login, _ := h.loginPath()
		h.fail(w, r, err, login)
		return
	}
	redirect(w, cmp.Or(to, back, h.below("/")))
}

// BackchannelLogout takes the provider's logout token (OpenID Connect Back-Channel
// Logout 1.0): a form with the field logout_token.
func (h *Handlers) BackchannelLogout(w http.ResponseWriter, r *http.Request) {
	w, finish := cookie.Wrap(w)
	defer finish()
	noStore(w)
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		h.o.onError(w, r, &tokenward.BackchannelLogoutError{Message: "the request is no form, or too large"})
		return
	}
	if err := h.client.HandleBackchannelLogout(r.Context(), r.PostForm.Get("logout_token"), tokenward.HTTP(w, r)); err != nil {
		h.o.onError(w, r, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// FrontchannelLogout ends the sessions that the provider names by the query parameters iss and sid (OpenID Connect
// Front-Channel Logout 1.0), wherever they are: a frame of the provider's page, in which this is, brings no cookie that is
// Lax. So any page may ask, and in any way, but for a HEAD and a prefetch, which end nothing. The answer is an empty page, and takes away
// the cookie of a session that has ended where the browser has sent it. A parameter that comes twice is refused.
func (h *Handlers) FrontchannelLogout(w http.ResponseWriter, r *http.Request) {
	w, finish := cookie.Wrap(w)
	defer finish()
	noStore(w)
	switch {
	case prefetches(r):
		w.Header().Add("Vary", "Sec-Purpose")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case r.Method == http.MethodHead:
		w.WriteHeader(http.StatusNoContent)
		return
	}
	iss, sid, err := issuerAndSession(r)
	if err == nil {
		err = h.client.HandleFrontchannelLogout(r.Context(), iss, sid, tokenward.HTTP(w, r))
	}
	if err != nil {
		h.o.onError(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
}

// issuerAndSession returns the parameters of a front-channel logout.
func issuerAndSession(r *http.Request) (iss, sid string, err error) {
	query := r.URL.Query()
	for _, name := range []string{"iss", "sid"} {
		if len(query[name]) > 1 {
			return "", "", &tokenward.InvalidArgumentError{Argument: name, Message: "comes more than once"}
		}
	}
	return query.Get("iss"), query.Get("sid"), nil
}

// redirect sends the browser to an address that is known to be good. Browsers follow a 302 by GET, also after a POST (Fetch
// standard, section 4.4): nothing is posted on.
func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", ascii(to))
	w.WriteHeader(http.StatusFound)
}

func noStore(w http.ResponseWriter) { w.Header().Set("Cache-Control", "no-store") }
