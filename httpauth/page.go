package httpauth

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"html/template"
	"net/http"
	"strings"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/session"
)

//go:embed pages.html
var pagesText string

var pages = template.Must(template.New("pages").Parse(pagesText))

// page is what the templates show.
type page struct {
	Nonce       string // of the page's own style and script
	Title, Text string
	Link        string // where to sign in, or to go on; empty where that does not help
	Code        tokenward.Code
	Fields      []field
}

type field struct{ Name, Value string }

// writePage answers with a page that loads nothing and that no other site can frame. script says whether its
// own script may run.
func writePage(w http.ResponseWriter, status int, name string, p page, script bool) {
	p.Nonce = rand.Text()
	policy := "default-src 'none'; style-src 'nonce-" + p.Nonce + "'; base-uri 'none'; frame-ancestors 'self'"
	referrer := "no-referrer" // the address of a callback has a code
	if script {
		policy += "; script-src 'nonce-" + p.Nonce + "'"
	}
	if p.Fields != nil {
		// No form-action: browsers apply it to the redirects that follow the form, and those may leave the site.
		referrer = "same-origin" // with no-referrer a form is sent with Origin: null
	} else {
		policy += "; form-action 'none'"
	}
	noStore(w)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", referrer)
	w.WriteHeader(status)
	_ = pages.ExecuteTemplate(w, name, p) // a browser that has left learns nothing
}

// lead sends the browser on to a page of this site. A browser keeps a Strict session cookie to itself in a navigation that
// another site began, in redirects that follow one too: then a page of this site begins another one.
func (h *Handlers) lead(w http.ResponseWriter, to string) {
	if h.strict {
		writePage(w, http.StatusOK, "onward", page{Link: ascii(to)}, true)
		return
	}
	redirect(w, to)
}

// signInKey is where the context of a request says how to sign in: the login's address, or the *Handlers whose
// Attach the request went through; then a login leads back to the page.
type signInKey struct{}

// fail has err answered, with login as the place where the user may sign in again.
func (h *Handlers) fail(w http.ResponseWriter, r *http.Request, err error, login string) {
	h.o.onError(w, r.WithContext(context.WithValue(r.Context(), signInKey{}, login)), err)
}

// signInLink returns where the user may sign in, "" where that is unknown.
func signInLink(r *http.Request) string {
	switch at := r.Context().Value(signInKey{}).(type) {
	case string:
		return at
	case *Handlers:
		login, err := at.loginPath()
		if err == nil && r.Method == http.MethodGet {
			login = at.loginFrom(r, login)
		}
		return ascii(login)
	}
	return ""
}

// errorPage says to a person what err means for them, and what to do.
func errorPage(r *http.Request, err error, status int) page {
	p := page{Link: signInLink(r), Code: word(tokenward.CodeOf(err))}
	switch {
	case errors.Is(err, errNotSteppedUp):
		p.Title, p.Text = "This page needs another sign-in", "The provider did not confirm who you are in the way that this page needs."
	case status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout, isUpstream(err):
		p.Title, p.Text, p.Link = "Please try again", "The server is busy, or a part of it does not answer. Reload this page in a moment.", ""
	case errors.Is(err, errNoSession):
		p.Title, p.Text = "Please sign in", "You are not signed in, or your session has ended."
	case status == http.StatusUnauthorized:
		p.Title, p.Text = "Please sign in again", "Your session has ended."
	case errors.As(err, new(*tokenward.MissingTransactionError)):
		p.Title, p.Text = "This sign-in cannot be completed", "It was completed before, took longer than an hour, or was begun in another browser."
	case session.RefusesApplication(err) && (status == http.StatusBadGateway || errors.As(err, new(*refusedError))):
		p.Title, p.Text, p.Link = "The provider refused this application",
			"You can do nothing about it: the application's operator must look at its configuration, at the provider and here.", ""
	case errors.As(err, new(*refusedError)):
		p.Title, p.Text = "You are not signed in", "The sign-in was cancelled, or the provider refused it."
	case errors.Is(err, errCrossOrigin):
		p.Title, p.Text, p.Link = "This request came from another site", "Nothing was changed. If you meant it, go to this site and try there.", ""
	case status == http.StatusForbidden:
		p.Title, p.Text = "This is not allowed", "The request was refused."
	case status == http.StatusBadGateway:
		p.Title, p.Text = "The sign-in did not work", "The provider cannot be reached, or did not answer as it should. Try again in a moment."
	case status < http.StatusInternalServerError:
		p.Title, p.Text = "This request cannot be answered", "Something in it is missing or wrong."
	default:
		p.Title, p.Text = "Something went wrong", "The fault is on this side. Try again in a moment."
	}
	return p
}

// word returns code if it is a word as programs have them: a provider's may be any text.
func word(code tokenward.Code) tokenward.Code {
	if len(code) > 64 || strings.Trim(string(code), "abcdefghijklmnopqrstuvwxyz_") != "" {
		return ""
	}
	return code
}

// wantsPage reports whether a person looks at the answer to r.
func wantsPage(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode")
	return (mode == "" || mode == "navigate") && acceptsHTML(r.Header.Get("Accept"))
}
