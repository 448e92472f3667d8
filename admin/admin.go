// Package admin is a page and a JSON interface for the operators of an application: they see the sessions of a
// tokenward.Client, end one, sign a user out everywhere, and end all of an issuer. A session is named by the hash of its id; no token, no
// session id and no secret is on any answer. It is made of net/http and html/template alone.
//
//	GET  .             the page
//	GET  sessions      JSON: {"sessions": [...], "next": "..."}
//	POST end           key=KEY
//	POST sign-out      issuer=ISSUER and one or more of subject, email, sid
//	POST end-issuer    issuer=ISSUER
//
// Both listings take issuer, subject, email, sid, deadline_from, deadline_until, used_from and used_until (RFC 3339 times), after
// (the next of the page before) and limit (50; at most 250). A POST is a form (application/x-www-form-urlencoded). It answers
// {"ended": N}, or leads a browser back to the page. For end N is 1, also where the session had ended before. A parameter that comes twice
// is refused, and so is a query or form that cannot be read.
package admin

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/httpauth"
)

// Handler serves the page and the JSON. It is safe for concurrent use.
type Handler struct {
	client    *tokenward.Client
	authorise func(r *http.Request) error
	origins   *http.CrossOriginProtection
	mux       *http.ServeMux
}

// New returns a handler of the sessions of client. It is to be served below a path that ends with a slash, by http.StripPrefix:
//
//	mux.Handle("/admin/", http.StripPrefix("/admin", handler))
//
// Each request is put to authorise first, which returns nil for an operator. Someone whom it lets in can see who is signed in, and sign
// everyone out. Its error is not shown. What it refuses is answered 403, and so is a POST that another origin's page
// has sent. Where its error is, or wraps, tokenward.ErrStore, ErrOverloaded or ErrClosed, authorise could not tell who asks: the
// answer is 503 with that code.
//
// It fails with a *tokenward.ConfigurationError where client or authorise is nil.
func New(client *tokenward.Client, authorise func(r *http.Request) error) (*Handler, error) {
	if client == nil || authorise == nil {
		return nil, &tokenward.ConfigurationError{Message: "admin.New: give the client, and a function that says who is an operator"}
	}
	h := &Handler{client: client, authorise: authorise, origins: http.NewCrossOriginProtection(), mux: http.NewServeMux()}
	h.mux.HandleFunc("GET /{$}", h.page)
	h.mux.HandleFunc("GET /sessions", h.sessions)
	h.mux.HandleFunc("POST /end", h.end)
	h.mux.HandleFunc("POST /sign-out", h.signOut)
	h.mux.HandleFunc("POST /end-issuer", h.endIssuer)
	return h, nil
}

const largestForm = 16 << 10

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Cache-Control", "no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "same-origin") // no-referrer would take the Origin from the forms
	head.Set("Content-Security-Policy", policy(""))
	err := h.authorise(r)
	for _, failed := range []error{tokenward.ErrStore, tokenward.ErrOverloaded, tokenward.ErrClosed} {
		if errors.Is(err, failed) {
			fail(w, r, failed)
			return
		}
	}
	if err != nil || h.origins.Check(r) != nil {
		writeJSON(w, http.StatusForbidden, map[string]string{
			"error": "forbidden", "error_description": "this is for operators, whose requests come from the page itself",
		})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, largestForm)
	h.mux.ServeHTTP(w, r)
}

// policy allows one style sheet in the page, and nothing else to be loaded.
func policy(nonce string) string {
	style := ""
	if nonce != "" {
		style = "style-src 'nonce-" + nonce + "'; "
	}
	return "default-src 'none'; " + style + "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}

// sessionJSON is a session as the JSON has it. Times that are not known are left out.
type sessionJSON struct {
	Key           string     `json:"key"`
	Issuer        string     `json:"issuer"`
	ClientID      string     `json:"client_id"`
	Subject       string     `json:"sub"`
	Name          string     `json:"name,omitempty"`
	Email         string     `json:"email,omitempty"`
	EmailVerified bool       `json:"email_verified"`
	SignedIn      time.Time  `json:"signed_in"`
	Deadline      *time.Time `json:"deadline,omitempty"`
	LastUse       *time.Time `json:"last_use,omitempty"`
}

func (h *Handler) sessions(w http.ResponseWriter, r *http.Request) {
	rows, next, ok := h.list(w, r)
	if !ok {
		return
	}
	all := make([]sessionJSON, len(rows))
	for i, s := range rows {
		all[i] = sessionJSON{
			s.Key.String(), s.Issuer, s.ClientID, s.Subject, s.Name, s.Email, s.EmailVerified, s.SignedIn.UTC(), known(s.Deadline), known(s.LastUse),
		}
	}
	writeJSON(w, http.StatusOK, struct {
		Sessions []sessionJSON `json:"sessions"`
		Next     string        `json:"next,omitempty"`
	}{all, next})
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

const (
	rowsOfAPage = 50
	mostRows    = 250
)

// list returns the page that r asks for, or has answered why there is none.
func (h *Handler) list(w http.ResponseWriter, r *http.Request) (rows []tokenward.SessionInfo, next string, ok bool) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		badRequest(w, r, "query", "cannot be read")
		return nil, "", false
	}
	if !once(w, r, query) {
		return nil, "", false
	}
	limit := rowsOfAPage
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			badRequest(w, r, "limit", "must be a number from 1")
			return nil, "", false
		}
		limit = min(n, mostRows)
	}
	q, wrong := queryOf(query.Get)
	if wrong != "" {
		badRequest(w, r, wrong, "must be a time such as 2026-01-02T15:04:05Z")
		return nil, "", false
	}
	rows, next, err = h.client.SessionPage(r.Context(), q, query.Get("after"), limit, tokenward.StoreOptions{})
	if err != nil {
		fail(w, r, err)
		return nil, "", false
	}
	return rows, next, true
}

