package httpauth

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/store/cookie"
)

// Attach says whose request it is: within next, calls of the client with zero
// StoreOptions are about the session of the browser that sent it: on any goroutine, and also after next has
// returned, with a context that outlives the request. Cookies are written when the answer begins (see store/cookie.Wrap).
// An answer that says nothing of caches is Cache-Control: no-store. With RefuseForgeries it is Protect, too.
func (h *Handlers) Attach(next http.Handler) http.Handler {
	if h.o.refuse {
		return h.Protect(h.attach(next))
	}
	return h.attach(next)
}

func (h *Handlers) attach(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w, finish := cookie.Wrap(w)
		defer finish()
		ctx := context.WithValue(r.Context(), signInKey{}, h)
		asked := r.WithContext(ctx)
		asked.Header = r.Header.Clone() // next may change its own
		next.ServeHTTP(w, r.WithContext(tokenward.ContextWith(ctx, tokenward.HTTP(w, asked))))
	})
}

// Require is Attach, for signed-in users only. A browser that asks for a page is sent to
// log in and comes back; every other request gets 401 no_session, a form that a person has sent as a page. A browser asks for a page by
// GET or HEAD with Sec-Fetch-Mode: navigate or, where it does not send that header, with text/html in Accept. It lets in every user whose session lives; of one whom
// the provider has revoked the next GetAccessToken says so (tokenward.LoginRequired). Answer with
// WriteError then: a page that leads to the login and back, or 401.
func (h *Handlers) Require(next http.Handler) http.Handler { return h.require("", next) }

// require is Require, where a login is to step up as stepUp names it.
func (h *Handlers) require(stepUp string, next http.Handler) http.Handler {
	return h.Attach(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		login, err := h.loginPath()
		var user tokenward.User
		if err == nil {
			user, err = h.client.GetUser(r.Context(), tokenward.StoreOptions{})
		}
		switch {
		case err != nil:
			h.o.onError(w, r, err)
		case user != nil:
			next.ServeHTTP(w, r)
		case navigates(r) && h.strict && h.asked(r) != "" && r.Header.Get("Sec-Fetch-Site") == "cross-site":
			h.lead(w, h.asked(r)) // the cookie may be there, and did not come along
		case navigates(r):
			redirect(w, withStepUp(h.loginFrom(r, login), stepUp))
		default:
			h.o.onError(w, r, errNoSession)
		}
	}))
}

// loginFrom returns login with the page that r is for as return_to.
func (h *Handlers) loginFrom(r *http.Request, login string) string {
	page := h.asked(r)
	if page == "" {
		return login
	}
	sep := "?"
	if strings.Contains(login, "?") {
		sep = "&"
	}
	return login + sep + "return_to=" + url.QueryEscape(page)
}

// asked returns the path and query of r as the browser has them, "" where they are not to be followed.
func (h *Handlers) asked(r *http.Request) string {
	page := r.RequestURI // r.URL may lack a prefix
	if !strings.HasPrefix(page, "/") {
		page = r.URL.RequestURI()
	}
	page, ok := ReturnPath(page)
	if !ok {
		return ""
	}
	return h.below(page)
}

// Protect refuses requests that change something and that another origin caused, Origin
// null included, with 403 cross_origin. The browser's word for that is Sec-Fetch-Site, and without one Origin: it must
// be the origin of the base URL, or have its scheme and the request's Host, or be one of AllowOrigins. A POST of the
// callback passes: it comes from the provider, and the transaction cookie protects it. Programs, which send neither
// header, pass: what they send carries no browser's cookie.
func (h *Handlers) Protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.forged(r) {
			noStore(w)
			h.o.onError(w, r, errCrossOrigin)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// forged reports whether another origin's page caused a request that changes something.
func (h *Handlers) forged(r *http.Request) bool {
	if safe(r.Method) || r.Method == http.MethodPost && h.isCallback(r) {
		return false
	}
	return h.crossOrigin(r) && !slices.Contains(h.o.others, r.Header.Get("Origin"))
}

// navigates reports whether a browser asks for a page to show.
func navigates(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return acceptsHTML(r.Header.Get("Accept"))
}
