package test_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/internal/testing/await"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/store/storetest"
)

// book is an observer that keeps book: of each start, one end. Every rig has one, and is checked once its clients are closed.
type book struct {
	mu    sync.Mutex
	open  map[int]string
	next  int
	twice []string
	lines []string // what has ended, and instants
	links int      // calls whose flight's context has what Observer.Flight put into it
	spans []string // of store operations and requests within a flight
}

type flightMark struct{}

func newBook() *book { return &book{open: make(map[int]string)} }

// start notes a start and returns what notes its end.
func (l *book) start(what string) func(end string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	id := l.next
	l.open[id] = what
	return func(end string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if _, ok := l.open[id]; !ok {
			l.twice = append(l.twice, what)
		}
		delete(l.open, id)
		l.lines = append(l.lines, what+": "+end)
	}
}

func (l *book) note(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

func (l *book) within(ctx context.Context, what string) {
	if ctx.Value(flightMark{}) != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.spans = append(l.spans, what)
	}
}

func (l *book) observer() observe.Observer {
	return observe.Observer{
		Client: func(figures func() observe.Figures) func() {
			end := l.start("client")
			figures()
			return func() { end("closed") }
		},
		Call: func(ctx context.Context, c observe.Call) (context.Context, func(observe.CallEnd)) {
			end := l.start(fmt.Sprintf("call %s %s", c.Operation, c.Audience))
			return ctx, func(e observe.CallEnd) {
				if e.Flight != nil && e.Flight.Value(flightMark{}) != nil {
					l.mu.Lock()
					l.links++
					l.mu.Unlock()
				}
				end(e.Outcome + " " + e.Code)
			}
		},
		Flight: func(_ context.Context, f observe.Flight) (context.Context, func(observe.FlightEnd)) {
			end := l.start(fmt.Sprintf("flight %s %s", f.Kind, f.Audience))
			return context.WithValue(context.Background(), flightMark{}, true), func(e observe.FlightEnd) {
				end(fmt.Sprintf("%s %s %s %d %v %v", e.Outcome, e.Code, e.OAuth, e.Callers, e.Queued, e.Asked))
			}
		},
		Request: func(ctx context.Context, r observe.Request) (context.Context, func(observe.RequestEnd)) {
			l.within(ctx, r.Kind)
			end := l.start(fmt.Sprintf("request %s %s", r.Method, r.Kind))
			return nil, func(e observe.RequestEnd) { end(fmt.Sprint(e.Status, e.Failed)) }
		},
		Store: func(ctx context.Context, s observe.Store) (context.Context, func(observe.StoreEnd)) {
			l.within(ctx, s.Operation)
			end := l.start("store " + s.Operation)
			return ctx, func(e observe.StoreEnd) { end(e.Outcome) }
		},
		Ended:   func(e observe.Ended) { l.note("ended " + e.Reason) },
		Ceiling: func(c observe.Ceiling) { l.note(fmt.Sprintf("deleted %v late", c.Late())) },
	}
}

// check reports starts without an end.
func (l *book) check(t testing.TB) {
	t.Helper()
	await.Within(10*time.Second, func() bool { return l.opened("request GET metadata") == 0 }) // which no client waits for
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, what := range l.open {
		t.Errorf("%s was started and never ended", what)
	}
	for _, what := range l.twice {
		t.Errorf("%s ended twice", what)
	}
}

// all returns the lines that begin with prefix.
func (l *book) all(prefix string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
	for _, line := range l.lines {
		if strings.HasPrefix(line, prefix) {
			found = append(found, line)
		}
	}
	return found
}

func (l *book) want(t testing.TB, prefix string, want ...string) {
	t.Helper()
	if got := l.all(prefix); !slices.Equal(got, want) {
		t.Errorf("%q:\n got %q\nwant %q", prefix, got, want)
	}
}

// One flight is told once, with all its callers; each of them is told to have waited for it; and what belongs to the flight
// carries its mark.
func TestObserver_aFlightAndItsCallers(t *testing.T) { inBubble(t, aFlightAndItsCallers) }

func aFlightAndItsCallers(t *testing.T, r *rig) {
	id := r.login()
	r.expire()
	hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
	var calls sync.WaitGroup
	const callers = 20
	for range callers {
		calls.Go(func() {
			if _, err := r.client.GetAccessToken(context.Background(), tokenward.TokenRequest{}, tokenward.SessionID(id)); err != nil {
				t.Error(err)
			}
		})
	}
	r.rest()
	r.clock.Advance(2 * time.Second)
	hold.Release()
	calls.Wait()
	r.book.want(t, "flight", fmt.Sprintf("flight refresh default: refreshed   %d 0s 2s", callers))
	if miss, join := len(r.book.all("call token default: miss ")), len(r.book.all("call token default: join ")); miss != 1 || join != callers-1 {
		t.Errorf("%d calls missed and %d joined, want 1 and %d", miss, join, callers-1)
	}
	if r.book.links != callers {
		t.Errorf("%d calls know their flight, want %d", r.book.links, callers)
	}
	if want := []string{"refresh", "update"}; !slices.Equal(r.book.spans, want) {
		t.Errorf("within the flight: %q, want %q", r.book.spans, want)
	}
}

// opened returns how many starts of that kind have no end so far.
func (l *book) opened(what string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, open := range l.open {
		if open == what {
			n++
		}
	}
	return n
}

