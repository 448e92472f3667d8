package bench

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
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
	rss  float64       // resident bytes for each session, over its strings and what the process had before; as much as the heap may grow before it is collected counts too
	held float64       // the same, once the runtime has given back what it does not use
	gc   time.Duration // one forced collection
}

func TestFigures(t *testing.T) {
	switch *figureKind {
	case "":
	case "resident", "asleep":
		c := measureCeilings(*figuresN, *figureKind == "resident")
		fmt.Printf("figure %v %v %v\n", int64(c.p99), int64(c.bystand), int64(c.cpu))
		return
	default:
		fmt.Printf("figure %s\n", measureChild(*figureKind, *figuresN))
		return
	}
	if !*figures {
		t.Skip("run make figures")
	}
	fmt.Printf("%-12s %22s %22s %22s %26s\n", "", "idle, B over strings", "RSS, the same", "once given back", "forced collection, ms")
	for _, n := range []int{100_000, *figuresN} {
		ours, byHand := child(t, "tokenward", n), child(t, "handwritten", n)
		fmt.Printf("%12d %10.0f (%9.0f) %10.0f (%9.0f) %10.0f (%9.0f) %8.0f (%6.0f) %4.1f times\n", n,
			ours.heap, byHand.heap, ours.rss, byHand.rss, ours.held, byHand.held, ms(ours.gc), ms(byHand.gc), ms(ours.gc)/ms(byHand.gc))
	}
	for _, kind := range []string{"resident", "asleep"} {
		var c ceilings
		scanFigure(t, runChild(t, kind, 100_000), &c.p99, &c.bystand, &c.cpu)
		fmt.Printf("100,000 ceilings in one second, %s: deleted after %.0f ms (p99), with %.0f ms of processor time; a bystander's sleep of 1 ms took %.1f ms at most\n",
			kind, ms(c.p99), ms(c.cpu), ms(c.bystand))
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// child weighs sessions in a process of its own.
func child(t *testing.T, kind string, n int) (w weight) {
	scanFigure(t, runChild(t, kind, n), &w.heap, &w.rss, &w.held, &w.gc)
	return w
}

// runChild runs one measurement in a process of its own.
func runChild(t *testing.T, kind string, n int) string {
	cmd := exec.Command(os.Args[0], "-test.run", "^TestFigures$", "-figures.kind", kind, "-figures.n", strconv.Itoa(n))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", kind, err, out)
	}
	_, figures, _ := strings.Cut(string(out), "figure ")
	return figures
}

func scanFigure(t *testing.T, figures string, into ...any) {
	if _, err := fmt.Sscan(figures, into...); err != nil {
		t.Fatalf("a measurement said %q", figures)
	}
}

// measureChild returns the figures of weight, for Sscan.
func measureChild(kind string, n int) string {
	strings := 0
	var keep func() // holds the sessions until they were measured
	var before uint64
	debug.FreeOSMemory()
	empty := resident()
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
	debug.FreeOSMemory()
	held := resident()
	keep()
	each := func(bytes int) float64 { return float64(bytes-strings) / float64(n) }
	return fmt.Sprintf("%.0f %.0f %.0f %v", each(int(after-before)), each(rss-empty), each(held-empty), int64(gc))
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

// ceilings are many sessions whose ceiling comes in one second.
type ceilings struct {
	p99     time.Duration // from due to deleted
	bystand time.Duration // the longest that a goroutine slept which wanted to sleep a millisecond
	cpu     time.Duration // that this process used from due until all were deleted; other load on the machine hardly moves it
}

// watched is a store in memory that notes when each session was ended, so that nothing has to look at all of them
// while they are.
type watched struct {
	*store.Memory
	left atomic.Int64
	p99  time.Time     // when a hundredth was left
	rare int64         // a hundredth
	over chan struct{} // closed when none is left
}

// Ability implements what store.As asks: the memory store's, and EndAll of its own.
func (w *watched) Ability(target any) bool {
	if t, ok := target.(*store.BatchEnder); ok {
		*t = w
		return true
	}
	return w.Memory.Ability(target)
}

// End implements store.StateStore.
func (w *watched) End(ctx context.Context, key session.Key, only session.Incarnation, e store.Ending, o store.Options) error {
	err := w.Memory.End(ctx, key, only, e, o)
	if err == nil {
		w.ended(1)
	}
	return err
}

// EndAll implements store.BatchEnder.
func (w *watched) EndAll(ctx context.Context, refs []store.Ref, e store.Ending, o store.Options) ([]store.Ref, error) {
	left, err := w.Memory.EndAll(ctx, refs, e, o)
	if err == nil {
		w.ended(len(refs) - len(left))
	}
	return left, err
}

func (w *watched) ended(n int) {
	left := w.left.Add(-int64(n))
	if left <= w.rare && left+int64(n) > w.rare {
		w.p99 = time.Now()
	}
	if left == 0 {
		close(w.over)
	}
}

// measureCeilings ends n sessions in one second of the machine's clock, in memory or not.
func measureCeilings(n int, resident bool) ceilings {
	clk := clock.System()
	ceiling := time.Now().Add(40*time.Second + session.CeilingLeeway).Truncate(time.Second)
	s, due := &watched{Memory: store.NewMemory(clk), rare: int64(n / 100), over: make(chan struct{})}, ceiling.Add(-session.CeilingLeeway)
	s.left.Store(int64(n))
	ids := make([]string, n)
	for i := range ids {
		ids[i] = session.RandomString(rand.Reader, 43)
		state := idleState(time.Now())
		state.Internal.Ceiling = session.Ceiling(ceiling.Unix())
		r, err := codec().Encode(keyOf(ids[i]), state, session.NewVersion(rand.Reader), session.NewIncarnation(rand.Reader))
		must(err)
		must(s.Replace(context.Background(), keyOf(ids[i]), r, store.Options{}))
	}
	client, err := tokenward.New(tokenward.Config{
		Issuer: issuer, ClientID: clientID, ClientSecret: clientSecret, Secrets: []string{sealSecret},
	}, tokenward.WithLogger(zap.NewNop()), tokenward.WithStateStore(s), tokenward.WithLimits(limits(n)))
	must(err)
	for _, id := range ids {
		if resident {
			_, err := client.GetUser(context.Background(), tokenward.SessionID(id))
			must(err)
		}
	}
	if !time.Now().Before(due) {
		panic("the sessions were not ready in time")
	}
	done, longest := make(chan struct{}), make(chan time.Duration)
	go func() { longest <- bystander(done, due) }()
	time.Sleep(time.Until(due))
	used := processorTime()
	<-s.over
	used = processorTime() - used
	close(done)
	c := ceilings{p99: s.p99.Sub(due), bystand: <-longest, cpu: used}
	if s.Len() != 0 {
		panic("a session was counted twice")
	}
	must(client.Close(context.Background()))
	return c
}

// processorTime returns how much of it this process has used, in steps of 10 ms.
func processorTime() time.Duration {
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(b), ") ") // of the program's name
	fields := strings.Fields(after)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// bystander sleeps a millisecond again and again from a moment on until done is closed, and returns the longest that took.
func bystander(done <-chan struct{}, from time.Time) (longest time.Duration) {
	for {
		start := time.Now()
		time.Sleep(time.Millisecond)
		if start.After(from) {
			longest = max(longest, time.Since(start))
		}
		select {
		case <-done:
			return longest
		default:
		}
	}
}
