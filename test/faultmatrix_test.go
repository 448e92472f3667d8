package test_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
)

// mishap is what becomes of one request.
type mishap struct {
	name  string
	fault idptest.Fault // of the provider
	way   func(*testing.T, *idptest.Tenant) *wrongWay

	shapes bool          // the good answer, so that it comes after the grant only
	whole  bool          // an answer with status 200 arrives: who does not read it is content
	fine   bool          // the call succeeds
	keeps  bool          // a new refresh token arrives all the same
	hangs  bool          // the call ends at its deadline
	waits  time.Duration // for so long the provider is not asked again
}

var mishaps = []mishap{
	{name: "a status", fault: idptest.Status(503)},
	{name: "too many requests", fault: idptest.Status(429).With("Retry-After", "99999999999999999999"), waits: time.Minute},
	{name: "an OAuth error", fault: idptest.OAuthError("temporarily_unavailable", "come again")},
	{name: "a redirect", fault: idptest.Redirect(http.StatusTemporaryRedirect, "")},
	{name: "a reset connection", fault: idptest.ResetConn()},
	{name: "a closed connection", fault: idptest.Raw("")},
	{name: "a connection cut in the body", fault: idptest.Cut()},
	{name: "half of the answer", fault: idptest.Truncated(), whole: true},
	{name: "a web page", fault: idptest.Garbage(), whole: true},
	{name: "an empty body", fault: idptest.Respond(200, "application/json", ""), whole: true},
	{name: "a list", fault: idptest.Respond(200, "application/json", "[]"), whole: true},
	{name: "another protocol", fault: idptest.Raw("SSH-2.0-OpenSSH_9.2\r\n")},
	{name: "interim answers for ever", fault: idptest.Raw(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 99))},
	{name: "a header that stalls", fault: idptest.StallHeader(), hangs: true},
	{name: "a header that never ends", fault: idptest.EndlessHeader()},
	{name: "no answer", fault: idptest.Hang(), hangs: true},

	{name: "a slow body", fault: idptest.SlowBody(1, 6*time.Second), shapes: true, hangs: true}, // one byte is in time
	{name: "a huge body", fault: idptest.HugeBody(1<<20 + 1), shapes: true},
	{name: "a huge body, compressed", fault: idptest.HugeBody(1<<20 + 1).Gzipped(), shapes: true},
	{name: "no gzip where gzip is promised", fault: idptest.BadGzip(), shapes: true},
	{name: "trailing data", fault: idptest.Trailing(`{"trailing":1}`), shapes: true, whole: true},
	{name: "an answer that lacks all but a refresh token", fault: idptest.Edit(func(body map[string]any) {
		for name := range body {
			if name != "refresh_token" {
				delete(body, name)
			}
		}
	}), shapes: true, whole: true, keeps: true},
	{name: "another content type", fault: idptest.OK().With("Content-Type", "text/html"), shapes: true, fine: true},
	{name: "a compressed answer", fault: idptest.OK().Gzipped(), shapes: true, fine: true},

	{name: "connection refused", way: refused},
	{name: "nobody at the address", way: unanswered, hangs: true},
	{name: "a server without TLS", way: noTLS},
	{name: "a handshake that stalls", way: silentTLS, hangs: true},
	{name: "a stranger's certificate", way: strangeTLS},
}

// matrix is a client and its tenant over real sockets, on one fake clock.
type matrix struct {
	*rig
	network *network
	users   int
	reports chan struct{} // one for each revocation that the log calls failed
	timers  int           // armed when nothing is under way
}

func newMatrix(t *testing.T) *matrix {
	m := &matrix{network: newNetwork(t), reports: make(chan struct{}, 99)}
	m.rig = newRig(t, withTenant(idptest.WithOpaqueTokens(), idptest.WithExchangeRotation()))
	m.close() // the rig's own
	m.client = m.newClient(tokenward.WithHTTPClient(&http.Client{Transport: m.network}), tokenward.WithRevocation(),
		tokenward.WithLogger(m.log.logger().WithOptions(zap.Hooks(func(e zapcore.Entry) error {
			if strings.Contains(e.Message, "could not be revoked") {
				m.reports <- struct{}{}
			}
			return nil
		}))))
	return m
}

