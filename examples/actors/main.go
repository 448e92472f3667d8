// Command actors has two clients, one for customers and one for staff, live in the actor system of the application, beside an actor of its own.
// That actor asks for access tokens without blocking its turn. The command brings a provider, signs a user in at
// each client, has the actor do a job for each, and stops everything in order.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// job is work for the user of a session of client.
type job struct {
	name    string
	client  *tokenward.Client
	session string
	report  chan<- string
}

// answer is what became of asking for the token of a job.
type answer struct {
	job
	token tokenward.Token
	err   error
}

// worker is the application's actor.
type worker struct{ ctx context.Context } //nolint:containedctx // of its calls: it ends them

// Receive takes a job, and asks for its token on another goroutine, for the call may wait for the provider. The answer comes as a message.
func (w *worker) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case job:
		self, root := c.Self(), c.ActorSystem().Root
		go func() {
			token, err := m.client.GetAccessToken(w.ctx, tokenward.TokenRequest{}, tokenward.SessionID(m.session))
			root.Send(self, answer{m, token, err})
		}()
	case answer:
		if m.err != nil { // LoginRequired(m.err): it waits until the user signs in again
			m.report <- m.name + ": " + m.err.Error()
			return
		}
		m.report <- m.name + ": done with a token of " + m.token.Audience // the work: m.token.AccessToken is for the API
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	tenant, err := idptest.New(idptest.WithClient("staff", "secret of staff"))
	if err != nil {
		return err
	}
	defer tenant.Close()
	// Stop in the opposite order of the start, as these defers do: an HTTP server (Shutdown), the application's actors, the clients, the actor
	// system, and last a store that was opened (Close). A client that closes saves changes under way: its actors and its store must still run.
	system := actor.NewActorSystem()
	defer system.Shutdown()
	jobs, report := []job{}, make(chan string, 2)
	for id, secret := range map[string]string{idptest.ClientID: idptest.ClientSecret, "staff": "secret of staff"} {
		client, err := tokenward.New(tokenward.Config{
			Issuer: tenant.Issuer(), ClientID: id, ClientSecret: secret,
			Secrets: []string{rand.Text() + rand.Text()}, RedirectURI: "http://127.0.0.1:3000/auth/callback",
		}, tokenward.WithActorSystem(system))
		if err != nil {
			return err
		}
		defer func() { _ = client.Close(ctx) }() // its error says which sessions could not be saved
		session, err := signIn(ctx, client, tenant)
		if err != nil {
			return err
		}
		jobs = append(jobs, job{id, client, session, report})
	}
	calls, cancel := context.WithCancel(ctx)
	pid := system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return &worker{calls} }))
	defer func() {
		cancel() // no call waits any more
		err = errors.Join(err, system.Root.PoisonFuture(pid).Wait())
	}()
	for _, j := range jobs {
		system.Root.Send(pid, j)
	}
	for range jobs {
		fmt.Fprintln(out, <-report)
	}
	return nil
}

// signIn stands for a web server's login: see examples/server.
func signIn(ctx context.Context, c *tokenward.Client, tenant *idptest.Tenant) (sessionID string, err error) {
	to, err := c.StartInteractiveLogin(ctx, tokenward.LoginRequest{}, tokenward.StoreOptions{})
	if err != nil {
		return "", err
	}
	back, err := tenant.Authorize(to)
	if err != nil {
		return "", err
	}
	login, err := c.CompleteInteractiveLogin(ctx, back, tokenward.StoreOptions{})
	if err != nil {
		return "", err
	}
	return login.SessionID, nil
}
