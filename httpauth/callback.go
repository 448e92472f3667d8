package httpauth

import (
	"errors"
	"net/http"

	"github.com/tokenward/tokenward"
)

// Callback completes a login and redirects to where it was to lead.
func (h *Handlers) Callback(w http.ResponseWriter, r *http.Request) {
	if h.turnedAway(w, r, false) {
		return
	}
	res, err := h.client.CompleteInteractiveLogin(r.Context(), h.base.String()+r.URL.RequestURI(), tokenward.HTTP(w, r))
	if err != nil {
		if refused := new(tokenward.APIError); r.URL.Query().Get("error") != "" && errors.As(err, &refused) {
			err = &refusedError{refused}
		}
		h.o.onError(w, r, err)
		return
	}
	redirect(w, h.landing(res.AppState))
}

// refusedError is what the provider told the browser, not us.
type refusedError struct{ *tokenward.APIError }

// Unwrap returns the APIError.
func (e *refusedError) Unwrap() error { return e.APIError }
