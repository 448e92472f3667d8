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

// once is a transport that sends a form at most once. net/http repeats a request whose
// HTTP/2 stream or connection the server gave up, in ways after which it may have read
// the form. Over HTTP/1 it does so only when nothing has left on a connection that
// turned out to be closed, and then may.
type once struct{ inner http.RoundTripper }

// RoundTrip implements http.RoundTripper. The request it was given can be sent again: only the
// http.Client does that, and only where a redirect is followed.
func (o once) RoundTrip(req *http.Request) (*http.Response, error) {
	inner := o.inner
	if inner == nil {
		inner = http.DefaultTransport
	}
	body := req.GetBody
	if body == nil {
		return inner.RoundTrip(req)
	}
	var overHTTP2, sent atomic.Bool
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		WroteHeaderField: func(name string, _ []string) {
			if strings.HasPrefix(name, ":") {
				overHTTP2.Store(true)
			}
		},
		WroteRequest: func(w httptrace.WroteRequestInfo) {
			// Over HTTP/1 it is buffered, and may not have left.
			if w.Err == nil && overHTTP2.Load() {
				sent.Store(true)
			}
		},
	}))
	req.GetBody = func() (io.ReadCloser, error) {
		if sent.Load() {
			return nil, errSentOnce
		}
		return body()
	}
	return inner.RoundTrip(req)
}
