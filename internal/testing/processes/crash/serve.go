package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/store"
)

// IsChild reports whether this process was started to be killed: its main function, or
// TestMain, then does nothing but exit with what Serve returns.
func IsChild() bool { return os.Getenv(childEnv) != "" }

// Serve is the child: a server with a tokenward.Client that does what it reads, until
// that ends. It returns the code to exit with.
func Serve() int {
	if err := serve(os.Getenv(childEnv), os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// child is the server.
type child struct {
	client *tokenward.Client
	store  store.StateStore
	watch  *watch
	out    *lines
	http   *http.Client
}

// The child's patience with what must end.
const (
	pollEvery       = 20 * time.Millisecond
	openingPatience = 20 * time.Second
	closingPatience = 20 * time.Second
)

func serve(text string, in io.Reader, out, stderr io.Writer) error {
	var s setup
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return fmt.Errorf("setup: %w", err)
	}
	c := &child{out: &lines{w: out}}
	var err error
	if c.watch, err = newWatch(c.say, s.Fault); err != nil {
		return err
	}
	log := zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig()), zapcore.AddSync(stderr), zap.WarnLevel))
	ctx, cancel := clock.WithTimeout(context.Background(), clock.System(), openingPatience)
	defer cancel()
	inner, shut, err := s.Home.open(ctx, log)
	if err != nil {
		return err
	}
	c.store = watchedStore{inner, c.watch}
	base := &http.Transport{MaxIdleConnsPerHost: 64}
	defer base.CloseIdleConnections()
	c.http = &http.Client{
		Transport:     &transport{c.watch, s.Life, base},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if c.client, err = tokenward.New(tokenward.Config{
		Issuer: s.Issuer, ClientID: clientID, ClientSecret: clientSecret, Secrets: []string{sealingSecret},
		RedirectURI: "http://127.0.0.1/callback", Audience: defaultAudience,
	}, tokenward.WithStateStore(c.store), tokenward.WithHTTPClient(c.http), tokenward.WithLogger(log), tokenward.WithProvider(tokenward.ProviderConfig{EndSession: tokenward.Never}),
		tokenward.WithLimits(tokenward.Limits{Lease: leaseTTL, RetryFirst: retryFirst, RetryMost: retryMost, TokenSets: tokensPerState}),
	); err != nil {
		return errors.Join(err, shut())
	}
	c.say(report{ID: sayReady})
	err = c.obey(in)
	ctx, cancel = clock.WithTimeout(context.Background(), clock.System(), closingPatience)
	defer cancel()
	return errors.Join(err, c.client.Close(ctx), shut())
}

func (c *child) say(r report) {
	if c.out.put(r) != nil {
		os.Exit(1) // the parent has gone
	}
}

// obey carries out orders, each on a goroutine of its own, until there are no more.
func (c *child) obey(in io.Reader) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for d := json.NewDecoder(in); ; {
		var o order
		if err := d.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if o.Do == setTrap { // before what is ordered next
			c.watch.set(o.Trap)
			c.say(report{ID: o.ID})
			continue
		}
		wg.Go(func() {
			r := c.carryOut(o)
			r.ID = o.ID
			c.say(r)
		})
	}
}

func (c *child) carryOut(o order) report {
	ctx := context.Background()
	switch o.Do {
	case signIn:
		return failed(c.signIn(ctx, o.Session))
	case ask:
		token, err := c.client.GetAccessToken(ctx, tokenward.TokenRequest{Audience: o.Audience}, tokenward.SessionID(sessionID(o.Session)))
		if err != nil {
			return failed(err)
		}
		return report{Token: digest(token.AccessToken)}
	case staleIntents:
		intents, ok := store.As[store.Intents](c.store)
		if !ok {
			return failed(errors.New("a store without intents"))
		}
		found, err := intents.StaleIntents(ctx, 10_000, store.Options{Background: true})
		r := failed(err)
		r.Number = len(found)
		return r
	case howIsIt:
		r := report{Number: int(c.client.Stats().Unsaved)}
		if err := c.client.Ready(ctx); err != nil {
			r.ReadyText = err.Error()
		}
		return r
	case setTrap:
	}
	return failed(fmt.Errorf("an order that nobody knows: %q", o.Do))
}

// signIn signs the user of session i in, as a browser would.
func (c *child) signIn(ctx context.Context, i int) error {
	o := tokenward.SessionID(sessionID(i))
	to, err := c.client.StartInteractiveLogin(ctx, tokenward.LoginRequest{
		AuthorizationParams: map[string]string{"login_hint": subjectOf(i)},
	}, o)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	_, err = c.client.CompleteInteractiveLogin(ctx, resp.Header.Get("Location"), o)
	return err
}

// failed is the report of err, which may be nil.
func failed(err error) report {
	if err == nil {
		return report{}
	}
	r := report{Code: string(tokenward.CodeOf(err)), Text: err.Error()}
	if r.Code == "" {
		r.Code = "error"
	}
	var api *tokenward.APIError
	if errors.As(err, &api) {
		r.Cause = string(api.Code)
	}
	return r
}
