package signals_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/signals"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// polling runs Poll until the test ends, or stop is called.
func (r *rig) polling() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- r.receiver.Poll(ctx, r.tenant.PollEndpoint()) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-over; !errors.Is(err, context.Canceled) {
				r.t.Errorf("Poll: %v", err)
			}
		})
	}
	r.t.Cleanup(stop)
	return stop
}

// eventually lets the clock run until the answer is yes. It is for a test in a bubble (testing/synctest): the clock moves on when
// all in the bubble wait, so nothing that is under way runs out of time, however slow the machine is.
func (r *rig) eventually(what string, yes func() bool) {
	r.t.Helper()
	for range 12_000 { // seconds
		synctest.Wait()
		if yes() {
			return
		}
		r.clock.Advance(time.Second)
	}
	r.t.Fatalf("in vain waited for: %s\n%s", what, r.log)
}

// inStore reports whether the store has a session that lives.
func (r *rig) inStore(name string) bool {
	_, err := r.memory.Load(context.Background(), session.KeyOf("_a0_session", r.ids[name]), store.Options{})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		r.t.Errorf("load: %v", err)
	}
	return err == nil
}

// crowd signs n users in, each of whom has one session, named by number.
func (r *rig) crowd(n int) {
	r.t.Helper()
	for i := range n {
		r.login(fmt.Sprint("user-", i), fmt.Sprint("session-", i))
	}
}

func (r *rig) eventOf(i int) string {
	return r.tenant.EventToken(signals.SessionRevoked, r.user(fmt.Sprint("user-", i)), claim("jti", fmt.Sprint("session-", i)))
}

// Events that are pushed at once are acknowledged after their sessions were ended in the store. Those of others live.
func TestPush_atOnce(t *testing.T) {
	r := newRigWith(t, "ES256", func(c *signals.Config) { c.Tell = nil })
	r.crowd(many + 10)
	tokens := make([]string, many)
	for i := range tokens {
		tokens[i] = r.eventOf(i)
	}
	var group sync.WaitGroup
	var acknowledged, early atomic.Int64
	for i, token := range tokens {
		group.Go(func() {
			if code := r.push(token); code != http.StatusAccepted {
				t.Errorf("event %d: status %d", i, code)
				return
			}
			acknowledged.Add(1)
			if r.inStore(fmt.Sprint("session-", i)) {
				early.Add(1)
			}
		})
	}
	group.Wait()
	if acknowledged.Load() != many || early.Load() != 0 || r.store.Ends() != many || r.memory.Len() != 10 {
		t.Errorf("of %d events %d acknowledged, %d before their end; %d ends, %d sessions left", many, acknowledged.Load(), early.Load(), r.store.Ends(), r.memory.Len())
	}
	if n := r.tenant.Requests(idptest.JWKS); n > 3 { // the login's, and the receiver's once
		t.Errorf("%d requests for keys", n)
	}
}

// acknowledging watches what polls acknowledge, before the transmitter sees it.
type acknowledging struct {
	http.RoundTripper
	of func(jti string)
}

func (a acknowledging) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.HasSuffix(req.URL.Path, "/poll") {
		b, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		req.Body = io.NopCloser(bytes.NewReader(b))
		var said struct{ Ack []string }
		if err := json.Unmarshal(b, &said); err != nil {
			return nil, err
		}
		for _, jti := range said.Ack {
			a.of(jti)
		}
	}
	return a.RoundTripper.RoundTrip(req)
}

