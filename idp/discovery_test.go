package idp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

// held makes requests of path wait for let before they are answered as before.
func (r *rig) held(path string) (let func()) {
	r.mu.Lock()
	answer := r.handlers[path]
	r.mu.Unlock()
	gate := make(chan struct{})
	r.handle(path, func(w http.ResponseWriter, req *http.Request) {
		select {
		case <-gate:
			answer(w, req)
		case <-req.Context().Done():
		}
	})
	return sync.OnceFunc(func() { close(gate) })
}

// all calls f n times at once and returns the errors.
func all(n int, f func(i int) error) (wait func() []error) {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	return func() []error { wg.Wait(); return errs }
}

func wantVerdicts(t *testing.T, errs []error, want string) {
	t.Helper()
	for i, err := range errs {
		if got := verdict(err); got != want {
			t.Fatalf("call %d of %d: %s (%v), want %s", i, len(errs), got, err, want)
		}
	}
}

func TestMetadata_concurrentMissesMakeOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		let := r.held(metadata)
		ask := func(int) error { _, err := r.client.Metadata(t.Context(), issuer); return err }

		wait := all(50, ask)
		synctest.Wait()
		r.wantCount(metadata, 1)
		let()

		wantVerdicts(t, wait(), "ok")
		wantVerdicts(t, all(50, ask)(), "ok")
		r.wantCount(metadata, 1)
	})
}

func TestMetadata_concurrentFailureIsSharedAndNotCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.answer(metadata, 503, `{}`)
		let := r.held(metadata)
		ask := func(int) error { _, err := r.client.Metadata(t.Context(), issuer); return err }

		wait := all(50, ask)
		synctest.Wait()
		let()
		wantVerdicts(t, wait(), "metadata_error")
		r.wantCount(metadata, 1)

		r.answerJSON(metadata, defaultMetadata())
		wantVerdicts(t, all(1, ask)(), "ok")
		r.wantCount(metadata, 2)
	})
}

func TestMetadata_oneWhoGivesUpLeavesItToTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		let := r.held(metadata)
		ctx, cancel := context.WithCancel(t.Context())

		first := all(1, func(int) error { _, err := r.client.Metadata(ctx, issuer); return err })
		synctest.Wait()
		others := all(5, func(int) error { _, err := r.client.Metadata(t.Context(), issuer); return err })
		synctest.Wait()
		cancel()

		if err := first()[0]; !errors.Is(err, context.Canceled) || verdict(err) != "metadata_error" {
			t.Errorf("who gave up: %v, want metadata_error and context.Canceled", err)
		}
		let()
		wantVerdicts(t, others(), "ok")
		r.wantCount(metadata, 1)
	})
}

func TestMetadata_cancelledBeforeAskingAsksNothing(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.client.Metadata(ctx, issuer); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want context.Canceled", err)
	}
	r.wantCount(metadata, 0)
}

func TestMetadata_hangEndsByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.hang(metadata)

		wait := all(3, func(int) error { _, err := r.client.Metadata(t.Context(), issuer); return err })
		synctest.Wait()
		r.clock.Advance(10*time.Second - 1)
		synctest.Wait()
		if n := r.clock.Waiting(); n != 1 {
			t.Errorf("timers before the deadline = %d, want 1", n)
		}
		r.clock.Advance(1)

		for _, err := range wait() {
			if !errors.Is(err, context.DeadlineExceeded) || verdict(err) != "metadata_error" {
				t.Errorf("err = %v, want metadata_error and DeadlineExceeded", err)
			}
		}
		synctest.Wait()
		if n := r.clock.Waiting(); n != 0 {
			t.Errorf("timers left = %d, want 0", n)
		}
	})
}

