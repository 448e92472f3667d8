package idp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
)

// maxBody is how much of an answer is read, and by a client of our own of its
// header. Nothing a provider has to say is longer.
const maxBody = 1 << 20

// errBodyTooLong says that an answer was longer than maxBody.
var errBodyTooLong = errors.New("the answer is longer than 1 MiB")

// useHTTP takes a copy of the host's client that follows no redirects: a POST that
// is redirected would take the refresh token along to wherever it is sent. Nor does the
// copy send one twice.
func (c *Client) useHTTP(h *http.Client, idle time.Duration) {
	if h == nil {
		h = &http.Client{}
		if t, ok := http.DefaultTransport.(*http.Transport); ok {
			c.own = t.Clone()
			c.own.MaxIdleConns = 0
			c.own.IdleConnTimeout = idle
			c.own.MaxIdleConnsPerHost = maxIdlePerHost
			c.own.MaxResponseHeaderBytes = maxBody
			h.Transport = c.own
		}
	}
	c.http = careful(h)
}

// careful returns a copy of h that follows no redirects and sends no form twice.
func careful(h *http.Client) *http.Client {
	own := *h
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	own.Transport = once{h.Transport}
	return &own
}

// reply is a complete answer.
type reply struct {
	status     int
	kind       string // Content-Type
	body       []byte
	retryAfter time.Duration // how long to wait before the next try, 0 where that is not said
	location   string        // where a redirect leads
}

// maxRedirects is how many redirects lead to one document.
const maxRedirects = 5

// get fetches a document that needs no credentials. Unlike a form it may be redirected, but never
// from https to http.
func (c *Client) get(ctx context.Context, kind, from string) (reply, error) {
	for range maxRedirects + 1 {
		r, err := c.getOnce(ctx, kind, from)
		if err != nil || !redirects(r.status) || r.location == "" {
			return r, err
		}
		to, err := url.Parse(from)
		if err == nil {
			to, err = to.Parse(r.location)
		}
		if err != nil || !fetchable(to, !strings.HasPrefix(strings.ToLower(from), "http:")) {
			return r, errors.New("it is redirected to where no metadata or keys are taken from")
		}
		from = to.String()
	}
	return reply{}, fmt.Errorf("it is redirected more than %d times", maxRedirects)
}

// redirects reports whether a status sends a GET on (RFC 9110 section 15.4): 300 leaves a choice, and
// 304 is for caches.
func redirects(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// fetchable reports whether a document may be fetched from u: by https, or at a loopback host by
// http unless secure.
func fetchable(u *url.URL, secure bool) bool {
	bare := url.URL{Scheme: u.Scheme, Host: u.Host}
	return u.User == nil && session.CheckIssuer(bare.String()) == nil && (!secure || u.Scheme == "https")
}

func (c *Client) getOnce(ctx context.Context, kind, from string) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return reply{}, errors.New("the URL cannot be used")
	}
	return c.do(kind, req, scrubber{})
}

// blankPost is a request to a URL, without context, body and header. The last one is
// kept, for most requests go to one endpoint.
type blankPost struct {
	to      string
	request *http.Request
}

// post sends form once. The errors it returns have gone through s.
func (c *Client) post(ctx context.Context, to string, form url.Values, header http.Header, s scrubber) (reply, error) {
	blank := c.posts.Load()
	if blank == nil || blank.to != to {
		req, err := http.NewRequest(http.MethodPost, to, nil) //nolint:noctx // it is not sent, but copied
		if err != nil {
			return reply{}, errors.New("the URL cannot be used")
		}
		blank = &blankPost{to, req}
		c.posts.Store(blank)
	}
	req := blank.request.WithContext(ctx)
	at := *req.URL // transports of hosts may change it
	req.URL = &at
	body := form.Encode()
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
	req.Body, _ = req.GetBody()
	req.ContentLength = int64(len(body))
	req.Header = header
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.do(kindOf(form), req, s)
}

