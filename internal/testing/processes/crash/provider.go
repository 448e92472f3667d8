package crash

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/tokenward/tokenward/idp/idptest"
)

// provider is the fake tenant behind a socket, with a ledger. It acts on requests one at a
// time, whether or not their client still lives when the answer leaves; what a child had
// sent and was not begun when it was killed is lost.
type provider struct {
	*ledger
	tenant *idptest.Tenant
	server *http.Server
	url    string
	served chan struct{}
	conns  sync.WaitGroup

	mu     sync.Mutex
	life   string // of the child whose requests count; empty: nobody's
	trap   trap
	sprung func(life string)
	late   map[*account]*http.Request // of dead children, on which the tenant acts after the next
}

// newProvider starts a provider for n sessions. sprung is called when a child's request has
// sprung a trap, on the goroutine that serves it, which goes on when it returns.
func newProvider(n int, overlap time.Duration, sprung func(life string)) (*provider, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &provider{
		ledger: newLedger(n), url: "http://" + listener.Addr().String(),
		served: make(chan struct{}), sprung: sprung, late: make(map[*account]*http.Request),
	}
	if p.tenant, err = idptest.New(
		idptest.InProcess(), idptest.WithIssuer(p.url+"/"), idptest.WithClient(clientID, clientSecret), idptest.WithOverlap(overlap),
		idptest.WithOpaqueTokens(), idptest.WithIDToken(func(d *idptest.Draft) { d.Omit = d.Kind == idptest.Refresh }),
	); err != nil {
		_ = listener.Close()
		return nil, err
	}
	p.server = &http.Server{
		Handler:  http.HandlerFunc(p.serve),
		ErrorLog: log.New(io.Discard, "", 0),
		ConnState: func(_ net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				p.conns.Add(1)
			case http.StateClosed, http.StateHijacked:
				p.conns.Done()
			}
		},
	}
	go func() {
		defer close(p.served)
		_ = p.server.Serve(listener)
	}()
	return p, nil
}

func (p *provider) close() {
	_ = p.server.Close()
	<-p.served
	p.conns.Wait()
	p.tenant.Close()
}

// issuer returns what clients are configured with.
func (p *provider) issuer() string { return p.url + "/" }

// welcome makes the requests of a child count, and those of all others lost.
func (p *provider) welcome(life string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life = life
}

// farewell ends that of a child.
func (p *provider) farewell(life string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life == life {
		p.life = ""
	}
}

// set lays a trap.
func (p *provider) set(t trap) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trap = t
}

// pass says that a moment has come, and reports whether that springs the trap. The caller
// holds p.mu.
func (p *provider) pass(m moment) bool {
	if p.trap.At != m || p.trap.Count == 0 {
		return false
	}
	p.trap.Count--
	return p.trap.Count == 0
}

// serve serves one request.
func (p *provider) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	form := url.Values{}
	if r.Method == http.MethodPost {
		if form, err = url.ParseQuery(string(body)); err != nil {
			http.Error(w, "no form", http.StatusBadRequest)
			return
		}
	}
	answer := p.act(r, form, body)
	if answer == nil {
		panic(http.ErrAbortHandler)
	}
	for k, v := range answer.header {
		w.Header()[k] = v
	}
	w.WriteHeader(answer.status)
	_, _ = w.Write(answer.body)
	_ = http.NewResponseController(w).Flush()
	if form.Has("refresh_token") {
		p.spring(answered, r.Header.Get(lifeHeader))
	}
}

// spring passes m for the child of that life, and wakes the goroutines that wait for it.
func (p *provider) spring(m moment, life string) {
	p.mu.Lock()
	hit := life == p.life && p.pass(m)
	p.mu.Unlock()
	if hit {
		p.sprung(life)
	}
}

