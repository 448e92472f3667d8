package httpauth

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/tokenward/tokenward"
)

// Handlers are the HTTP side of a tokenward.Client. They are safe for concurrent use.
type Handlers struct {
	client  *tokenward.Client
	base    *url.URL
	origin  string // of base
	o       options
	allowed map[string]bool
	guard   *http.CrossOriginProtection
}

// Option changes what New makes.
type Option func(*options)

type options struct {
	allow    []string
	allowAny bool
	login    string
	after    string
	onError  func(w http.ResponseWriter, r *http.Request, err error)
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
// Whoever can make a user follow a link can then choose scopes and audiences.
func AllowAnyParams() Option { return func(o *options) { o.allowAny = true } }

// LoginPath is where Require sends browsers that are not signed in, with return_to added to
// its query. The default is /auth/login.
func LoginPath(path string) Option { return func(o *options) { o.login = path } }

// AfterLogin is where a login leads that named no return_to. The default is /.
func AfterLogin(path string) Option { return func(o *options) { o.after = path } }

// OnError answers a request that failed. The default is WriteError.
func OnError(f func(w http.ResponseWriter, r *http.Request, err error)) Option {
	return func(o *options) { o.onError = f }
}

// New returns handlers for a server that browsers reach at baseURL, such as
// https://app.example.com. It fails with a *tokenward.ConfigurationError.
func New(client *tokenward.Client, baseURL string, opts ...Option) (*Handlers, error) {
	base, err := url.Parse(strings.TrimRight(baseURL, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" ||
		base.User != nil || base.RawQuery != "" || base.ForceQuery || base.Fragment != "" {
		return nil, &tokenward.ConfigurationError{Message: "baseURL: must be an http or https URL without user, query or fragment"}
	}
	h := &Handlers{client: client, base: base, origin: origin(base), allowed: make(map[string]bool), guard: http.NewCrossOriginProtection()}
	h.o = options{login: "/auth/login", after: "/", onError: WriteError}
	for _, opt := range opts {
		opt(&h.o)
	}
	// Behind a proxy the Host of a request may not be what browsers see.
	if err := h.guard.AddTrustedOrigin(h.origin); err != nil {
		return nil, &tokenward.ConfigurationError{Message: "baseURL: is no origin", Err: err}
	}
	for _, name := range h.o.allow {
		h.allowed[name] = true
	}
	for _, path := range []string{h.o.login, h.o.after} {
		if _, ok := ReturnPath(path); !ok {
			return nil, &tokenward.ConfigurationError{Message: "LoginPath, AfterLogin: must be paths on this origin"}
		}
	}
	if strings.Contains(h.o.login, "#") {
		return nil, &tokenward.ConfigurationError{Message: "LoginPath: must have no fragment"}
	}
	return h, nil
}

// Register puts the handlers on a mux under prefix, such as /auth: login, callback, logout
// (GET and POST) and backchannel-logout.
func (h *Handlers) Register(mux *http.ServeMux, prefix string) {
	mux.HandleFunc("GET "+prefix+"/login", h.Login)
	mux.HandleFunc("GET "+prefix+"/callback", h.Callback)
	mux.HandleFunc("GET "+prefix+"/logout", h.Logout)
	mux.HandleFunc("POST "+prefix+"/logout", h.Logout)
	mux.HandleFunc("POST "+prefix+"/backchannel-logout", h.BackchannelLogout)
}

// never are parameters that no request may set.
var never = map[string]bool{
	"client_id": true, "response_type": true, "code_challenge": true, "code_challenge_method": true, "state": true,
	"nonce": true, "redirect_uri": true, "response_mode": true, "request": true, "request_uri": true, "return_to": true,
}

// appState is what a login remembers until its callback.
type appState struct {
	ReturnTo string `json:"return_to"`
}

// Login starts a login and redirects to the provider. The query parameter return_to,
// a path on this origin, says where the login leads; others are authorization
// parameters where they are allowed.
func (h *Handlers) Login(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	query := r.URL.Query()
	to, ok := ReturnPath(query.Get("return_to"))
	if !ok {
		to = h.o.after
	}
	req := tokenward.LoginRequest{AppState: appState{to}, AuthorizationParams: make(map[string]string)}
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
	at, err := h.client.StartInteractiveLogin(r.Context(), req, tokenward.HTTP(w, r))
	if errors.Is(err, &tokenward.InvalidArgumentError{Argument: "app_state"}) { // more than a browser keeps
		req.AppState = appState{h.o.after}
		at, err = h.client.StartInteractiveLogin(r.Context(), req, tokenward.HTTP(w, r))
	}
	if err != nil {
		h.o.onError(w, r, err)
		return
	}
	redirect(w, at)
}

// Logout ends the session and redirects to the provider's logout. The query parameter
// return_to, a path or an absolute URL on this origin, says where that leads; any other
// is ignored. A request that another site caused is refused with 403.
func (h *Handlers) Logout(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" || h.guard.Check(r) != nil {
		writeError(w, http.StatusForbidden, "cross_origin", "a logout must come from this site")
		return
	}
	to, err := h.client.Logout(r.Context(), tokenward.LogoutRequest{ReturnTo: h.returnURL(r.URL.Query().Get("return_to"))}, tokenward.HTTP(w, r))
	if err != nil {
		h.o.onError(w, r, err)
		return
	}
	redirect(w, to)
}

const maxLogoutForm = 64 << 10

// BackchannelLogout takes the provider's logout token (OpenID Connect Back-Channel
// Logout 1.0): a form with the field logout_token.
func (h *Handlers) BackchannelLogout(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	r.Body = http.MaxBytesReader(w, r.Body, maxLogoutForm)
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

// redirect sends the browser to an address that is known to be good.
func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusFound)
}

func noStore(w http.ResponseWriter) { w.Header().Set("Cache-Control", "no-store") }
