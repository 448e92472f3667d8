package prometheus_test

import (
	"context"
	"strings"
	"testing"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/observe/prometheus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run has a client do a little of everything, and returns the metrics exposed then.
func run(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	now := clock.NewFake(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	tenant := idptest.NewTenant(t, idptest.WithClock(now), idptest.WithClient("demo", "demo-secret"))
	m := prometheus.NewMetrics()
	client, err := tokenward.New(tokenward.Config{
		Issuer: tenant.Issuer(), ClientID: "demo", ClientSecret: "demo-secret", Secrets: []string{"a secret of at least thirty-two bytes"},
		RedirectURI: "http://127.0.0.1/callback",
	}, tokenward.WithClock(now), tokenward.WithHTTPClient(tenant.Client()), tokenward.WithLogger(zap.NewNop()), tokenward.WithObserver(m.Observer()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	r := prom.NewRegistry()
	r.MustRegister(m, prometheus.NewCollector(client))
	ctx := t.Context()
	login := func() string {
		to, err := client.StartInteractiveLogin(ctx, tokenward.LoginRequest{}, tokenward.StoreOptions{})
		if err != nil {
			t.Fatal(err)
		}
		back, err := tenant.Authorize(to, idptest.Claims{"session_expiry": now.Now().Add(2 * time.Hour).Unix()})
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.CompleteInteractiveLogin(ctx, back, tokenward.StoreOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return res.SessionID
	}
	id := login()
	get := func() error {
		_, err := client.GetAccessToken(ctx, tokenward.TokenRequest{}, tokenward.SessionID(id))
		return err
	}
	now.Advance(idptest.TokenLife)
	tenant.Script(idptest.Refresh, idptest.OAuthError("made-up-by-the-provider", ""))
	if get() == nil {
		t.Fatal("the refresh was not refused")
	}
	for range 3 {
		if err := get(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Logout(ctx, tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
		t.Fatal(err)
	}
	login()
	now.Advance(2*time.Hour - 31*time.Second)
	settle(t, client)
	now.Advance(time.Second)
	settle(t, client)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	exposed := make(map[string]*dto.MetricFamily)
	for _, f := range families {
		exposed[f.GetName()] = f
	}
	return exposed
}

func settle(t *testing.T, c *tokenward.Client) {
	t.Helper()
	if err := c.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestMetrics_ofARun(t *testing.T) {
	exposed := run(t)
	counter := func(name string, labels ...string) float64 {
		for _, m := range exposed[name].GetMetric() {
			var has []string
			for _, l := range m.GetLabel() {
				has = append(has, l.GetName()+"="+l.GetValue())
			}
			if text := " " + strings.Join(has, " ") + " "; all(labels, func(l string) bool { return strings.Contains(text, " "+l+" ") }) {
				if m.GetHistogram() != nil {
					return float64(m.GetHistogram().GetSampleCount())
				}
				return m.GetCounter().GetValue()
			}
		}
		return -1
	}
	for _, tt := range []struct {
		name   string
		want   float64
		labels []string
	}{
		{"tokenward_token_hits_total", 2, nil},
		{"tokenward_flights_total", 1, []string{"outcome=failed", "code=refresh_token_error", "oauth=other"}},
		{"tokenward_flights_total", 1, []string{"outcome=refreshed"}},
		{"tokenward_flight_callers", 2, nil},
		{"tokenward_sessions_ended_total", 1, []string{"reason=logout"}},
		{"tokenward_sessions_ended_total", 1, []string{"reason=ceiling"}},
		{"tokenward_ceiling_lateness_seconds", 1, nil},
		{"tokenward_ceilings_total", 1, nil},
	} {
		if got := counter(tt.name, tt.labels...); got != tt.want {
			t.Errorf("%s%v = %v, want %v", tt.name, tt.labels, got, tt.want)
		}
	}
	for name, f := range exposed {
		if !strings.HasPrefix(name, "tokenward_") || strings.Contains(f.String(), "made-up") {
			t.Errorf("exposed: %s", f)
		}
	}
}

func all(labels []string, holds func(string) bool) bool {
	for _, l := range labels {
		if !holds(l) {
			return false
		}
	}
	return true
}