// act has the tenant act on a request. It returns nil where the client gets no answer.
func (p *provider) act(r *http.Request, form url.Values, body []byte) *reply {
	switch {
	case form.Get("grant_type") == "authorization_code":
		p.mu.Lock()
		defer p.mu.Unlock()
		answer := p.ask(r, body)
		if answer.status == http.StatusOK {
			p.noteLogin(answer.body)
		}
		return answer
	case !form.Has("refresh_token"):
		return p.ask(r, body)
	}
	if p.drops(r, form, body) {
		return nil
	}
	p.mu.Lock()
	if r.Header.Get(lifeHeader) != p.life {
		p.mu.Unlock()
		return nil
	}
	answer := p.grant(r, form, body)
	hit := p.pass(granted)
	p.mu.Unlock()
	if hit {
		p.sprung(r.Header.Get(lifeHeader))
	}
	return answer
}

// drops reports whether a request that has arrived springs a trap, and is lost with its
// client. One that is only delayed is kept.
func (p *provider) drops(r *http.Request, form url.Values, body []byte) bool {
	life, hit := r.Header.Get(lifeHeader), false
	p.mu.Lock()
	if life == p.life {
		delayed := p.pass(late)
		if a := p.find(form.Get("refresh_token")); delayed && a != nil {
			p.late[a] = p.forTenant(r, body) // before the next child can come
		}
		hit = delayed || p.pass(arrived)
	}
	p.mu.Unlock()
	if hit {
		p.sprung(life)
	}
	return hit
}

// grant has the tenant grant a refresh token, and keeps the ledger. The caller holds p.mu.
func (p *provider) grant(r *http.Request, form url.Values, body []byte) *reply {
	spent := form.Get("refresh_token")
	a := p.presents(spent)
	answer := p.ask(r, body)
	if a == nil {
		return answer
	}
	var said struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
		Error        string `json:"error"`
	}
	_ = json.Unmarshal(answer.body, &said)
	switch {
	case answer.status == http.StatusOK:
		p.granted(a, spent, said.RefreshToken, said.AccessToken)
	case said.Error == "invalid_grant":
		p.refuses(a)
	default:
		p.object("the tenant answers a refresh with %d", answer.status)
	}
	if delayed := p.late[a]; delayed != nil {
		delete(p.late, a)
		p.send(delayed)
	}
	return answer
}

// noteLogin begins the account of a user who has signed in.
func (p *provider) noteLogin(body []byte) {
	var said struct {
		IDToken      string `json:"id_token"`
		RefreshToken string `json:"refresh_token"`
	}
	var claims struct {
		Subject string `json:"sub"`
	}
	err := json.Unmarshal(body, &said)
	if parts := strings.Split(said.IDToken, "."); err == nil && len(parts) == 3 {
		var payload []byte
		if payload, err = base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
			err = json.Unmarshal(payload, &claims)
		}
	} else {
		err = errors.Join(err, errors.New("no ID token"))
	}
	number := -1
	if err == nil {
		_, err = fmt.Sscanf(claims.Subject, subjectPattern, &number)
	}
	if err != nil || number < 0 || number >= len(p.accounts) {
		p.object("a login of nobody: %v", err)
		return
	}
	p.signedIn(number, said.RefreshToken)
}

// reply is an answer of the tenant.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// ask asks the tenant.
func (p *provider) ask(r *http.Request, body []byte) *reply { return p.send(p.forTenant(r, body)) }

// forTenant returns a request as the tenant wants it, which no client can take back.
func (p *provider) forTenant(r *http.Request, body []byte) *http.Request {
	to := r.Clone(context.WithoutCancel(r.Context()))
	to.RequestURI = ""
	to.URL.Scheme, to.URL.Host = "http", strings.TrimPrefix(p.url, "http://")
	to.Body = io.NopCloser(bytes.NewReader(body))
	return to
}

func (p *provider) send(r *http.Request) *reply {
	resp, err := p.tenant.Transport().RoundTrip(r)
	if err != nil {
		return &reply{status: http.StatusBadGateway}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return &reply{status: http.StatusBadGateway}
	}
	return &reply{resp.StatusCode, resp.Header, body}
}