// Every mishap, in every request, before it took effect and after. No caller waits beyond the
// deadline; the error is of its documented type and has a cause; the session is as it was, or has
// the new refresh token where one arrived; nothing stays behind; and the next call
// works, save where the new refresh token was lost for good.
func TestFaultMatrix(t *testing.T) {
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			m := newMatrix(t)
			bystander := m.login()
			m.settle()
			m.timers = m.clock.Waiting()
			for _, mishap := range mishaps {
				for _, after := range []bool{false, true} {
					if after && (!op.grants || mishap.way != nil) || !after && mishap.shapes && op.grants {
						continue
					}
					m.cell(t, op, mishap, after, true)
					if after && op.spends {
						m.cell(t, op, mishap, after, false)
					}
				}
			}
			m.clock.Advance(time.Hour)
			m.token(bystander, tokenward.TokenRequest{})
			if spilled := m.tenant.Spilled(); spilled != nil {
				t.Errorf("what followed a redirect: %v", spilled)
			}
		})
	}
}

// cell plays one cell. overlap says whether the provider takes a rotated refresh token
// once more.
func (m *matrix) cell(t *testing.T, op operation, what mishap, after, overlap bool) {
	name := what.name
	if op.grants && what.way == nil {
		name += map[bool]string{false: ", before the grant", true: ", after the grant"}[after]
		if after && op.spends {
			name += map[bool]string{false: ", no overlap", true: ", with overlap"}[overlap]
		}
	}
	t.Run(name, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // a test that hangs shall end
		defer cancel()
		s := m.newSubject(t, overlap)
		call := op.prepare(s)
		before := s.stateOf()
		m.still(t, ctx)
		goroutines, timers := goleak.IgnoreCurrent(), m.clock.Waiting()
		m.tenant.Reset()

		w := m.meet(t, op, what, after)
		var granted *idptest.Hold
		if after && op.grants && what.hangs && w == nil {
			granted = m.tenant.Hold(op.kind, idptest.AfterGrant)
		}
		done := make(chan error, 1)
		go func() { done <- call(ctx) }()
		if what.hangs {
			m.outwait(t, ctx, op, w, granted, done)
		}
		var err error
		select {
		case err = <-done:
		case <-ctx.Done():
			t.Fatal("the call does not return")
		}
		fine := what.fine || what.whole && !op.reads
		switch {
		case op.blind || fine:
			if err != nil {
				t.Errorf("err = %v, want none", err)
			}
		case err == nil:
			t.Error("no error")
		default:
			op.check(s, err)
			if leaks := m.tenant.SecretsIn(fmt.Sprintf("%+v", err)); leaks != nil {
				t.Errorf("the error gives away %v: %v", leaks, err)
			}
			if what.hangs && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("err = %v, want %v in it", err, context.DeadlineExceeded)
			}
		}
		if op.blind && !fine {
			select {
			case <-m.reports:
			case <-ctx.Done():
				t.Error("a failure was not reported")
			}
		}
		if err := m.network.wait(ctx, 1); err != nil {
			t.Errorf("a request is still under way: %v", err)
		}
		// The HTTP client may repeat what only reads.
		if n := m.tenant.Requests(op.kind); what.way == nil && (n < 1 || n > 1 && op.grants) || what.way != nil && n != 0 {
			t.Errorf("requests = %d", n)
		}

		m.network.divert(op.kind, nil)
		m.tenant.Heal()
		m.still(t, ctx)
		if w != nil {
			w.close()
		}
		idle := goleak.IgnoreTopFunction("github.com/tokenward/tokenward/internal/runner.(*workers).work") // a few stay for the next job
		if err := goleak.Find(goroutines, idle); err != nil {
			t.Error(err)
		}
		if n := m.clock.Waiting(); n != timers && !fine {
			t.Errorf("timers armed = %d, want %d as before", n, timers)
		}
		if n := len(m.reports); n != 0 {
			t.Errorf("%d failures reported that were none", n)
		}
		kept := what.keeps && op.spends
		if !fine && !op.blind {
			s.unchanged(before, kept)
		}
		m.clock.Advance(what.waits)
		s.recovers(ctx, op, after && op.spends && !overlap && !fine && !kept)
	})
}

// newSubject signs a new user in, whose access token has expired.
func (m *matrix) newSubject(t *testing.T, overlap bool) *subject {
	t.Helper()
	m.t = t
	m.users++
	s := &subject{T: t, matrix: m, name: fmt.Sprint("auth0|", m.users)}
	m.tenant.SetUser(s.name, nil)
	m.tenant.Set(idptest.WithDefaultUser(s.name), idptest.WithOverlap(map[bool]time.Duration{true: time.Hour}[overlap]))
	s.id = m.loginAs(tokenward.SessionID(fmt.Sprint("session of ", s.name)))
	return s
}