// once reports whether no parameter comes twice, or has answered which does.
func once(w http.ResponseWriter, r *http.Request, values url.Values) bool {
	for name := range values {
		if len(values[name]) > 1 {
			badRequest(w, r, name, "comes more than once")
			return false
		}
	}
	return true
}

// queryOf returns which sessions the parameters name, or the name of one that is no time.
func queryOf(get func(string) string) (q tokenward.SessionQuery, wrong string) {
	q = tokenward.SessionQuery{
		Issuer: trimmed(get("issuer")), Subject: trimmed(get("subject")), SID: trimmed(get("sid")), Email: trimmed(get("email")),
	}
	for name, to := range map[string]*time.Time{
		"deadline_from": &q.DeadlineFrom, "deadline_until": &q.DeadlineUntil, "used_from": &q.UsedFrom, "used_until": &q.UsedUntil,
	} {
		if text := get(name); text != "" {
			t, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return q, name
			}
			*to = t
		}
	}
	return q, ""
}

func trimmed(s string) string { return strings.TrimSpace(s) }

func badRequest(w http.ResponseWriter, r *http.Request, argument, message string) {
	fail(w, r, &tokenward.InvalidArgumentError{Argument: argument, Message: message})
}

func (h *Handler) end(w http.ResponseWriter, r *http.Request) {
	h.ends(w, r, func(get func(string) string) (int, error) {
		var key tokenward.Key
		if n, err := hex.Decode(key[:], []byte(keyText(get("key"), len(key)))); err != nil || n != len(key) {
			return 0, &tokenward.InvalidArgumentError{Argument: "key", Message: "must be the key of a session, as a listing has it"}
		}
		return 1, h.client.EndSession(r.Context(), key, tokenward.StoreOptions{})
	})
}

// keyText returns the text of a key, or nothing where it cannot be one.
func keyText(text string, size int) string {
	if len(text) != hex.EncodedLen(size) {
		return ""
	}
	return text
}

func (h *Handler) signOut(w http.ResponseWriter, r *http.Request) {
	h.ends(w, r, func(get func(string) string) (int, error) {
		return h.client.EndSessions(r.Context(), tokenward.EndRequest{
			Issuer: trimmed(get("issuer")), Subject: get("subject"), SID: get("sid"), Email: trimmed(get("email")),
		}, tokenward.StoreOptions{})
	})
}

func (h *Handler) endIssuer(w http.ResponseWriter, r *http.Request) {
	h.ends(w, r, func(get func(string) string) (int, error) {
		return h.client.EndSessionsOf(r.Context(), trimmed(get("issuer")), tokenward.StoreOptions{})
	})
}

// ends has a form end sessions, and answers how many.
func (h *Handler) ends(w http.ResponseWriter, r *http.Request, end func(get func(string) string) (int, error)) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		badRequest(w, r, "body", "must be a form: application/x-www-form-urlencoded")
		return
	}
	if err := r.ParseForm(); err != nil {
		badRequest(w, r, "body", "cannot be read as a form")
		return
	}
	if !once(w, r, r.PostForm) {
		return
	}
	n, err := end(r.PostForm.Get)
	switch {
	case err != nil:
		fail(w, r, err)
	case strings.Contains(r.Header.Get("Accept"), "text/html"):
		w.Header().Set("Location", "./?ended="+strconv.Itoa(n)) // relative, for the prefix is not known here
		w.WriteHeader(http.StatusSeeOther)
	default:
		writeJSON(w, http.StatusOK, map[string]int{"ended": n})
	}
}

// fail answers with err in JSON, a browser too: that says which argument was wrong, and keeps the headers of the page.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	plain := r.Clone(r.Context())
	plain.Header.Del("Accept")
	httpauth.WriteError(w, plain, err)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone
}
