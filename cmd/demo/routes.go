package main

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/admin"
	"github.com/tokenward/tokenward/httpauth"
)

// handler returns everything that the application answers.
func (a *app) handler() (http.Handler, error) {
	mux := http.NewServeMux()
	if err := a.auth.Register(mux, "/auth"); err != nil {
		return nil, err
	}
	mux.HandleFunc("GET /api/user", a.user)
	mux.HandleFunc("GET /api/session", a.session)
	mux.HandleFunc("GET /api/token", a.token)
	mux.HandleFunc("GET /api/connection-token", a.connectionToken)
	mux.Handle("POST /api/burst", a.sameOrigin(http.HandlerFunc(a.burst)))
	mux.Handle("POST /api/tenant", a.sameOrigin(http.HandlerFunc(a.controlTenant)))
	mux.HandleFunc("GET /healthz", a.healthz)
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.Handle("GET /metrics", a.metrics())
	operators, err := admin.New(a.client, a.operator)
	if err != nil {
		return nil, err
	}
	mux.Handle("/admin/", a.auth.Attach(http.StripPrefix("/admin", operators)))
	mux.HandleFunc("GET /{$}", a.page)
	return a.around(errorsAsJSON(mux)), nil
}

// operator lets in who is signed in on this machine itself. A real application asks for more.
func (a *app) operator(r *http.Request) error {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil || !net.ParseIP(host).IsLoopback() {
		return errors.New("the operators' page is for this machine alone")
	}
	user, err := a.client.GetUser(r.Context(), tokenward.StoreOptions{}) // Attach has put the session there
	if err == nil && user == nil {
		err = errors.New("nobody is signed in")
	}
	return err
}

func (a *app) user(w http.ResponseWriter, r *http.Request) {
	user, err := a.client.GetUser(r.Context(), tokenward.HTTP(w, r))
	switch {
	case err != nil:
		a.fail(w, r, err)
	case user == nil:
		noSession(w)
	default:
		writeJSON(w, http.StatusOK, user)
	}
}

// session answers with the session. The library writes fingerprints in place of tokens.
func (a *app) session(w http.ResponseWriter, r *http.Request) {
	session, err := a.client.GetSession(r.Context(), tokenward.HTTP(w, r))
	switch {
	case err != nil:
		a.fail(w, r, err)
	case session == nil:
		noSession(w)
	default:
		writeJSON(w, http.StatusOK, session)
	}
}

type tokenAnswer struct {
	AccessToken    string `json:"access_token"`
	Audience       string `json:"audience"`
	Scope          string `json:"scope"`
	ExpiresAt      int64  `json:"expires_at"` // seconds since the Unix epoch
	ActualAudience string `json:"actual_audience,omitempty"`
}

func (a *app) token(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	t, err := a.client.GetAccessToken(r.Context(), tokenward.TokenRequest{
		Audience: query.Get("audience"), Scope: query.Get("scope"),
	}, tokenward.HTTP(w, r))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, tokenAnswer{t.AccessToken, t.Audience, t.Scope, t.ExpiresAt.Unix(), t.ActualAudience})
}

type connectionTokenAnswer struct {
	AccessToken string `json:"access_token"`
	Connection  string `json:"connection"`
	LoginHint   string `json:"login_hint"`
	Scope       string `json:"scope"`
	ExpiresAt   int64  `json:"expires_at"` // seconds since the Unix epoch
}

func (a *app) connectionToken(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	t, err := a.client.GetAccessTokenForConnection(r.Context(), tokenward.ConnectionRequest{
		Connection: query.Get("connection"), LoginHint: query.Get("login_hint"),
	}, tokenward.HTTP(w, r))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, connectionTokenAnswer{t.AccessToken, t.Connection, t.LoginHint, t.Scope, t.ExpiresAt.Unix()})
}

// fail answers with err. The errors that err wraps go to the log only, not into the answer.
func (a *app) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil && httpauth.StatusOf(err) >= http.StatusInternalServerError {
		a.log.Warn("a request failed", zap.String("path", r.URL.Path), zap.Error(err))
	}
	httpauth.WriteError(w, r, err)
}

func noSession(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="session"`) // RFC 6750 section 3: no error where no session was brought
	writeProblem(w, http.StatusUnauthorized, "no_session", "nobody is signed in")
}

// problem is how the demo says its own errors; the library's are httpauth's to write.
type problem struct {
	Error       tokenward.Code `json:"error"`
	Description string         `json:"error_description"`
}

func writeProblem(w http.ResponseWriter, status int, code tokenward.Code, description string) {
	writeJSON(w, status, problem{code, description})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // a claim that JSON cannot say: it came as JSON, so there is none
		status, body = http.StatusInternalServerError, []byte(`{"error":"internal_error","error_description":"the answer cannot be written"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // who has left is not told
}
