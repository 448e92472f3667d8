package zitadel

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// seen is a request that the provider answered.
type seen struct {
	path   string
	form   url.Values // query and body
	basic  bool       // HTTP Basic
	status int
}

// grant is the grant_type of a token request.
func (s seen) grant() string { return s.form.Get("grant_type") }

// wire records what the provider is asked.
type wire struct {
	mu     sync.Mutex
	all    []seen
	waited string    // what listen named
	told   chan seen // holds one
}

// listen has told receive the next request whose path ends so, once it is answered.
func (w *wire) listen(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waited, w.told = path, make(chan seen, 1)
}

func (w *wire) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		_, _, basic := r.BasicAuth()
		status := &statusWriter{ResponseWriter: rw, status: http.StatusOK}
		next.ServeHTTP(status, r)
		w.record(seen{path: r.URL.Path, form: r.Form, basic: basic, status: status.status})
	})
}

func (w *wire) record(s seen) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, s)
	if w.told != nil && strings.HasSuffix(s.path, w.waited) {
		select {
		case w.told <- s:
		default:
		}
	}
}

// at returns the requests whose path ends so.
func (w *wire) at(path string) (found []seen) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.all {
		if strings.HasSuffix(s.path, path) {
			found = append(found, s)
		}
	}
	return found
}

// grants returns the token requests of a grant type.
func (w *wire) grants(kind string) (found []seen) {
	for _, s := range w.at("/oauth/token") {
		if s.grant() == kind {
			found = append(found, s)
		}
	}
	return found
}

func (w *wire) refreshes() []seen { return w.grants("refresh_token") }

type statusWriter struct {
	http.ResponseWriter

	status int
}

func (w *statusWriter) WriteHeader(code int) {
	w.status = code
	w.ResponseWriter.WriteHeader(code)
}
