package soak

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

// tokenLife is how long access tokens live: cached ones are served, and expire.
const tokenLife = 2 * time.Second

// provider is the process of the provider, as the soak sees it: each line that it is told
// is answered by a line.
type provider struct {
	issuer string

	mu  sync.Mutex
	in  io.WriteCloser
	out *bufio.Reader
	err error // what went wrong between the two
}

func startProvider(start func() (io.WriteCloser, io.Reader, error)) (*provider, error) {
	in, out, err := start()
	if err != nil {
		return nil, err
	}
	p := &provider{in: in, out: bufio.NewReader(out)}
	p.issuer = p.tell("issuer")
	return p, p.err
}

// tell tells the provider a line and returns its answer.
func (p *provider) tell(line string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		_, p.err = io.WriteString(p.in, line+"\n")
	}
	if p.err != nil {
		return ""
	}
	answer, err := p.out.ReadString('\n')
	p.err = err
	return strings.TrimSpace(answer)
}

// verdict says whether refresh tokens were used twice. How many requests of a session there
// were at once it cannot say: the provider hears late of a client that gave up.
func (p *provider) verdict() error {
	switch said := p.tell("reuses"); {
	case p.err != nil:
		return fmt.Errorf("soak: the provider: %w", p.err)
	case said != "0":
		return fmt.Errorf("soak: %s refresh tokens were used again", said)
	}
	return nil
}

func (p *provider) stop() error { return p.in.Close() }

// ServeProvider is the process of the provider. It ends with in.
func ServeProvider(in io.Reader, out io.Writer) error {
	tenant, err := idptest.New(
		idptest.WithClient(clientID, clientSecret), idptest.WithTokenLife(tokenLife), idptest.WithConnectionTokenLife(tokenLife),
		idptest.WithOverlap(time.Hour), idptest.WithExchangeRotation(), idptest.WithOpaqueTokens(), idptest.WithIDToken(shortLived))
	if err != nil {
		return err
	}
	defer tenant.Close()
	var storm func()
	heal := func() {
		if storm != nil {
			storm()
			storm = nil
		}
		tenant.Heal()
	}
	defer heal()
	for lines := bufio.NewScanner(in); lines.Scan(); {
		what, rest, _ := strings.Cut(lines.Text(), " ")
		answer := "ok"
		switch what {
		case "issuer":
			answer = tenant.Issuer()
		case "storm":
			heal()
			storm = brew(tenant)
		case "heal":
			heal()
		case "logout": // of a user
			answer = tenant.LogoutToken(rest, "")
		case "reuses":
			answer = strconv.Itoa(tenant.Reuses())
		}
		if _, err := fmt.Fprintln(out, answer); err != nil {
			return err
		}
	}
	return nil
}

// shortLived gives users whose name says so a ceiling that comes within seconds.
func shortLived(d *idptest.Draft) {
	if sub, _ := d.Claims["sub"].(string); strings.HasPrefix(sub, "short") && d.Kind == idptest.CodeExchange {
		d.Claims["session_expiry"] = clock.System().Now().Unix() + 32 + rand.Int64N(3)
	}
}

// brew makes requests fail until the function it returns is called.
func brew(tenant *idptest.Tenant) (heal func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			if n%50 == 0 {
				tenant.Heal() // what nobody has met, and what hangs
			}
			k := failing[rand.IntN(len(failing))]
			f := mishaps[rand.IntN(len(mishaps))]()
			if rand.IntN(2) == 0 {
				f = f.AfterGrant()
			}
			tenant.Script(k, f)
			over, stop := clock.WithTimeout(ctx, clock.System(), 20*time.Millisecond)
			<-over.Done()
			stop()
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

var failing = []idptest.Kind{
	idptest.Refresh, idptest.Refresh, idptest.Refresh, idptest.ConnectionExchange, idptest.ConnectionExchange,
	idptest.CodeExchange, idptest.JWKS, idptest.Discovery, idptest.PAR, idptest.Revocation,
}

var mishaps = []func() idptest.Fault{
	func() idptest.Fault { return idptest.Status(503) },
	func() idptest.Fault { return idptest.OAuthError("temporarily_unavailable", "come again") },
	idptest.ResetConn, idptest.Cut, idptest.Truncated, idptest.Garbage, idptest.Hang, idptest.StallHeader, idptest.EndlessHeader, idptest.BadGzip,
	func() idptest.Fault { return idptest.Raw("") },
	func() idptest.Fault { return idptest.Raw("SSH-2.0\r\n") },
	func() idptest.Fault { return idptest.Trailing("{}") },
	func() idptest.Fault { return idptest.HugeBody(1<<20 + 1) },
	func() idptest.Fault { return idptest.HugeBody(1<<20 + 1).Gzipped() },
	func() idptest.Fault { return idptest.SlowBody(10, 50*time.Millisecond) },
	func() idptest.Fault { return idptest.Delay(300 * time.Millisecond) },
	func() idptest.Fault { return idptest.Redirect(307, "") },
	func() idptest.Fault { return idptest.ExpiresIn(0) },
	func() idptest.Fault { return idptest.Edit(func(body map[string]any) { delete(body, "access_token") }) },
}