// kindOf returns the kind of a request by its form.
func kindOf(form url.Values) string {
	switch form.Get("grant_type") {
	case "authorization_code":
		return observe.RequestCode
	case "refresh_token":
		return observe.RequestRefresh
	case grantConnection:
		return observe.RequestExchange
	case grantClientCredentials:
		return observe.RequestClient
	case grantTokenExchange, grantJWTBearer:
		return observe.RequestSwap
	case "":
		if form.Has("token") { // RFC 7009 section 2.1
			return observe.RequestRevoke
		}
		return observe.RequestPush
	}
	return observe.RequestToken
}

// do makes one request, which is told of, and reads the whole answer.
func (c *Client) do(kind string, req *http.Request, s scrubber) (r reply, err error) {
	if c.observe == nil {
		return c.exchange(req, s)
	}
	ctx, end := c.observe(req.Context(), kind, req.Method, req.URL.Hostname())
	if end != nil {
		defer func() { end(r.status, err != nil) }()
	}
	return c.exchange(req.WithContext(ctx), s)
}

// exchange makes one request and reads the whole answer. When the answer breaks off or
// is too long, reply still has its status. A panic of the host's transport is an error,
// and its value is not shown, for it may quote the request.
func (c *Client) exchange(req *http.Request, s scrubber) (r reply, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the HTTP client panicked with a %T", p)
		}
	}()
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return reply{}, newWireError(req.Context(), err, s)
	}
	defer resp.Body.Close()
	r = reply{status: resp.StatusCode, kind: resp.Header.Get("Content-Type"), retryAfter: retryAfter(resp, c.clock.Now()), location: resp.Header.Get("Location")}
	body, err := readBody(resp)
	switch {
	case err != nil:
		return r, newWireError(req.Context(), err, s)
	case len(body) > maxBody:
		return r, errBodyTooLong
	}
	r.body = body
	return r, nil
}

// readBody reads up to a byte more than an answer may have.
func readBody(resp *http.Response) ([]byte, error) {
	const believed = 8 << 10 // a longer body is not believed before it is there
	var b bytes.Buffer
	if n := resp.ContentLength; n > 0 && n <= believed {
		b.Grow(int(n) + bytes.MinRead) // the end is found out by one more read
	}
	_, err := b.ReadFrom(io.LimitReader(resp.Body, maxBody+1))
	return b.Bytes(), err
}

// wireError is a failed request. Its text has been scrubbed. errors.Is and
// errors.As see the error behind it, which Unwrap does not show: that one's text
// is whatever the transport, or the other end, made of it.
type wireError struct {
	text   string
	err    error
	unsent bool // no byte of the request has left
}

func newWireError(ctx context.Context, err error, s scrubber) error {
	var never *neverSentError
	unsent := errors.As(err, &never)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	for u := (*url.Error)(nil); errors.As(err, &u); {
		err = u.Err // without the URL, which may carry a query
	}
	text := err.Error()
	if malformed := textproto.ProtocolError(""); errors.As(err, &malformed) {
		text = "malformed HTTP header"
	}
	// What net/http quotes is a piece of the answer, where new tokens may be.
	text = quoted.ReplaceAllString(text, `"..."`)
	return &wireError{text: s.clean(text, maxWireText), err: err, unsent: unsent}
}

var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*(?:"|$)`)

func (e *wireError) Error() string { return e.text }

// Unsent is for session.Retryable.
func (e *wireError) Unsent() bool               { return e.unsent }
func (e *wireError) Is(target error) bool       { return errors.Is(e.err, target) }
func (e *wireError) As(target any) bool         { return errors.As(e.err, target) }
func (e *wireError) Format(f fmt.State, _ rune) { io.WriteString(f, e.text) } //nolint:errcheck // fmt.State keeps it

// failed makes an APIError with our own code of err, unless it is one already.
func failed(code session.Code, err error) error {
	var api *session.APIError
	if errors.As(err, &api) {
		return err
	}
	return &session.APIError{Code: code, Err: err}
}