// Events that are polled are acknowledged after their sessions were ended in the store, whatever fails in between: the transmitter,
// the network, the store. None is lost, and each session ends once.
func TestPoll_tenThousand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var early atomic.Int64
		var r *rig
		r = newRigWith(t, "ES256", func(c *signals.Config) {
			c.Tell = nil
			c.HTTPClient = &http.Client{Transport: acknowledging{c.HTTPClient.Transport, func(jti string) {
				if r.inStore(jti) {
					early.Add(1)
				}
			}}}
		})
		r.crowd(many + 10)
		for i := range many {
			r.tenant.Transmit(r.eventOf(i))
			if i%100 == 0 {
				r.tenant.Transmit(r.eventOf(i)) // twice, by another token of the same id
			}
		}
		r.tenant.Script(idptest.Poll, idptest.OK(), idptest.Status(503), idptest.ResetConn(), idptest.Cut(), idptest.Garbage(),
			idptest.Status(429).With("Retry-After", "5"), idptest.OK(), idptest.ResetConn().AfterGrant())
		r.store.Fail(storetest.OpEnd, 3)
		r.polling()
		r.eventually("all acknowledged", func() bool { return r.tenant.Unacknowledged() == 0 })
		if n := len(r.tenant.Acknowledged()); n != many || early.Load() != 0 || r.memory.Len() != 10 {
			t.Errorf("of %d events %d acknowledged, %d before their end; %d sessions left", many, n, early.Load(), r.memory.Len())
		}
		if n := r.store.Ends(); n < many || n > many+3 {
			t.Errorf("%d ends of %d sessions, and 3 that failed", n, many)
		}
		r.wantNoSecrets()
	})
}

// What cannot be accepted is refused with its code, and taken off the stream; what may become acceptable is not.
func TestPoll_refuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.login(ada, "phone")
		forms := map[string]edit{
			"invalid_key": wrongKey, "invalid_issuer": claim("iss", "https://evil.example/"), "invalid_audience": claim("aud", "other"),
			"invalid_request": without("events"),
		}
		want := map[string]string{"unknown": "invalid_key"}
		for code, e := range forms {
			r.tenant.Transmit(r.tenant.EventToken(signals.SessionRevoked, r.user(ada), claim("jti", "jti-"+code), e))
			want["jti-"+code] = code
		}
		r.tenant.Transmit(r.tenant.EventToken(signals.SessionRevoked, r.user(ada), claim("jti", "unknown"), header("kid", "unknown")))
		r.polling()
		r.eventually("all refused", func() bool { return r.tenant.Unacknowledged() == 0 })
		if got := r.tenant.RefusedEvents(); !maps.Equal(got, want) {
			t.Errorf("refused %v, want %v", got, want)
		}
		if len(r.tenant.Acknowledged()) != 0 || !slices.Equal(r.living(), []string{"phone"}) {
			t.Errorf("acknowledged %v, %v live", r.tenant.Acknowledged(), r.living())
		}
	})
}

