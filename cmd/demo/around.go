package main

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"
)

// around adds the rules for every answer: it is not cached, it is counted, and a panic
// costs one request only.
func (a *app) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "same-origin")
		began := time.Now()
		seen := &observed{ResponseWriter: w}
		defer func() {
			if defect := recover(); defect != nil {
				if err, ok := defect.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(defect)
				}
				// Not what it says, for it may quote anything.
				a.log.Error("a defect was met while answering", zap.String("path", r.URL.Path), zap.String("defect", fmt.Sprintf("%T", defect)), zap.Stack("stack"))
				if seen.status == 0 {
					writeProblem(seen, http.StatusInternalServerError, "internal_error", "a defect was met and contained")
				}
			}
			// Paths, not queries: those hold codes.
			a.counts.requests.WithLabelValues(route(r), strconv.Itoa(seen.code())).Inc()
			a.log.Debug("answered", zap.String("method", r.Method), zap.String("path", r.URL.Path),
				zap.Int("status", seen.code()), zap.Duration("took", time.Since(began)))
		}()
		next.ServeHTTP(seen, r)
	})
}

// route is the pattern that answered r: there are few, whatever is asked for.
func route(r *http.Request) string {
	if r.Pattern == "" {
		return "none"
	}
	return r.Pattern
}

// observed remembers the status of an answer.
type observed struct {
	http.ResponseWriter
	status int
}

func (o *observed) WriteHeader(status int) {
	if o.status == 0 {
		o.status = status
	}
	o.ResponseWriter.WriteHeader(status)
}

func (o *observed) Write(b []byte) (int, error) {
	if o.status == 0 {
		o.status = http.StatusOK
	}
	return o.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController through.
func (o *observed) Unwrap() http.ResponseWriter { return o.ResponseWriter }

func (o *observed) code() int {
	if o.status == 0 {
		return http.StatusOK
	}
	return o.status
}

// errorsAsJSON says in JSON what the mux says in words: 404 for a path that is not
// there, 405 for a method that is not.
func errorsAsJSON(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		said := &headOnly{ResponseWriter: w}
		refuse.ServeHTTP(said, r)
		switch said.status {
		case http.StatusMethodNotAllowed:
			writeProblem(w, said.status, "method_not_allowed", "allowed here: "+w.Header().Get("Allow"))
		default:
			writeProblem(w, http.StatusNotFound, "not_found", "there is nothing at this path")
		}
	})
}

// headOnly takes in what a handler says in its header, and no more.
type headOnly struct {
	http.ResponseWriter
	status int
}

func (h *headOnly) WriteHeader(status int) { h.status = status }

func (h *headOnly) Write(b []byte) (int, error) { return len(b), nil }

// sameOrigin refuses what another origin has a browser do, one without a name included.
func (a *app) sameOrigin(next http.Handler) http.Handler {
	protected := a.auth.Protect(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") == "null" {
			writeProblem(w, http.StatusForbidden, "cross_origin", "this request must come from this site")
			return
		}
		protected.ServeHTTP(w, r)
	})
}
