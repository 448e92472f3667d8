package idptest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Callback follows an authorize URL as a browser would, in-process, and returns the
// request that the browser brings to the application: a GET of the callback URL, or the
// POST of a form where the answer is one (response_mode=form_post). Claims are for this
// login only. It fails where the browser does not come back: on an error page of the
// provider, which the error quotes.
func (t *Tenant) Callback(authorizeURL string, claims ...Claims) (*http.Request, error) {
	ctx := context.WithValue(t.ctx, claimsKey{}, claims)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, authorizeURL, nil)
	if err != nil {
		return nil, fmt.Errorf("idptest: %w", err)
	}
	if !t.answers(req.URL) {
		return nil, fmt.Errorf("idptest: %s is not this tenant, %s", origin(authorizeURL), t.issuer)
	}
	c := t.read(req)
	defer func() { c.done() }() // not c.done itself: admit sets it
	r := t.answer(c)
	switch {
	case r == nil || r.end != whole:
		return nil, errors.New("idptest: authorize did not answer")
	case r.form != nil:
		back, err := http.NewRequest(http.MethodPost, r.formTo, strings.NewReader(r.form.Encode()))
		if err != nil {
			return nil, fmt.Errorf("idptest: %w", err)
		}
		back.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return back, nil
	case r.header.Get("Location") != "":
		back, err := http.NewRequest(http.MethodGet, r.header.Get("Location"), nil)
		if err != nil {
			return nil, fmt.Errorf("idptest: %w", err)
		}
		return back, nil
	}
	return nil, fmt.Errorf("idptest: authorize answered %d: %s", r.status, bytes.TrimSpace(r.body[:min(len(r.body), 1024)]))
}