// meet sets the mishap up.
func (m *matrix) meet(t *testing.T, op operation, what mishap, after bool) *wrongWay {
	if what.way != nil {
		w := what.way(t, m.tenant)
		m.network.divert(op.kind, w)
		return w
	}
	m.network.divert(op.kind, nil)
	f := what.fault
	if !op.grants {
		f = f.Always()
	}
	if after && !what.shapes {
		f = f.AfterGrant()
	}
	m.tenant.Script(op.kind, f)
	return nil
}

// outwait lets the deadline of a request come that has no answer. Where granted is not nil
// the request must have taken effect before.
func (m *matrix) outwait(t *testing.T, ctx context.Context, op operation, w *wrongWay, granted *idptest.Hold, done <-chan error) {
	t.Helper()
	if granted != nil {
		if err := granted.Wait(ctx, 1); err != nil {
			t.Fatal(err)
		}
		granted.Release()
	} else if w == nil {
		if err := m.tenant.WaitRequests(ctx, op.kind, 1); err != nil {
			t.Fatal(err)
		}
	} else {
		select {
		case <-w.reached:
		case <-ctx.Done():
			t.Fatal("nobody was reached")
		}
	}
	for op.blind && len(done) == 0 { // its caller waits for the store alone, whose deadline comes first
		if ctx.Err() != nil {
			t.Fatal("the call waits for the request")
		}
		runtime.Gosched()
	}
	m.clock.Advance(10*time.Second - time.Nanosecond)
	if len(done) > 0 && !op.blind {
		t.Error("the call returned before its deadline")
	}
	m.clock.Advance(time.Nanosecond)
}

// still waits until nothing is under way and no connection is open. A request, a
// revocation for example, is over a moment after its connection: when its deadline is
// disarmed.
func (m *matrix) still(t *testing.T, ctx context.Context) {
	t.Helper()
	m.settle()
	m.network.inner.CloseIdleConnections()
	if err := m.tenant.WaitConnections(ctx, 0); err != nil {
		t.Errorf("a connection stays open: %v", err)
	}
	for m.clock.Waiting() > m.timers {
		if ctx.Err() != nil {
			t.Errorf("timers armed = %d, want %d", m.clock.Waiting(), m.timers)
			return
		}
		runtime.Gosched()
	}
	m.settle()
}

// unchanged checks what the store has of the session.
func (s *subject) unchanged(old *session.State, kept bool) {
	s.Helper()
	now := s.stateOf()
	if now == nil {
		s.Error("the session is gone")
		return
	}
	if kept {
		if now.RefreshToken == old.RefreshToken {
			s.Error("the refresh token that came with the answer was not kept")
		}
		now.RefreshToken = old.RefreshToken
	}
	if !reflect.DeepEqual(old, now) {
		s.Error("the session has changed")
	}
}

// recovers makes the next call: it works, or, where the session's refresh token is lost
// for good, says that the provider refuses it.
func (s *subject) recovers(ctx context.Context, op operation, lost bool) {
	s.Helper()
	switch _, err := s.client.GetAccessToken(ctx, tokenward.TokenRequest{Audience: "https://next.example"}, tokenward.SessionID(s.id)); {
	case op.blind:
		s.wantCode("after the logout", err, "missing_refresh_token")
	case lost:
		s.wantCode("the next call", err, "refresh_token_error")
		s.want("refresh tokens used again", s.tenant.Reuses(), 1)
		if s.tenant.FamilyAlive(s.name) {
			s.Error("the refresh token was not lost")
		}
	default:
		if err != nil {
			s.Errorf("the next call: %v", err)
		}
		s.want("refresh tokens used again", s.tenant.Reuses(), 0)
	}
	if _, err := s.tryLogin(tokenward.SessionID(s.id)); err != nil {
		s.Errorf("the next login: %v", err)
	}
	s.network.divert(idptest.Revocation, nil)
	if _, err := s.client.Logout(ctx, tokenward.LogoutRequest{}, tokenward.SessionID(s.id)); err != nil {
		s.Error(err)
	}
	if err := s.network.wait(ctx, 1); err != nil {
		s.Errorf("the revocation: %v", err)
	}
}
