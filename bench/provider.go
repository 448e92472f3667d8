package bench

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tokenward/tokenward/idp"
)

const (
	issuer       = "https://tenant.example/"
	clientID     = "bench"
	clientSecret = "bench-secret"
)

// Provider is an OpenID provider with little more than a token endpoint. It runs on
// the caller's goroutine, without a socket or a signature. Refresh tokens rotate: one
// that is presented again ends its family, as Auth0's rotation does.
type Provider struct {
	Life    time.Duration // of access tokens
	Latency time.Duration // of each refresh and code exchange

	// Hold, if not nil, is asked about each refresh: one for which it returns a channel
	// waits for that.
	Hold func(family int) (released <-chan struct{})

	families  []atomic.Int64 // which refresh token is the newest; negative: revoked
	refreshes atomic.Int64
	refused   atomic.Int64

	exchanges     atomic.Int64 // code exchanges under way
	mostExchanges atomic.Int64 // at once
}

// NewProvider returns a provider that knows n sessions.
func NewProvider(n int, life time.Duration) *Provider {
	return &Provider{Life: life, families: make([]atomic.Int64, n)}
}

// First returns the refresh token that the login of a session got.
func (*Provider) First(family int) string { return refreshToken(family, 0) }

// Newest returns the refresh token of a session that is good now.
func (p *Provider) Newest(family int) string { return refreshToken(family, p.families[family].Load()) }

// Refreshes returns how many requests presented a refresh token since the last call.
func (p *Provider) Refreshes() int64 { return p.refreshes.Swap(0) }

// Refused returns how many of them were refused since the last call.
func (p *Provider) Refused() int64 { return p.refused.Swap(0) }

// Client returns an idp.Client for p.
func (p *Provider) Client() *idp.Client {
	c, err := idp.New(idp.Config{ClientID: clientID, ClientSecret: clientSecret, HTTPClient: p.HTTP()})
	if err != nil {
		panic(err)
	}
	return c
}

// HTTP returns a client that reaches p.
func (p *Provider) HTTP() *http.Client { return &http.Client{Transport: p} }

// RoundTrip implements http.RoundTripper.
func (p *Provider) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		return answer(r, http.StatusOK, metadata), nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	switch form.Get("grant_type") {
	case "authorization_code":
		return p.exchange(r), nil
	case "client_credentials":
		return answer(r, http.StatusOK, fmt.Sprintf(`{"access_token":"access.application","token_type":"Bearer","expires_in":%d}`, int(p.Life.Seconds()))), nil
	}
	p.refreshes.Add(1)
	var family int
	var serial int64
	if _, err := fmt.Sscanf(form.Get("refresh_token"), "refresh.%d.%d", &family, &serial); err != nil {
		return nil, err
	}
	if p.Hold != nil {
		if released := p.Hold(family); released != nil {
			<-released
		}
	}
	if p.Latency > 0 {
		time.Sleep(p.Latency)
	}
	if f := &p.families[family]; !f.CompareAndSwap(serial, serial+1) {
		f.Store(-1)
		p.refused.Add(1)
		return answer(r, http.StatusForbidden, `{"error":"invalid_grant"}`), nil
	}
	return answer(r, http.StatusOK, fmt.Sprintf(
		`{"access_token":"access.%d.%d.%s","refresh_token":%q,"token_type":"Bearer","expires_in":%d}`,
		family, serial+1, form.Get("audience"), refreshToken(family, serial+1), int(p.Life.Seconds()))), nil
}

// exchange refuses a code: none was ever issued.
func (p *Provider) exchange(r *http.Request) *http.Response {
	now := p.exchanges.Add(1)
	defer p.exchanges.Add(-1)
	for most := p.mostExchanges.Load(); now > most && !p.mostExchanges.CompareAndSwap(most, now); {
		most = p.mostExchanges.Load()
	}
	time.Sleep(p.Latency)
	return answer(r, http.StatusForbidden, `{"error":"invalid_grant"}`)
}

func refreshToken(family int, serial int64) string {
	return fmt.Sprintf("refresh.%d.%d", family, serial)
}

const metadata = `{"issuer":"` + issuer + `","token_endpoint":"` + issuer + `token","authorization_endpoint":"` +
	issuer + `authorize","jwks_uri":"` + issuer + `jwks"}`

func answer(r *http.Request, status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}
