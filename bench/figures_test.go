package bench

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// The figures of `make figures` are the costs of idle sessions. Each is taken in a
// process of its own, which runs this test binary again, so that one does not pay for the memory of another.

var (
	figures    = flag.Bool("figures", false, "measure what idle sessions cost")
	figuresN   = flag.Int("figures.n", 1_000_000, "the larger number of sessions")
	figureKind = flag.String("figures.kind", "", "of the child process: what it measures")
)

// weight is what n idle sessions cost.
type weight struct {
	heap float64       // bytes for each session, over its strings
	rss  float64       // bytes for each session, all there is resident
	gc   time.Duration // one forced collection
}

func TestFigures(t *testing.T) {
	if *figureKind != "" {
		fmt.Printf("figure %s\n", measureChild(*figureKind, *figuresN))
		return
	}
	if !*figures {
		t.Skip("run make figures")
	}
	fmt.Printf("%-12s %22s %22s %26s\n", "", "idle, B over strings", "RSS, B for each", "forced collection, ms")
	for _, n := range []int{100_000, *figuresN} {
		ours, byHand := child(t, "tokenward", n), child(t, "handwritten", n)
		fmt.Printf("%12d %10.0f (%9.0f) %10.0f (%9.0f) %8.0f (%6.0f) %4.1f times\n", n, ours.heap, byHand.heap, ours.rss, byHand.rss,
			ms(ours.gc), ms(byHand.gc), ms(ours.gc)/ms(byHand.gc))
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// child runs one measurement in a process of its own.
func child(t *testing.T, kind string, n int) weight {
	cmd := exec.Command(os.Args[0], "-test.run", "^TestFigures$", "-figures.kind", kind, "-figures.n", strconv.Itoa(n))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", kind, err, out)
	}
	var w weight
	_, rest, _ := strings.Cut(string(out), "figure ")
	if _, err := fmt.Sscan(rest, &w.heap, &w.rss, &w.gc); err != nil {
		t.Fatalf("%s said %q", kind, out)
	}
	return w
}

// measureChild returns the three figures of weight, for Sscan.
func measureChild(kind string, n int) string {
	strings := 0
	var keep func() // holds the sessions until they were measured
	var before uint64
	switch kind {
	case "tokenward":
		before = heap()
		client, bytes := idleSessions(n)
		strings, keep = bytes, func() { runtime.KeepAlive(client) }
	case "handwritten":
		before = heap()
		h, bytes := idleByHand(n)
		strings, keep = bytes, func() { runtime.KeepAlive(h) }
	}
	after := heap()
	start := time.Now()
	runtime.GC()
	gc := time.Since(start)
	rss := resident()
	keep()
	return fmt.Sprintf("%.0f %.0f %v", float64(after-before-uint64(strings))/float64(n), float64(rss)/float64(n), int64(gc))
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// resident returns the resident memory of this process, in bytes.
func resident() int {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.Atoi(strings.Fields(string(b))[1])
	return pages * os.Getpagesize()
}

// oneRecord is a store in which every session is the same record but for its key: so the measurement
// counts what the library keeps, and nothing of a store.
type oneRecord struct {
	store.StateStore
	state *session.State
}

func (s *oneRecord) Load(_ context.Context, key session.Key, _ store.Options) (store.Record, error) {
	return codec().Encode(key, s.state, session.NewVersion(rand.Reader), session.NewIncarnation(rand.Reader))
}

// idleSessions returns a client with n sessions in memory, none of which was used since it was loaded, and
// how many bytes of text they hold.
func idleSessions(n int) (*tokenward.Client, int) {
	now := time.Now()
	state := idleState(now)
	text := len(state.IDToken) + len(state.RefreshToken) + len(state.TokenSets[0].AccessToken) + len(state.Internal.SID) + len(idleUser)
	fake := clock.NewFake(now)
	client, err := tokenward.New(tokenward.Config{
		Issuer: issuer, ClientID: clientID, ClientSecret: clientSecret, Secrets: []string{sealSecret},
	}, tokenward.WithLogger(zap.NewNop()), tokenward.WithClock(fake), tokenward.WithStateStore(&oneRecord{StateStore: store.NewMemory(fake), state: state}),
		tokenward.WithLimits(limits(n)))
	must(err)
	text *= n
	for range n {
		id := session.RandomString(rand.Reader, 43)
		text += len(id)
		_, err := client.GetAccessToken(context.Background(), tokenward.TokenRequest{}, tokenward.SessionID(id))
		must(err)
	}
	fake.Advance(10 * time.Second)
	must(client.Settle(context.Background()))
	return client, text
}

const idleUser = `{"sub":"auth0|5f7c8ec7c33c6c004bbafe82","name":"Ada Lovelace","email":"ada@example.com","email_verified":true}`

func idleState(now time.Time) *session.State {
	return &session.State{
		User:    idleUser,
		IDToken: "header.payload.signature", RefreshToken: "v1.MRrt9dUvM3H2",
		TokenSets: []session.TokenSet{{Audience: session.DefaultAudience, AccessToken: "access", Scope: "openid profile email", ExpiresAt: now.Unix() + 86400}},
		Internal:  session.Internal{SID: "08a5019c-17e1-4977-8f42-65a12843ea02", CreatedAt: now.Unix(), Ceiling: session.Ceiling(now.Unix() + 8*3600)},
	}
}

// idleByHand is a map of sessions, each with a timer for its ceiling: what would be written by hand.
func idleByHand(n int) (*Handwritten, int) {
	now := time.Now()
	state := idleState(now)
	text := 0
	h := NewHandwritten(nil, nil)
	for range n {
		s := Session{
			ID: session.RandomString(rand.Reader, 43), RefreshToken: strings.Clone(state.RefreshToken), Ceiling: state.Internal.Ceiling,
			Token: strings.Clone("access"), ExpiresAt: now.Add(time.Hour),
		}
		text += len(s.ID) + len(s.RefreshToken) + len(s.Token)
		h.Add(s)
		time.AfterFunc(8*time.Hour, func() { h.Delete(s.ID) })
	}
	return h, text
}
