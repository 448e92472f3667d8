package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
)

// patience is how long /readyz waits for store and provider.
const patience = 3 * time.Second

func (a *app) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// readyAnswer names the ones that do not answer.
type readyAnswer struct {
	problem
	NotReady []string `json:"not_ready"`
}

func (a *app) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	err := a.ready(ctx)
	if err == nil {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
		return
	}
	a.log.Warn("not ready", zap.Error(err))
	answer := readyAnswer{problem: problem{Error: cmp.Or(tokenward.CodeOf(err), "closed")}}
	var not *tokenward.NotReadyError
	if errors.As(err, &not) {
		if not.Store != nil {
			answer.NotReady, answer.Error = append(answer.NotReady, "store"), "store_error"
		}
		if not.Provider != nil {
			answer.NotReady = append(answer.NotReady, "provider")
			if not.Store == nil {
				answer.Error = cmp.Or(tokenward.CodeOf(not.Provider), "metadata_error")
			}
		}
	}
	answer.Description = "not ready: " + cmp.Or(strings.Join(answer.NotReady, " and "), "the process is closing")
	writeJSON(w, http.StatusServiceUnavailable, answer)
}

// ready asks the library, for which a provider counts as there while what it knows of it
// is fresh, and then the provider itself.
func (a *app) ready(ctx context.Context) error {
	if err := a.client.Ready(ctx); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, a.issuer, nil)
	if err != nil {
		return &tokenward.NotReadyError{Provider: err}
	}
	resp, err := a.probe.Do(req)
	switch {
	case err != nil:
		return &tokenward.NotReadyError{Provider: err}
	case resp.StatusCode >= http.StatusInternalServerError:
		err = &tokenward.NotReadyError{Provider: fmt.Errorf("it answered %s", resp.Status)}
	}
	resp.Body.Close()
	return err
}

// newProbe returns a client that follows no redirect: that there is an answer is enough.
func newProbe() *http.Client {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: patience, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
