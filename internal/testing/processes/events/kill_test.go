package events_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/internal/testing/await"
	"github.com/tokenward/tokenward/internal/testing/servers"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/signals"
	"github.com/tokenward/tokenward/store"
)

var (
	howMany = flag.Int("events.n", 400, "events, half of them by push and half by poll")
	kills   = flag.Int("events.kills", 6, "kill -9 of the receiver in the middle of them")
)

const patience = 10 * time.Minute

// trial is one transmitter, one store, and the receivers that take turns on it.
type trial struct {
	t      *testing.T
	tenant *idptest.Tenant
	home   home

	mu     sync.Mutex
	at     string // where the present receiver takes pushes; empty while there is none
	pushed []int  // events that were acknowledged by 202
}

// No event is lost over a kill -9 of the receiver, and none is acknowledged whose session is in the store.
func TestKill(t *testing.T) {
	t.Run("bolt", func(t *testing.T) { newTrial(t, home{File: filepath.Join(t.TempDir(), "sessions.db")}).run() })
	t.Run("redis", func(t *testing.T) {
		r, err := servers.StartRedis(servers.RedisConfig{Args: []string{"--appendonly", "yes"}})
		var missing *servers.MissingError
		switch {
		case errors.As(err, &missing):
			t.Skip(err)
		case err != nil:
			t.Fatal(err)
		}
		defer r.Close()
		newTrial(t, home{URL: r.URL(), Prefix: "events:"}).run()
	})
}

func newTrial(t *testing.T, h home) *trial {
	profile := idptest.Profiles()[slices.IndexFunc(idptest.Profiles(), func(p idptest.Profile) bool { return p.Name == "auth0" })]
	profile.Keys.Alg, profile.Metadata.IDTokenAlgs = "ES256", []string{"ES256"}
	return &trial{t: t, home: h, tenant: idptest.NewTenant(t, idptest.WithProfile(profile), idptest.WithClient(idptest.ClientID, idptest.ClientSecret))}
}

