package idp

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
)

// errSentOnce is what becomes of a request that net/http would send again.
var errSentOnce = errors.New("the connection ended the request after the form was sent; it is not sent again")

// once is a transport that sends a form at most once: it sends it again exactly where no byte of it
// has left. net/http itself repeats a request whose HTTP/2 stream or connection the server gave up,
// in ways after which it may have read the form: that is refused here. Over HTTP/1 net/http repeats
// a form only when nothing has left on a connection that turned out to be closed, and then may;
// where it gives up although nothing has left, the form is sent again here.
type once struct{ inner http.RoundTripper }

// RoundTrip implements http.RoundTripper. The request it was given can be sent again: only the
// http.Client does that, and only where a redirect is followed.
func (o once) RoundTrip(req *http.Request) (*http.Response, error) {
	inner := o.inner
	if inner == nil {
		inner = http.DefaultTransport
	}
	if req.GetBody == nil {
		return inner.RoundTrip(req)
	}
	for {
		var a attempt
		resp, err := inner.RoundTrip(a.of(req))
		if !a.unsent(err) || req.Context().Err() != nil {
			if err != nil && a.asked.Load() && !a.connected.Load() {
				err = &neverSentError{err}
			}
			return resp, err
		}
		body, bodyErr := req.GetBody()
		if bodyErr != nil {
			return nil, err
		}
		again := *req
		again.Body = body
		req = &again
	}
}

// neverSentError is the error of a request for which there was no connection: no byte of it has left. A transport that is not
// net/http's does not tell.
type neverSentError struct{ error }

// Unwrap returns why.
func (e *neverSentError) Unwrap() error { return e.error }

// attempt is one attempt at a request, and what net/http tells of it.
type attempt struct{ asked, connected, reused, overHTTP2, sent atomic.Bool }

// of returns req to be attempted.
func (a *attempt) of(req *http.Request) *http.Request {
	body := req.GetBody
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GetConn: func(string) { a.asked.Store(true) },
		GotConn: func(info httptrace.GotConnInfo) {
			a.connected.Store(true)
			a.reused.Store(info.Reused)
			if info.Reused && info.WasIdle && closedByPeer(info.Conn) {
				_ = info.Conn.Close() // now nothing can leave on it, so net/http takes another one
			}
		},
		WroteHeaderField: func(name string, _ []string) {
			if strings.HasPrefix(name, ":") {
				a.overHTTP2.Store(true)
			}
		},
		WroteRequest: func(w httptrace.WroteRequestInfo) {
			// Over HTTP/1 it is buffered, and may not have left.
			if w.Err == nil && a.overHTTP2.Load() {
				a.sent.Store(true)
			}
		},
	}))
	req.GetBody = func() (io.ReadCloser, error) {
		if a.sent.Load() {
			return nil, errSentOnce
		}
		return body()
	}
	return req
}

// unsent reports whether net/http gave up although nothing has left: on an idle connection that the
// server closed before the request was begun on it. It then closes the connection before anything
// is written. The error has no name; net/http repeats a GET after it, but not a POST.
func (a *attempt) unsent(err error) bool {
	return err != nil && a.reused.Load() && !a.sent.Load() && err.Error() == "http: server closed idle connection"
}