// A hit is counted and costs no event; what users and providers make up is "other".
func TestObserver_namesNothingThatOthersMakeUp(t *testing.T) {
	r := newRig(t)
	ctx, id := t.Context(), r.login()
	before := r.client.Stats().Hits
	for range 3 {
		if _, err := r.client.GetAccessToken(ctx, tokenward.TokenRequest{}, tokenward.SessionID(id)); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.client.Stats().Hits - before; got != 3 {
		t.Errorf("%d hits counted, want 3", got)
	}
	r.book.want(t, "call token")
	r.tenant.Script(idptest.Refresh, idptest.OAuthError("made-up-by-the-provider", "text"))
	_, err := r.client.GetAccessToken(ctx, tokenward.TokenRequest{Audience: "made-up-by-a-user"}, tokenward.SessionID(id))
	if err == nil {
		t.Fatal("the refresh was not refused")
	}
	_, err = r.client.CompleteInteractiveLogin(ctx, "http://127.0.0.1/callback?state=x&error=made-up-by-a-stranger", tokenward.StoreOptions{})
	if err == nil {
		t.Fatal("a callback that was made up was taken")
	}
	r.book.want(t, "flight", "flight refresh other: failed refresh_token_error other 1 0s 0s")
	for _, line := range r.book.all("") {
		if strings.Contains(line, "made-up") || strings.Contains(line, id) {
			t.Errorf("an event says %q", line)
		}
	}
}

// Each end of a session is told with its reason, and how late a ceiling's deletion was, also one that had to be tried again.
func TestObserver_endsAndLateness(t *testing.T) {
	r := newRig(t)
	id := r.login(until(time.Hour))
	if _, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
		t.Fatal(err)
	}
	r.login(until(time.Hour))
	r.advance(time.Hour - 30*time.Second)
	r.book.want(t, "ended", "ended logout", "ended ceiling")
	r.book.want(t, "deleted", "deleted 0s late")
	r.store.Fail(storetest.OpEnd, 2) // for all together, and for the one
	r.login(until(2 * time.Hour))
	r.advance(time.Hour)
	r.book.want(t, "deleted", "deleted 0s late")
	for range 3 { // the batch, the actor's first attempt, its second
		r.clock.Advance(time.Second)
		r.settle()
	}
	if late := r.book.all("deleted"); len(late) != 2 || late[1] == "deleted 0s late" {
		t.Errorf("lateness: %q, want a second one that is late", late)
	}
	r.book.want(t, "ended", "ended logout", "ended ceiling", "ended ceiling")
}

// A panic of an observer harms no call, and is counted.
func TestObserver_panicIsContained(t *testing.T) {
	boom := func() { panic("a secret") }
	bad := observe.Observer{
		Client: func(func() observe.Figures) func() { return func() { boom() } },
		Call: func(context.Context, observe.Call) (context.Context, func(observe.CallEnd)) {
			return nil, func(observe.CallEnd) { boom() }
		},
		Flight: func(context.Context, observe.Flight) (context.Context, func(observe.FlightEnd)) {
			boom()
			return nil, nil
		},
		Request: func(context.Context, observe.Request) (context.Context, func(observe.RequestEnd)) {
			boom()
			return nil, nil
		},
		Store: func(context.Context, observe.Store) (context.Context, func(observe.StoreEnd)) {
			return nil, func(observe.StoreEnd) { boom() }
		},
		Ended: func(observe.Ended) { boom() },
	}
	r := newRig(t, withClient(tokenward.WithObserver(bad)))
	id := r.login()
	r.clock.Advance(idptest.TokenLife)
	if _, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, tokenward.SessionID(id)); err != nil {
		t.Error(err)
	}
	if _, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
		t.Error(err)
	}
	if r.client.Stats().Failures == 0 {
		t.Error("the panics were not counted")
	}
}

// With WithSlog the lines keep level and fields, and the handler gets the context of the call.
func TestSlog_aLineKnowsItsCall(t *testing.T) {
	type trace struct{}
	var out bytes.Buffer
	h := ofTrace{slog.NewJSONHandler(&out, nil), trace{}}
	r := newRig(t, withClient(withProvider(tokenward.ProviderConfig{EndSession: tokenward.Always}), tokenward.WithSlog(slog.New(h).WithGroup("signin").With("app", "demo"))))
	ctx := context.WithValue(t.Context(), trace{}, "0123")
	id := r.login()
	r.tenant.Script(idptest.Discovery, idptest.OAuthError("server_error", ""))
	r.clock.Advance(48 * time.Hour) // the metadata is not known any more
	r.settle()
	out.Reset()
	if _, err := r.client.Logout(ctx, tokenward.LogoutRequest{}, tokenward.SessionID(id)); err == nil {
		t.Fatal("the logout found metadata")
	}
	var line struct {
		Level  string
		Signin map[string]any
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, out.Bytes())
	}
	if line.Level != "WARN" || line.Signin["app"] != "demo" || line.Signin["trace_id"] != "0123" || line.Signin["error"] == nil {
		t.Errorf("the line is %s", out.Bytes())
	}
}

// ofTrace is a handler that adds the trace of the context, as those of OpenTelemetry do.
type ofTrace struct {
	slog.Handler
	key any
}

func (h ofTrace) Handle(ctx context.Context, r slog.Record) error {
	if id, ok := ctx.Value(h.key).(string); ok {
		r.AddAttrs(slog.String("trace_id", id))
	}
	return h.Handler.Handle(ctx, r)
}

func (h ofTrace) WithAttrs(a []slog.Attr) slog.Handler { return ofTrace{h.Handler.WithAttrs(a), h.key} }

func (h ofTrace) WithGroup(name string) slog.Handler {
	return ofTrace{h.Handler.WithGroup(name), h.key}
}
