package tokenward

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/internal/bearer"
	"github.com/tokenward/tokenward/session"
)

// Client returns an HTTP client that sends requests with the session's access token: an http.Client with h.Transport. Its
// other fields may be set. Requests to other origins than those named, by default the audience's, go out without a token: a test
// names that of its httptest.Server (server.URL).
func (h *Handle) Client(r TokenRequest, origins ...string) *http.Client {
	return &http.Client{Transport: h.Transport(r, nil, origins...)}
}

// Transport returns an http.RoundTripper that sends requests by base (nil: http.DefaultTransport) with the session's
// access token in the Authorization field (RFC 6750 section 2.1). It asks GetAccessToken for each request, with the
// request's context. A request fails with its error, and nothing is sent: so no request that is begun after the ceiling,
// or after Logout has returned, has a token. Errors are found by errors.As through the *url.Error of an http.Client.
//
// The token goes to the origins (scheme, host and port) of the URLs in origins, or where there are none to that of r's
// audience. Each must be https, or http on a loopback host. If one is not, or there is none, that is logged, and every request
// fails with a *ConfigurationError. The request's URL decides, and its Host where it has one. Sent without a token, as they are: a
// request to elsewhere, a request that follows a redirect, and one that has an Authorization field of its own.
//
// A 401 that says that the token was not accepted (WWW-Authenticate: Bearer error="invalid_token", RFC 6750 section 3.1)
// has the token refreshed: once for all requests that were refused, see TokenRequest.Refused. Then a request without body
// or with GetBody is sent once more, and that answer is returned, also if it is a 401. The 401 itself is returned where
// the body cannot be sent again or no other token can be had. Where the user must sign in again, the error of
// GetAccessToken is returned in its place (LoginRequired).
//
// The request is not changed, and is what Response.Request says: the token is in neither.
func (h *Handle) Transport(r TokenRequest, base http.RoundTripper, origins ...string) http.RoundTripper {
	return h.c.transport(r.Audience, base, origins, func(ctx context.Context, refused string) (Token, error) {
		r := r
		r.Refused = refused
		return h.GetAccessToken(ctx, r)
	})
}

// transport returns a transport that sends tokens of ask, which is told the token that a server refused.
func (c *Client) transport(audience string, base http.RoundTripper, origins []string, ask func(context.Context, string) (Token, error)) *transport {
	t := &transport{ask: ask, base: base}
	if t.origins, t.problem = c.origins(audience, origins); t.problem != nil {
		c.log.Error("a transport or client for an API can send nothing", zap.Error(t.problem))
	}
	return t
}

// transport is not changed after it was made.
type transport struct {
	ask     func(ctx context.Context, refused string) (Token, error)
	base    http.RoundTripper // nil: http.DefaultTransport
	origins []bearer.Origin   // that a token may be sent to
	problem error             // why none may be
}

// origins returns the origins of URLs, of the audience where there are none.
func (c *Client) origins(audience string, urls []string) ([]bearer.Origin, error) {
	if len(urls) == 0 {
		audience = cmp.Or(audience, c.policy.Audience)
		if _, problem := bearer.ParseOrigin(audience); problem != "" {
			return nil, &ConfigurationError{Message: "origins: name those that the token may be sent to; the audience " + problem}
		}
		urls = []string{audience}
	}
	all := make([]bearer.Origin, len(urls))
	for i, u := range urls {
		origin, problem := bearer.ParseOrigin(u)
		if problem != "" {
			return nil, &ConfigurationError{Message: fmt.Sprintf("origins: %s %s", shownOrigin(u), problem)}
		}
		all[i] = origin
	}
	return all, nil
}

// shownOrigin returns the scheme and host of a URL, "one" where it has none. What else it holds may be secret.
func shownOrigin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "one"
	}
	return u.Scheme + "://" + u.Host
}

// Format prints t without the session's id.
func (t *transport) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "tokenward.Transport(%v)", t.origins) }