func TestMetadata_isCachedForTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ask := func(issuer string) {
			t.Helper()
			if _, err := r.client.Metadata(t.Context(), issuer); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		for _, same := range []string{issuer, "https://tenant.example", "https://TENANT.example//", "tenant.example", "Tenant.Example"} {
			ask(same)
		}
		r.wantCount(metadata, 1)
		r.clock.Advance(600*time.Second - 1)
		ask(issuer)
		r.wantCount(metadata, 1)
		r.clock.Advance(1)
		ask(issuer)
		r.wantCount(metadata, 2)
		r.clock.Set(t0.Add(-time.Hour)) // a clock set back makes nothing last longer
		ask(issuer)
		r.wantCount(metadata, 3)
	})
}

func TestMetadata_callersHoldCopies(t *testing.T) {
	r := newRig(t)
	for range 3 { // the first is fetched, the others are cached
		m, err := r.client.Metadata(t.Context(), issuer)
		if err != nil || m.TokenEndpoint != "https://tenant.example/token" {
			t.Fatalf("token endpoint = %+v, %v", m, err)
		}
		m.TokenEndpoint = "https://evil.example/"
	}
}

func TestMetadata_keepsAHundredIssuers(t *testing.T) {
	r := newRig(t)
	at := func(i int) string { return fmt.Sprintf("https://tenant-%d.example", i) }
	ask := func(i int) {
		t.Helper()
		if _, err := r.client.Metadata(t.Context(), at(i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 101 {
		m := with(defaultMetadata(), claimsOf{"issuer": at(i)})
		r.answerJSON(at(i)+metadata, m)
	}
	for i := range 100 {
		ask(i)
	}
	ask(0)   // used last
	ask(100) // sends 1 away
	r.wantCount(metadata, 101)
	ask(0)
	r.wantCount(metadata, 101)
	ask(1)
	r.wantCount(metadata, 102)
}

// An issuer that is asked for all the time is never the least recently used one, however many others come.
func TestMetadata_keepsTheIssuerInUse(t *testing.T) {
	r := newRig(t)
	r.wantVerify("1", "ok")
	for i := range 150 {
		other := fmt.Sprintf("https://tenant-%d.example", i)
		r.answerJSON(other+metadata, with(defaultMetadata(), claimsOf{"issuer": other}))
		for _, at := range []string{other, issuer} {
			if _, err := r.client.Metadata(t.Context(), at); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.wantVerify("1", "ok")
	r.wantCount(metadata, 151)
	r.wantCount(jwks, 1)
}

func TestMetadata_failures(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
	}{
		{"500", 500, `{"issuer":"https://tenant.example/"}`},
		{"404", 404, ``},
		{"201", 201, `{"issuer":"https://tenant.example/"}`},
		{"not JSON", 200, `<html>`},
		{"truncated", 200, `{"issuer":"https://tenant.exam`},
		{"list", 200, `[]`},
		{"null", 200, `null`},
		{"empty", 200, ``},
		{"two objects", 200, `{"issuer":"https://tenant.example/"}{}`},
		{"over 1 MiB", 200, `{"issuer":"https://tenant.example/","x":"` + strings.Repeat("x", 1<<20) + `"}`},
		{"no issuer", 200, `{}`},
		{"issuer a number", 200, `{"issuer":1}`},
		{"Issuer in capitals", 200, `{"ISSUER":"https://tenant.example/"}`},
		{"another issuer", 200, `{"issuer":"https://evil.example/"}`},
		{"issuer with a path", 200, `{"issuer":"https://tenant.example/a"}`},
	}
	for _, tt := range tests {
		r := newRig(t)
		r.handle(metadata, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://evil.example/")
			w.WriteHeader(tt.status)
			fmt.Fprint(w, tt.body)
		})
		for range 2 {
			_, err := r.client.Metadata(t.Context(), issuer)
			if got := verdict(err); got != "metadata_error" {
				t.Errorf("%s: %s (%v), want metadata_error", tt.name, got, err)
			}
		}
		r.wantCount(metadata, 2) // failures are not cached
		r.wantCount("/", 0)
	}
}

func TestMetadata_issuersThatAreRefused(t *testing.T) {
	r := newRig(t)
	for _, bad := range []string{
		"", " ", "http://tenant.example/", "ftp://tenant.example", "https://u:p@tenant.example/",
		"https://tenant.example/?a=b", "https://tenant.example/#x", "https:///path", "http://127.0.0.1.evil.example/",
	} {
		_, err := r.client.Metadata(t.Context(), bad)
		var conf *session.ConfigurationError
		if verdict(err) != "metadata_error" || !errors.As(err, &conf) {
			t.Errorf("issuer %q: %v, want metadata_error and a ConfigurationError", bad, err)
		}
	}
	if n := len(r.requests); n != 0 {
		t.Errorf("paths asked = %d, want 0", n)
	}
}

func TestMetadata_unusableEndpointsCountAsMissing(t *testing.T) {
	tests := []struct {
		endpoint any
		want     bool
	}{
		{"https://other.example/token", true},
		{"https://other.example/token?tenant=1", true},
		{"http://127.0.0.1:8080/token", false},
		{"http://[::1]/token", false},
		{"http://localhost/token", false},
		{"http://tenant.example/token", false},
		{"/token", false},
		{"//tenant.example/token", false},
		{"https://user@tenant.example/token", false},
		{"https://tenant.example/token#x", false},
		{"https:token", false},
		{"javascript:alert(1)", false},
		{"file:///etc/passwd", false},
		{"https://", false},
		{"https://tenant.example:port/", false},
		{"", false},
		{nil, false},
		{7, false},
		{[]string{"https://tenant.example/token"}, false},
		{absent, false},
	}
	for _, tt := range tests {
		r := newRig(t)
		r.answerJSON(metadata, with(defaultMetadata(), claimsOf{"token_endpoint": tt.endpoint}))
		m, err := r.client.Metadata(t.Context(), issuer)
		if err != nil {
			t.Errorf("%v: %v", tt.endpoint, err)
			continue
		}
		if got := m.TokenEndpoint != ""; got != tt.want {
			t.Errorf("%v: endpoint %q, want usable %t", tt.endpoint, m.TokenEndpoint, tt.want)
		}
		if !tt.want {
			_, err := r.client.Refresh(t.Context(), idp.RefreshRequest{Issuer: issuer, RefreshToken: refreshToken})
			if got := verdict(err); got != "configuration_error" {
				t.Errorf("%v: refresh: %s, want configuration_error", tt.endpoint, got)
			}
		}
	}
}

func TestClose_endsWhatIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.hang(metadata)
		wait := all(2, func(int) error { _, err := r.client.Metadata(t.Context(), issuer); return err })
		synctest.Wait()
		r.client.Close()
		wantVerdicts(t, wait(), "metadata_error")
		wantVerdicts(t, all(1, func(int) error { _, err := r.client.Metadata(t.Context(), issuer); return err })(), "metadata_error")
	})
}

func TestMetadata_transportThatPanicsFailsTheCall(t *testing.T) {
	r := newRig(t, func(cfg *idp.Config) { cfg.HTTPClient = &http.Client{Transport: panicking{}} })
	if _, err := r.client.Metadata(t.Context(), issuer); verdict(err) != "metadata_error" {
		t.Errorf("err = %v, want metadata_error", err)
	}
}

type panicking struct{}

func (panicking) RoundTrip(*http.Request) (*http.Response, error) { panic("no such luck") }

func TestReady(t *testing.T) {
	r := newRig(t)
	for range 3 {
		if err := r.client.Ready(t.Context(), issuer); err != nil {
			t.Fatal(err)
		}
	}
	r.wantCount(metadata, 1)
	r.wantCount(jwks, 1)

	for name, want := range map[string]string{
		"token_endpoint": "configuration_error", "authorization_endpoint": "configuration_error", "jwks_uri": "missing_jwks_uri",
	} {
		r := newRig(t)
		r.answerJSON(metadata, with(defaultMetadata(), claimsOf{name: absent}))
		if got := verdict(r.client.Ready(t.Context(), issuer)); got != want {
			t.Errorf("without %s: %s, want %s", name, got, want)
		}
	}
}
