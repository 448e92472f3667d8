package main

import (
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/idp/idptest"
)

// The demo starts while its provider is down, and uses it once it is back.
func TestProviderDown_isSaidUntilItIsBack(t *testing.T) {
	s := newSite(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") // an address that nobody else has
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s.open("-issuer", "http://"+at+"/")
	s.want(s.get("/healthz"), 200, "")
	s.want(s.get("/"), 200, "")
	s.want(s.get("/auth/login"), 502, "metadata_error")
	if a := s.want(s.get("/readyz"), 503, "metadata_error"); !strings.Contains(a.text, "provider") || strings.Contains(a.text, "store") {
		t.Errorf("readyz = %s, want the provider named", a.text)
	}
	s.tenant = idptest.NewTenant(t, idptest.WithClock(s.clock), idptest.WithAddress(at), idptest.WithClient(demoID, demoSecret))
	s.want(s.get("/readyz"), 200, "")
	s.login()

	s.tenant.Script(idptest.Any, idptest.ResetConn().Always())
	s.tenant.Close() // what is cached of it does not make it answer
	if a := s.want(s.get("/readyz"), 503, "metadata_error"); !strings.Contains(a.text, "provider") {
		t.Errorf("readyz = %s, want the provider named", a.text)
	}
	s.want(s.get("/api/user"), 200, "")
	s.want(s.get("/api/token"), 200, "")
}

func TestMetrics(t *testing.T) {
	s := newSite(t)
	s.login()
	s.want(s.do(http.MethodPost, "/api/burst?n=10&audience=https://orders.example"), 200, "")
	a := s.want(s.get("/metrics"), 200, "")
	if got := a.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain") {
		t.Errorf("Content-Type = %q", got)
	}
	sample := regexp.MustCompile(`^(tokenward_[a-z_]+)(\{[^{}]*\})? (\S+)$`)
	comment := regexp.MustCompile(`^# (HELP|TYPE) (tokenward_[a-z_]+) .+$`)
	histogram := regexp.MustCompile(`_(bucket|sum|count)$`)
	values, said := map[string]float64{}, map[string]int{}
	for line := range strings.Lines(a.text) {
		line = strings.TrimSuffix(line, "\n")
		if m := comment.FindStringSubmatch(line); m != nil {
			said[m[2]]++
			continue
		}
		m := sample.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("line %q is no metric of ours", line)
		}
		v, err := strconv.ParseFloat(m[3], 64)
		family := m[1]
		if said[family] == 0 { // of a histogram
			family = histogram.ReplaceAllString(family, "")
		}
		if err != nil || said[family] != 2 {
			t.Errorf("line %q: %v, with %d lines of HELP and TYPE, want two", line, err, said[family])
		}
		values[m[1]+m[2]] = v
	}
	for name, want := range map[string]float64{
		"tokenward_sessions_resident": 1, "tokenward_token_flights_total": 1, "tokenward_demo_burst_calls_total": 10,
		`tokenward_demo_requests_total{route="GET /auth/callback",status="302"}`: 1,
	} {
		if got, ok := values[name]; !ok || got != want {
			t.Errorf("%s = %v, %v; want %v", name, got, ok, want)
		}
	}
}