// A transmitter's new key is fetched for the first event that it has signed; kids that are made up are no requests. An event whose key is
// not among those that were just fetched is refused (invalid_key); one whose key may not be asked for yet, or cannot be had, comes again.
func TestReceiver_keys(t *testing.T) {
	r := newRig(t)
	r.login(ada, "phone")
	if code := r.push(r.tenant.EventToken(signals.SessionRevoked, r.user("eve"))); code != http.StatusAccepted {
		t.Fatalf("status %d", code)
	}
	before := r.tenant.Requests(idptest.JWKS)
	unknown := func(i int) *httptest.ResponseRecorder {
		token := r.tenant.EventToken(signals.SessionRevoked, r.user(ada), header("kid", fmt.Sprint("made-up-", i)))
		return serve(r.receiver.Push(), http.MethodPost, "application/secevent+jwt", pushPassword, token)
	}
	if w := unknown(0); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"err":"invalid_key"`) {
		t.Errorf("an unknown kid: %d %s", w.Code, w.Body)
	}
	for i := range 19 {
		if w := unknown(i); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "30" {
			t.Errorf("an unknown kid within 30 seconds: %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
		}
	}
	if n := r.tenant.Requests(idptest.JWKS) - before; n != 1 {
		t.Errorf("20 kids that were made up are %d requests, want 1", n)
	}
	r.tenant.RotateKeys()
	token := r.tenant.EventToken(signals.SessionRevoked, r.user(ada))
	if code := r.push(token); code != http.StatusServiceUnavailable {
		t.Errorf("a new key within 30 seconds: status %d, want 503: it comes again", code)
	}
	r.clock.Advance(30 * time.Second)
	if code := r.push(token); code != http.StatusAccepted || len(r.living()) != 0 {
		t.Errorf("a new key: status %d, %v live", code, r.living())
	}
	r.clock.Advance(30 * time.Second)
	r.tenant.Script(idptest.JWKS, idptest.Status(500))
	if w := unknown(20); w.Code != http.StatusServiceUnavailable {
		t.Errorf("an unknown kid while keys cannot be had: %d %s", w.Code, w.Body)
	}
	r.clock.Advance(30 * time.Second)
	if w := unknown(20); w.Code != http.StatusBadRequest {
		t.Errorf("an unknown kid afterwards: %d %s", w.Code, w.Body)
	}
}

// Kids that are made up keep keys from being fetched for 30 seconds. An event of a new key that is polled in that time is not
// refused, but waits.
func TestPoll_newKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.login(ada, "phone")
		r.push(r.tenant.EventToken(signals.SessionRevoked, r.user("eve")))
		r.push(r.tenant.EventToken(signals.SessionRevoked, r.user(ada), header("kid", "made-up")))
		r.tenant.RotateKeys()
		r.tenant.Transmit(r.tenant.EventToken(signals.SessionRevoked, r.user(ada)))
		began := r.clock.Now()
		r.polling()
		r.eventually("the event", func() bool { return r.tenant.Unacknowledged() == 0 })
		if len(r.tenant.RefusedEvents()) != 0 || len(r.living()) != 0 || r.clock.Now().Sub(began) < 29*time.Second {
			t.Errorf("refused %v, %v live after %v", r.tenant.RefusedEvents(), r.living(), r.clock.Now().Sub(began))
		}
	})
}

// A poll that hears nothing for two minutes, from a transmitter or a network that is silent, is made again.
func TestPoll_silence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.login(ada, "phone")
		r.tenant.Script(idptest.Poll, idptest.Hang())
		r.polling()
		r.eventually("a poll", func() bool { return r.tenant.Requests(idptest.Poll) > 0 })
		r.tenant.Transmit(r.tenant.EventToken(signals.SessionRevoked, r.user(ada)))
		r.eventually("the event", func() bool { return r.tenant.Unacknowledged() == 0 })
		if len(r.living()) != 0 {
			t.Error("the session lives")
		}
	})
}

// What one process is told ends everywhere, at once: sessions that another process has in memory, and those that none has.
func TestReceiver_processes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigOn(t, "RS256", []store.MemoryOption{store.Shared()})
		r.login(ada, "resident")
		r.login(ada, "asleep")
		r.login(bob, "bob's")
		other := r.client
		if u, err := other.GetUser(t.Context(), tokenward.SessionID(r.ids["resident"])); u == nil || err != nil {
			t.Fatal(u, err)
		}
		r.client = r.newClient()
		r.receiver = r.newReceiver(r.client)
		for range 2 {
			if code := r.push(r.tenant.EventToken(signals.SessionRevoked, r.user(ada))); code != http.StatusAccepted {
				t.Errorf("status %d", code)
			}
		}
		if !slices.Equal(r.living(), []string{"bob's"}) {
			t.Errorf("%v live here", r.living())
		}
		r.client = other
		r.eventually("the end in the other process", func() bool { return slices.Equal(r.living(), []string{"bob's"}) })
		if n := r.store.Ends(); n != 2 {
			t.Errorf("%d ends of 2 sessions", n)
		}
	})
}

// An end that fails is not acknowledged: the event comes again.
func TestPush_storeFails(t *testing.T) {
	r := newRig(t)
	r.login(ada, "phone")
	r.store.Fail(storetest.OpFind, 1)
	token := r.tenant.EventToken(signals.SessionRevoked, r.user(ada))
	call := r.tenant.RevocationToken(logoutURL)
	if code := r.push(token); code != http.StatusServiceUnavailable || !r.inStore("phone") {
		t.Errorf("status %d", code)
	}
	r.store.Fail(storetest.OpFind, 1)
	if code := r.call(call, named(r.user(ada))); code != http.StatusServiceUnavailable {
		t.Errorf("status %d", code)
	}
	if code := r.push(token); code != http.StatusAccepted || r.inStore("phone") {
		t.Errorf("again: status %d, in the store %v", code, r.inStore("phone"))
	}
	if code := r.call(call, named(r.user(ada))); code != http.StatusNoContent {
		t.Errorf("the same call again, which had failed: status %d", code)
	}
	if n := len(r.events); n != 1 {
		t.Errorf("the host was told %d times, want once", n)
	}
}

// What the host chose happens; it is told of each event. What it fails, comes again.
func TestReceiver_reactions(t *testing.T) {
	fails := true
	r := newRig(t, func(c *signals.Config) {
		tell := c.Tell
		c.Reactions = map[string]signals.Reaction{signals.CredentialChange: signals.End, signals.SessionRevoked: signals.Tell}
		c.Tell = func(ctx context.Context, e signals.Event) error {
			if fails {
				return errors.New("the host is away")
			}
			return tell(ctx, e)
		}
	})
	r.login(ada, "phone")
	token := r.tenant.EventToken(signals.SessionRevoked, r.user(ada))
	if code := r.push(token); code != http.StatusServiceUnavailable {
		t.Errorf("the host could not be told: status %d", code)
	}
	fails = false
	for _, token := range []string{
		token, r.tenant.EventToken(signals.AssuranceLevelChange, r.user(ada)),
		r.tenant.EventToken("x", nil, claim("events", map[string]any{signals.AssuranceLevelChange: map[string]any{"change_direction": "increase"}}), claim("sub_id", r.user(ada))),
		r.tenant.EventToken(signals.SessionRevoked, idptest.Claims{"format": "ip-addresses", "ip-addresses": []string{"10.0.0.1"}}),
		r.tenant.EventToken(signals.CredentialChange, r.user(ada)),
	} {
		if code := r.push(token); code != http.StatusAccepted {
			t.Errorf("status %d", code)
		}
	}
	var got []string
	for _, e := range r.events {
		got = append(got, fmt.Sprint(e.Reaction, " ", e.Ended, " ", e.Unresolved))
	}
	if want := []string{"tell 0 false", "step_up 0 false", "tell 0 false", "tell 0 true", "end 1 false"}; !slices.Equal(got, want) {
		t.Errorf("the host was told %q, want %q", got, want)
	}
}

// A stream is created, read, changed, verified by an event that comes back, and deleted.
func TestStream(t *testing.T) {
	var mu sync.Mutex // guards authorized: the poll and the calls about the stream are under way at once
	authorized := ""
	r := newRig(t, func(c *signals.Config) {
		c.Authorization = func(context.Context) (string, error) { return "Bearer token", nil }
		inner := c.HTTPClient.Transport
		c.HTTPClient = &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
			if strings.Contains(req.URL.Path, "/ssf/") {
				mu.Lock()
				authorized += req.Header.Get("Authorization") + ";"
				mu.Unlock()
			}
			return inner.RoundTrip(req)
		})}
	})
	ctx := t.Context()
	s, err := r.receiver.CreateStream(ctx, signals.Stream{Description: "of the test"})
	if err != nil || s.Delivery.Method != signals.DeliverPoll || s.Delivery.EndpointURL != r.tenant.PollEndpoint() || len(s.EventsDelivered) != 6 ||
		!slices.Equal(s.Audience, []string{idptest.EventAudience}) {
		t.Fatalf("%+v, %v", s, err)
	}
	stop := r.polling()
	if err := r.receiver.Verify(ctx, s.ID); err != nil {
		t.Errorf("Verify: %v", err)
	}
	stop()
	if s, err = r.receiver.UpdateStream(ctx, signals.Stream{ID: s.ID, EventsRequested: []string{signals.SessionRevoked}}); err != nil || len(s.EventsRequested) != 1 || s.Description != "of the test" {
		t.Errorf("UpdateStream: %+v, %v", s, err)
	}
	if read, err := r.receiver.ReadStream(ctx, s.ID); err != nil || read.ID != s.ID {
		t.Errorf("ReadStream: %+v, %v", read, err)
	}
	if err := r.receiver.DeleteStream(ctx, s.ID); err != nil {
		t.Errorf("DeleteStream: %v", err)
	}
	_, err = r.receiver.ReadStream(ctx, s.ID)
	var said *tokenward.APIError
	if !errors.As(err, &said) || said.Status != http.StatusNotFound {
		t.Errorf("after its deletion: %v", err)
	}
	if strings.Count(authorized, "Bearer token;") != strings.Count(authorized, ";") || authorized == "" {
		t.Errorf("requests to the transmitter had %q", authorized)
	}
}

// A stream is no user: the host is told of a change of its stream, and is not asked who that is.
func TestStreamUpdated(t *testing.T) {
	r := newRig(t)
	stream := idptest.Claims{"format": "opaque", "id": "out of order"} // of this name the host's Resolve fails
	if code := r.push(r.tenant.EventToken(signals.StreamUpdated, stream)); code != http.StatusAccepted {
		t.Errorf("status %d", code)
	}
	if len(r.events) != 1 || r.events[0].Type != signals.StreamUpdated || r.events[0].Subject.ID != "out of order" || r.events[0].Unresolved {
		t.Errorf("the host was told %+v", r.events)
	}
}

// A verification that was not asked for is accepted without state, and refused with another one while one is awaited.
func TestVerification_state(t *testing.T) {
	r := newRig(t)
	if code := r.push(r.tenant.VerificationToken("stream", "")); code != http.StatusAccepted {
		t.Errorf("without state: %d", code)
	}
	ctx, cancel := context.WithCancel(t.Context())
	hold := r.tenant.Hold(idptest.Verification, idptest.BeforeGrant)
	over := make(chan error, 1)
	go func() { over <- r.receiver.Verify(ctx, "stream") }()
	if err := hold.Wait(ctx, 1); err != nil {
		t.Fatal(err)
	}
	w := serve(r.receiver.Push(), http.MethodPost, "application/secevent+jwt", pushPassword, r.tenant.VerificationToken("stream", "another"))
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"invalid_state"`) {
		t.Errorf("another state: %d %s", w.Code, w.Body)
	}
	cancel()
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Errorf("Verify: %v", err)
	}
	hold.Release()
}

// Where a transmitter does not wait for events, or fails, polls do not crowd.
func TestPoll_pace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.tenant.Script(idptest.Poll, idptest.Respond(200, "application/json", `{"sets":{}}`).Times(100)) // then it waits
		began := r.clock.Now()
		r.polling()
		r.eventually("10 minutes", func() bool { return r.clock.Now().Sub(began) >= 10*time.Minute })
		if n := r.tenant.Requests(idptest.Poll); n > 61 {
			t.Errorf("%d polls in 10 minutes of a transmitter that does not wait", n)
		}
	})
}

// An endpoint that tokens would be sent to in clear is refused.
func TestPoll_endpoint(t *testing.T) {
	r := newRig(t)
	for _, endpoint := range []string{"", "http://tenant.example/poll", "https://user@tenant.example/", "poll", "http://127.0.0.1/poll"} {
		var wrong *tokenward.ConfigurationError
		if err := r.receiver.Poll(t.Context(), endpoint); !errors.As(err, &wrong) {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