// CloseIdleConnections closes those of the base, for http.Client.CloseIdleConnections.
func (t *transport) CloseIdleConnections() {
	if base, ok := t.next().(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

func (t *transport) next() http.RoundTripper {
	if t.base == nil {
		return http.DefaultTransport
	}
	return t.base
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.problem != nil {
		return nil, fail(req.Body, t.problem)
	}
	if !t.mayHaveToken(req) {
		return t.next().RoundTrip(req)
	}
	token, err := t.token(req, "")
	if err != nil {
		return nil, fail(req.Body, err)
	}
	resp, err := t.send(req, req.Body, token)
	if err != nil || resp == nil || resp.StatusCode != http.StatusUnauthorized || !bearer.Refused(resp.Header.Values("WWW-Authenticate")) {
		return resp, err
	}
	return t.sendAgain(req, resp, token)
}

// fail closes the body of a request that is not sent, as a RoundTripper must, and returns err.
func fail(body io.Closer, err error) error {
	if body != nil {
		_ = body.Close() // nothing was read of it
	}
	return err
}

func (t *transport) mayHaveToken(req *http.Request) bool {
	if req.URL == nil || req.Response != nil || !slices.Contains(t.origins, bearer.OriginOf(req.URL.Scheme, req.URL.Host)) {
		return false
	}
	// A server of many names answers for that of Host, which a proxy may have from a stranger.
	if req.Host != "" && !slices.Contains(t.origins, bearer.OriginOf(req.URL.Scheme, req.Host)) {
		return false
	}
	for name, values := range req.Header {
		if len(values) > 0 && strings.EqualFold(name, "Authorization") {
			return false
		}
	}
	return true
}

// token asks for the token to send. If refused is not empty, the server did not accept that one.
func (t *transport) token(req *http.Request, refused string) (string, error) {
	token, err := t.ask(req.Context(), refused)
	if err == nil && !bearer.Sendable(token.AccessToken) {
		err = &AccessTokenError{Code: session.CodeRefreshTokenError, Message: "the provider issued a token with characters that no header field may have"}
	}
	return token.AccessToken, err
}

// send sends a copy of req with body and token.
func (t *transport) send(req *http.Request, body io.ReadCloser, token string) (*http.Response, error) {
	out := req.WithContext(req.Context()) // not Clone: Trailer is filled in while the body is read
	out.Body = body
	if out.Header = req.Header.Clone(); out.Header == nil {
		out.Header = make(http.Header)
	}
	out.Header.Set("Authorization", "Bearer "+token)
	resp, err := t.next().RoundTrip(out)
	if resp != nil {
		resp.Request = req
		if resp.Body == nil { // http.Client gives such an answer an empty one, too
			resp.Body = http.NoBody
		}
	}
	return resp, err
}

// sendAgain has the token refreshed that resp refuses, and sends req once more if it can.
func (t *transport) sendAgain(req *http.Request, resp *http.Response, refused string) (*http.Response, error) {
	readAhead(resp)
	body, can := bodyAgain(req)
	token, err := t.token(req, refused) // last: however long the rest took, it is not sent past its time
	if err == nil && can && token != refused {
		_ = resp.Body.Close()
		return t.send(req, body, token)
	}
	if err != nil && (req.Context().Err() != nil || LoginRequired(err)) {
		_ = resp.Body.Close()
		return nil, fail(body, err)
	}
	return resp, fail(body, nil)
}

// bodyAgain returns the body of a request once more, and whether it can be had.
func bodyAgain(req *http.Request) (body io.ReadCloser, can bool) {
	if req.Body == nil || req.Body == http.NoBody {
		return req.Body, true
	}
	if req.GetBody == nil {
		return http.NoBody, false
	}
	body, err := req.GetBody()
	if err != nil {
		return http.NoBody, false
	}
	return body, true
}

// aheadBytes is how much of a refusal is read, which as a rule is all of it.
const aheadBytes = 4 << 10

// readAhead reads the beginning of a body, which can still be read as before. When that is all, its connection is free for
// other requests.
func readAhead(resp *http.Response) {
	start, _ := io.ReadAll(io.LimitReader(resp.Body, aheadBytes)) // an error comes again from the rest
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start), resp.Body), resp.Body}
}
