package processes_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/rpc"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
)

// workerEnv holds what a worker is to be. The test program that finds it is one.
const workerEnv = "TOKENWARD_WORKER"

const (
	clientID     = "demo"
	clientSecret = "demo-secret"
	sealing      = "a secret of at least thirty-two bytes"
)

// plan says what a worker is.
type plan struct {
	Issuer string
	Home   home
	Limits tokenward.Limits
	Stands int64 // in seconds since the Unix epoch: its clock stands there; 0: the machine's
}

// Worker is one process: its methods are what the test has it do.
type Worker struct {
	client *tokenward.Client
	store  opened
	clock  clock.Clock
	ledger *ledger
	issuer string
}

// work is the worker's main. It serves until the test closes its standard input.
func work() int {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		return 1
	}
	return 0
}

func serve() error {
	var p plan
	if err := json.Unmarshal([]byte(os.Getenv(workerEnv)), &p); err != nil {
		return err
	}
	w := &Worker{ledger: newLedger(), clock: clock.System(), issuer: p.Issuer}
	if p.Stands != 0 {
		w.clock = clock.NewFake(time.Unix(p.Stands, 0))
	}
	ctx, cancel := clock.WithTimeout(context.Background(), clock.System(), patience)
	defer cancel()
	var err error
	if w.store, err = p.Home.open(ctx); err != nil {
		return err
	}
	defer func() { _ = w.store.Close() }()
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.Lock(os.Stderr), zap.WarnLevel))
	w.client, err = tokenward.New(tokenward.Config{
		Issuer: p.Issuer, ClientID: clientID, ClientSecret: clientSecret, Secrets: []string{sealing}, RedirectURI: "http://127.0.0.1/callback",
	}, tokenward.WithClock(w.clock), tokenward.WithLogger(log), tokenward.WithLimits(p.Limits), tokenward.WithProvider(tokenward.ProviderConfig{EndSession: tokenward.Never}),
		tokenward.WithStateStore(w.store.StateStore), tokenward.WithTransactionStore(w.store.transactions))
	if err != nil {
		return err
	}
	server := rpc.NewServer()
	if err := server.Register(w); err != nil {
		return err
	}
	server.ServeConn(pipes{os.Stdin, os.Stdout})
	return nil
}

// pipes are the two ends of a conversation.
type pipes struct {
	io.ReadCloser
	out io.WriteCloser
}

// Write implements io.Writer.
func (p pipes) Write(b []byte) (int, error) { return p.out.Write(b) }

// Close implements io.Closer.
func (p pipes) Close() error { return errors.Join(p.ReadCloser.Close(), p.out.Close()) }

// Nothing is asked or answered.
type Nothing struct{}

// Reply is an answer: a value, or why there is none.
type Reply struct {
	Value string
	Code  string // the library's; else the text of the error
}

func reply(value string, err error) Reply {
	switch {
	case err == nil:
		return Reply{Value: value}
	case tokenward.CodeOf(err) != "":
		return Reply{Code: string(tokenward.CodeOf(err))}
	}
	return Reply{Code: err.Error()}
}

// Login says who signs in, under which id.
type Login struct {
	ID, Subject string
}

// Begin starts a login and returns where the provider sends the browser.
func (w *Worker) Begin(l Login, r *Reply) error {
	*r = reply(w.begin(l))
	return nil
}

func (w *Worker) begin(l Login) (string, error) {
	to, err := w.client.StartInteractiveLogin(context.Background(), tokenward.LoginRequest{
		AuthorizationParams: map[string]string{"login_hint": l.Subject},
	}, tokenward.SessionID(l.ID))
	if err != nil {
		return "", err
	}
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Get(to)
	if err != nil {
		return "", err
	}
	resp.Body.Close()
	return resp.Header.Get("Location"), nil
}

// Return is where a browser came back from the provider.
type Return struct{ ID, URL string }

// Complete completes a login that may have begun elsewhere.
func (w *Worker) Complete(b Return, r *Reply) error {
	res, err := w.client.CompleteInteractiveLogin(context.Background(), b.URL, tokenward.SessionID(b.ID))
	if err != nil {
		*r = reply("", err)
		return nil
	}
	*r = reply(res.Session.User.Sub(), nil)
	return nil
}

// Logout ends a session.
func (w *Worker) Logout(id string, r *Reply) error {
	*r = reply(w.client.Logout(context.Background(), tokenward.LogoutRequest{}, tokenward.SessionID(id)))
	return nil
}

// Backchannel takes a logout token.
func (w *Worker) Backchannel(token string, r *Reply) error {
	*r = reply("", w.client.HandleBackchannelLogout(context.Background(), token, tokenward.StoreOptions{}))
	return nil
}

// TokenCall asks a worker for a token.
type TokenCall struct{ ID, Audience string }

// Token asks for an access token.
func (w *Worker) Token(q TokenCall, r *Reply) error {
	t, err := w.client.GetAccessToken(context.Background(), tokenward.TokenRequest{Audience: q.Audience}, tokenward.SessionID(q.ID))
	*r = reply(t.AccessToken, err)
	return nil
}

// User returns the subject of a session's user, "" where there is no session.
func (w *Worker) User(id string, r *Reply) error {
	u, err := w.client.GetUser(context.Background(), tokenward.SessionID(id))
	*r = reply(u.Sub(), err)
	return nil
}

// Expect says what users a session may have.
type Expect struct {
	ID       string
	Subjects []string
}

// Await returns the subject of a session's user once it is one of those expected.
func (w *Worker) Await(e Expect, r *Reply) error {
	var last Reply
	if !inTime(func() bool {
		_ = w.User(e.ID, &last)
		for _, s := range e.Subjects {
			if last == (Reply{Value: s}) {
				return true
			}
		}
		return false
	}) {
		last = Reply{Code: fmt.Sprintf("in vain waited for one of %q, it has %q %s", e.Subjects, last.Value, last.Code)}
	}
	*r = last
	return nil
}

// Death is the end of a login.
type Death struct {
	Subjects    []string
	Connections bool // their tokens are over too
}

// Bury notes logins of which this process has been seen to know that they are over.
func (w *Worker) Bury(d Death, _ *Nothing) error {
	for _, s := range d.Subjects {
		w.ledger.bury(s, d.Connections)
	}
	return nil
}

// Advance lets time pass for a worker whose clock stands, and waits until all that this
// starts has come to rest. Work under way comes to rest first, for it would take all that time.
func (w *Worker) Advance(d time.Duration, _ *Nothing) error {
	if err := w.Settle(Nothing{}, nil); err != nil {
		return err
	}
	w.clock.(*clock.Fake).Advance(d)
	return w.Settle(Nothing{}, nil)
}

// Settle returns when nothing is under way but requests on the wire.
func (w *Worker) Settle(Nothing, *Nothing) error {
	ctx, cancel := clock.WithTimeout(context.Background(), clock.System(), patience)
	defer cancel()
	return w.client.Settle(ctx)
}

// Stats returns what the client counted.
func (w *Worker) Stats(_ Nothing, s *tokenward.Stats) error {
	*s = w.client.Stats()
	return nil
}

// Ready reports whether the client is.
func (w *Worker) Ready(_ Nothing, r *Reply) error {
	*r = reply("", w.client.Ready(context.Background()))
	return nil
}

// Close closes the client.
func (w *Worker) Close(_ Nothing, r *Reply) error {
	ctx, cancel := clock.WithTimeout(context.Background(), clock.System(), patience)
	defer cancel()
	*r = reply("", w.client.Close(ctx))
	return nil
}
