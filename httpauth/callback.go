package httpauth

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/store/cookie"
)

// Callback completes a login and redirects to where it was to lead. It takes the authorization response from the
// query, and of a POST (OAuth 2.0 Form Post Response Mode, which Apple demands for name and e-mail) from the form.
//
// That POST comes from the provider's site, so browsers leave out the transaction cookie, which is SameSite=Lax. The
// answer is a page that posts the same fields once more, from this site. No check of Origin applies
// here: the cookie is what binds the response to the browser that began the login. Middleware against CSRF
// that stands in front must let a POST of the callback through, as Protect does.
//
// A browser that loads a completed callback again is led to where the login led while its session lives.
func (h *Handlers) Callback(w http.ResponseWriter, r *http.Request) {
	w, finish := cookie.Wrap(w)
	defer finish()
	if h.turnedAway(w, r, false) {
		return
	}
	login, _ := h.loginPath() // known to be good, or the callback is not from Register
	response, err := authorizationResponse(w, r)
	if err != nil {
		h.fail(w, r, err, login)
		return
	}
	at := h.base.String() + r.URL.EscapedPath() + "?" + response.Encode()
	res, err := h.client.CompleteInteractiveLogin(r.Context(), at, tokenward.HTTP(w, r))
	if errors.As(err, new(*tokenward.MissingTransactionError)) {
		if r.Method == http.MethodPost && r.PostForm.Get(replayMark) == "" {
			writeReplay(w, r.PostForm)
			return
		}
		if wantsPage(r) {
			if state, ok := h.client.CompletedLogin(r.Context(), at, tokenward.HTTP(w, r)); ok {
				h.lead(w, h.landing(state))
				return
			}
		}
	}
	if err != nil {
		if refused := new(tokenward.APIError); response.Get("error") != "" && errors.As(err, &refused) {
			err = &refusedError{refused}
		}
		h.fail(w, r, err, login)
		return
	}
	if h.o.onLogin != nil {
		h.o.onLogin(w, r, res)
	}
	if err := h.steppedUp(res); err != nil {
		h.fail(w, r, err, "")
		return
	}
	h.lead(w, h.landing(res.AppState))
}

const maxForm = 64 << 10

// responseFields are the fields of an authorization response (RFC 6749 section 4.1.2, RFC 9207, OpenID Connect Session
// Management section 2). Only they are taken from a form.
var responseFields = []string{"state", "code", "iss", "session_state", "error", "error_description", "error_uri"}

// authorizationResponse returns what the provider sent by way of the browser.
func authorizationResponse(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if r.Method != http.MethodPost {
		return r.URL.Query(), nil
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return nil, &tokenward.InvalidArgumentError{Argument: "form", Message: "the request is no form, or larger than 64 KiB"}
	}
	response := make(url.Values)
	for _, name := range responseFields {
		if r.PostForm.Has(name) {
			response.Set(name, r.PostForm.Get(name))
		}
	}
	return response, nil
}

// replayMark is the field of a form that was posted once more.
const replayMark = "tokenward_replay"

// writeReplay answers with a page that posts the response, and Apple's user, once more. The form goes to the address that it
// came to.
func writeReplay(w http.ResponseWriter, form url.Values) {
	fields := []field{{replayMark, "1"}}
	for _, name := range append([]string{"user"}, responseFields...) {
		if form.Has(name) {
			fields = append(fields, field{name, form.Get(name)})
		}
	}
	writePage(w, http.StatusOK, "replay", page{Fields: fields}, true)
}

// refusedError is what the provider told the browser, not us.
type refusedError struct{ *tokenward.APIError }

// Unwrap returns the APIError.
func (e *refusedError) Unwrap() error { return e.APIError }
