// Command worker does work for users while they are away: a web server puts jobs with session ids into a queue, and workers
// in other processes ask for the users' tokens. Both use one Redis, so a refresh happens once over all of them, and
// a logout at the server ends the jobs of that session.
//
// It needs a Redis: REDIS_URL, by default redis://127.0.0.1:6379. It brings a provider of its own, signs one user in, and
// lets three workers take ten jobs each.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sync/errgroup"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store/redis"
)

// job is work for the user of a session.
type job struct{ session, report string }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, cmp.Or(os.Getenv("REDIS_URL"), "redis://127.0.0.1:6379")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		defer os.Exit(1)
	}
}

func run(ctx context.Context, redisURL string) error {
	tenant, err := idptest.New()
	if err != nil {
		return err
	}
	defer tenant.Close()
	secret := rand.Text() + rand.Text() // the same in every process

	sessions, err := redis.Open(ctx, redisURL, redis.Prefix("worker-example:"))
	if err != nil {
		return err
	}
	defer func() { _ = sessions.Close() }()
	client := func() (*tokenward.Client, error) { // one for each process
		return tokenward.New(tokenward.Config{
			Issuer: tenant.Issuer(), ClientID: idptest.ClientID, ClientSecret: idptest.ClientSecret,
			Secrets: []string{secret}, RedirectURI: "http://127.0.0.1:3000/auth/callback",
		}, tokenward.WithStateStore(sessions))
	}

	server, err := client()
	if err != nil {
		return err
	}
	defer func() { _ = server.Close(context.WithoutCancel(ctx)) }()
	id, err := signIn(ctx, server, tenant)
	if err != nil {
		return err
	}
	jobs := make(chan job, 30)
	for n := range cap(jobs) {
		jobs <- job{id, fmt.Sprintf("report %d", n)}
	}
	close(jobs)
	var workers errgroup.Group
	for range 3 {
		c, err := client()
		if err != nil {
			return err
		}
		defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
		workers.Go(func() error { return work(ctx, c, jobs) })
	}
	if err := workers.Wait(); err != nil {
		return err
	}
	fmt.Println("30 reports,", tenant.Refreshes(), "refresh")
	_, err = server.Logout(ctx, tokenward.LogoutRequest{}, tokenward.SessionID(id))
	return err
}

// work does jobs until there are none.
func work(ctx context.Context, c *tokenward.Client, jobs <-chan job) error {
	for j := range jobs {
		_, err := c.GetAccessToken(ctx, tokenward.TokenRequest{Audience: "https://reports.example.com"}, tokenward.SessionID(j.session))
		switch {
		case tokenward.LoginRequired(err):
			fmt.Println(j.report, "waits until the user signs in again") // signed out, or past the ceiling: trying again is of no use
		case err != nil:
			return fmt.Errorf("%s: %w", j.report, err)
		}
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