func (tr *trial) run() {
	t, n := tr.t, *howMany
	tr.signIn(n + 10) // the last ten are not named
	var pushes []int
	for i := range n {
		if i%2 == 0 {
			pushes = append(pushes, i)
		} else {
			tr.tenant.Transmit(tr.event(i))
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	over := tr.push(ctx, pushes)
	for k := range *kills {
		stop := tr.receiver()
		enough := n * (k + 1) / (*kills + 1)
		if !await.Within(patience, func() bool { return len(tr.acknowledged()) >= enough }) {
			t.Fatalf("in vain waited for %d acknowledgements", enough)
		}
		stop()
		if left := tr.alive(tr.acknowledged()); len(left) != 0 {
			t.Errorf("kill %d: %d of %d acknowledged events have a session that lives", k, len(left), enough)
		}
	}
	stop := tr.receiver()
	if !await.Within(patience, func() bool { return len(tr.acknowledged()) == n && tr.tenant.Unacknowledged() == 0 }) {
		t.Fatalf("%d of %d events were acknowledged", len(tr.acknowledged()), n)
	}
	stop()
	<-over
	everyone := make([]int, n+10)
	for i := range everyone {
		everyone[i] = i
	}
	if left, want := tr.alive(everyone), everyone[n:]; !slices.Equal(left, want) {
		t.Errorf("%d sessions live, want the 10 that were not named", len(left))
	}
	t.Logf("%d events, %d by push, over %d kills: all acknowledged, all ended", n, len(pushes), *kills)
}

func name(i int) string { return fmt.Sprint("session-", i) }

// event names the user of session i.
func (tr *trial) event(i int) string {
	return tr.tenant.EventToken(signals.SessionRevoked, idptest.Claims{"format": "iss_sub", "iss": tr.tenant.Issuer(), "sub": fmt.Sprint("user-", i)},
		func(d *idptest.Draft) { d.Claims["jti"] = name(i) })
}

// signIn makes sessions, of one user each.
func (tr *trial) signIn(n int) {
	ctx := tr.t.Context()
	client, closer, err := tr.home.client(ctx, tr.tenant.Issuer())
	if err != nil {
		tr.t.Fatal(err)
	}
	next := make(chan int)
	var group sync.WaitGroup
	for range 32 {
		group.Go(func() {
			for i := range next {
				if err := tr.login(ctx, client, i); err != nil {
					tr.t.Errorf("login: %v", err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
	if err := errors.Join(client.Close(ctx), closer.Close()); err != nil {
		tr.t.Fatal(err)
	}
}

func (tr *trial) login(ctx context.Context, client *tokenward.Client, i int) error {
	o := tokenward.SessionID(name(i))
	to, err := client.StartInteractiveLogin(ctx, tokenward.LoginRequest{}, o)
	if err != nil {
		return err
	}
	back, err := tr.tenant.Authorize(to, idptest.Claims{"sub": fmt.Sprint("user-", i), "sid": name(i)})
	if err != nil {
		return err
	}
	_, err = client.CompleteInteractiveLogin(ctx, back, o)
	return err
}

// receiver starts a receiver. Stop kills it.
func (tr *trial) receiver() (stop func()) {
	t := tr.t
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	settings, err := json.Marshal(plan{Issuer: tr.tenant.Issuer(), Poll: tr.tenant.PollEndpoint(), Home: tr.home})
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+string(settings))
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	at, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Fatalf("the receiver does not start: %v\n%s", err, &said)
	}
	tr.move(strings.TrimSpace(at))
	return func() {
		_ = cmd.Process.Kill() // SIGKILL
		tr.move("")
		_ = cmd.Wait()
		_ = in.Close()
	}
}

func (tr *trial) move(at string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.at = at
}

func (tr *trial) where() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.at
}

// push pushes events, each until it is acknowledged, to the receiver that there is then. The channel is closed when all are.
func (tr *trial) push(ctx context.Context, events []int) <-chan struct{} {
	over := make(chan struct{})
	var next atomic.Int64
	var group sync.WaitGroup
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	client := &http.Client{Transport: transport}
	for range 16 {
		group.Go(func() {
			for {
				at := int(next.Add(1)) - 1
				if at >= len(events) {
					return
				}
				i := events[at]
				token := tr.event(i)
				for ctx.Err() == nil && !tr.pushOnce(ctx, client, token) {
					await.Pause(ctx, 5*time.Millisecond)
				}
				tr.mu.Lock()
				tr.pushed = append(tr.pushed, i)
				tr.mu.Unlock()
			}
		})
	}
	go func() {
		defer close(over)
		group.Wait()
		transport.CloseIdleConnections()
	}()
	return over
}

func (tr *trial) pushOnce(ctx context.Context, client *http.Client, token string) bool {
	at := tr.where()
	if at == "" {
		return false
	}
	status, code, err := tr.tenant.Push(ctx, client, at, token)
	if err == nil && status != http.StatusAccepted && status != http.StatusServiceUnavailable {
		tr.t.Errorf("a push was answered %d %s", status, code)
	}
	return err == nil && status == http.StatusAccepted
}

// acknowledged returns the events that were acknowledged so far, by 202 or in a poll.
func (tr *trial) acknowledged() []int {
	tr.mu.Lock()
	list := slices.Clone(tr.pushed)
	tr.mu.Unlock()
	for jti := range tr.tenant.Acknowledged() {
		var i int
		if _, err := fmt.Sscanf(jti, "session-%d", &i); err == nil {
			list = append(list, i)
		}
	}
	return list
}

// alive returns those of sessions that the store has. No receiver runs.
func (tr *trial) alive(list []int) (left []int) {
	s, closer, err := tr.home.open(tr.t.Context())
	if err != nil {
		tr.t.Fatal(err)
	}
	defer func(c io.Closer) { _ = c.Close() }(closer)
	for _, i := range list {
		_, err := s.Load(tr.t.Context(), session.KeyOf("_a0_session", name(i)), store.Options{})
		switch {
		case err == nil:
			left = append(left, i)
		case !errors.Is(err, store.ErrNotFound):
			tr.t.Fatal(err)
		}
	}
	return left
}
