package idptest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/idp/idptest"
)

func TestWireFaults_areWhatTheClientSees(t *testing.T) {
	tests := []struct {
		name  string
		fault idptest.Fault
		want  string // begins so, or, where it says ... , has what follows
	}{
		{"nothing at all", idptest.Raw(""), "...EOF"},
		{"not HTTP", idptest.Raw("SSH-2.0-OpenSSH_9.2\r\n"), "...malformed HTTP"},
		{"an answer as it is", idptest.Raw("HTTP/1.0 503 No\r\n\r\nsorry"), "Service Unavailable, no JSON"},
		{"a header that never ends", idptest.EndlessHeader(), "...server response headers exceeded"},
		{"compressed", idptest.OK().Gzipped(), "OK"},
	}
	overBoth(t, func(t *testing.T, a *app) {
		for _, tt := range tests {
			token := a.login(nil).str("refresh_token")
			a.tenant.Script(idptest.Refresh, tt.fault)
			got := seen(a.refresh(token))
			if has, part := strings.CutPrefix(tt.want, "..."); part && !strings.Contains(got, has) || !part && got != tt.want {
				t.Errorf("%s: seen %q, want %q", tt.name, got, tt.want)
			}
		}
	})
}

func TestTrailing_followsTheGoodAnswer(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		token := a.login(nil).str("refresh_token")
		a.tenant.Script(idptest.Refresh, idptest.Trailing(` {"more":1}`))
		if r := a.refresh(token); !strings.HasSuffix(r.raw, `} {"more":1}`) || r.str("access_token") == "" {
			t.Errorf("answer = %d %s, %v", r.status, r.raw, r.err)
		}
	})
}

func TestBadGzip_isNoGzip(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		token := a.login(nil).str("refresh_token")
		a.tenant.Script(idptest.Refresh, idptest.BadGzip())
		r := a.refresh(token)
		if r.err == nil && r.header.Get("Content-Encoding") != "gzip" {
			t.Errorf("answer = %d %s, want what is labelled gzip, or the reader's error", r.status, r.raw)
		}
	})
}

func TestStallHeader_endsWithTheClientOrByHeal(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		token := a.login(nil).str("refresh_token")
		a.tenant.Script(idptest.Refresh, idptest.StallHeader().Times(2))
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("gave up")
		done := make(chan answer)
		go func() { done <- a.refreshWith(ctx, token) }()
		a.await(idptest.Refresh, 1)
		cancel(gone)
		if r := <-done; !errors.Is(r.err, gone) {
			t.Errorf("err = %v, want %v", r.err, gone)
		}
		go func() { done <- a.refresh(token) }()
		a.await(idptest.Refresh, 2)
		a.tenant.Heal()
		if r := <-done; r.err == nil {
			t.Errorf("answer = %d %s, want none", r.status, r.raw)
		}
	})
}

// Whatever became of a request, its connection is closed or idle in the end.
func TestConnections_areCounted(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for _, f := range []idptest.Fault{
			idptest.OK(), idptest.ResetConn(), idptest.Cut(), idptest.Raw(""), idptest.EndlessHeader(), idptest.SlowBody(1, time.Hour), idptest.Hang(), idptest.StallHeader(),
		} {
			token := a.login(nil).str("refresh_token")
			a.tenant.Reset()
			a.tenant.Script(idptest.Refresh, f)
			attempt, giveUp := context.WithCancel(ctx)
			done := make(chan answer)
			go func() { done <- a.refreshWith(attempt, token) }()
			a.await(idptest.Refresh, 1)
			giveUp()
			<-done
			a.http.CloseIdleConnections()
			if err := a.tenant.WaitConnections(ctx, 0); err != nil {
				t.Error(err)
			}
			if n := a.tenant.Connections(); n != 0 {
				t.Errorf("connections = %d, want 0", n)
			}
		}
	})
}
