package otelobserve_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	otelobserve "github.com/tokenward/tokenward/observe/otel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a client that is observed, and what the SDK got.
type rig struct {
	t       *testing.T
	clock   *clock.Fake
	tenant  *idptest.Tenant
	client  *tokenward.Client
	spans   *tracetest.SpanRecorder
	tracer  trace.Tracer
	metrics *sdkmetric.ManualReader
}

func newRig(t *testing.T, opts ...idptest.Option) *rig {
	t.Helper()
	r := &rig{t: t, clock: clock.NewFake(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), spans: tracetest.NewSpanRecorder(), metrics: sdkmetric.NewManualReader()}
	traces := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r.spans))
	r.tracer = traces.Tracer("test")
	o, err := otelobserve.New(otelobserve.WithTracerProvider(traces),
		otelobserve.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.metrics))))
	if err != nil {
		t.Fatal(err)
	}
	opts = append(opts, idptest.WithClock(r.clock), idptest.WithClient("demo", "demo-secret"))
	r.tenant = idptest.NewTenant(t, opts...)
	r.client, err = tokenward.New(tokenward.Config{
		Issuer: r.tenant.Issuer(), ClientID: "demo", ClientSecret: "demo-secret", Secrets: []string{"a secret of at least thirty-two bytes"},
		RedirectURI: "http://127.0.0.1/callback",
	}, tokenward.WithClock(r.clock), tokenward.WithHTTPClient(r.tenant.Client()), tokenward.WithLogger(zap.NewNop()), tokenward.WithObserver(o))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.client.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) login(claims ...idptest.Claims) string {
	r.t.Helper()
	to, err := r.client.StartInteractiveLogin(r.t.Context(), tokenward.LoginRequest{}, tokenward.StoreOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	back, err := r.tenant.Authorize(to, claims...)
	if err != nil {
		r.t.Fatal(err)
	}
	res, err := r.client.CompleteInteractiveLogin(r.t.Context(), back, tokenward.StoreOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	return res.SessionID
}

// figures returns the data points of a metric: their attributes, with the value or the count.
func (r *rig) figures(name string) map[string]float64 {
	r.t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.metrics.Collect(context.Background(), &all); err != nil {
		r.t.Fatal(err)
	}
	found := map[string]float64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != name {
				continue
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					found[text(p.Attributes)] = float64(p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					found[text(p.Attributes)] = p.Sum
				}
			case metricdata.Histogram[int64]:
				for _, p := range data.DataPoints {
					found[text(p.Attributes)] = float64(p.Sum)
				}
			}
		}
	}
	return found
}

func text(s attribute.Set) string {
	return s.Encoded(attribute.DefaultEncoder())
}

// named returns the ended spans of that name.
func (r *rig) named(name string) (found []sdktrace.ReadOnlySpan) {
	for _, s := range r.spans.Ended() {
		if s.Name() == name {
			found = append(found, s)
		}
	}
	return found
}

// One refresh is one span below its first caller; the store's save and the request are its children; each caller who joined has
// a link to it, from a trace of its own.
func TestTraces_joinedCallersLeadToTheOneRefresh(t *testing.T) {
	synctest.Test(t, joinedCallersLeadToTheOneRefresh)
}

func joinedCallersLeadToTheOneRefresh(t *testing.T) {
	r := newRig(t, idptest.InProcess())
	id := r.login()
	r.clock.Advance(idptest.TokenLife)
	synctest.Wait() // the session, unused for an hour, has left memory
	hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
	const callers = 5
	var all sync.WaitGroup
	ask := func() {
		ctx, page := r.tracer.Start(t.Context(), "a page")
		defer page.End()
		if _, err := r.client.GetAccessToken(ctx, tokenward.TokenRequest{}, tokenward.SessionID(id)); err != nil {
			t.Error(err)
		}
	}
	for range callers {
		all.Go(ask)
	}
	synctest.Wait() // one request is at the provider, and all callers wait for it
	r.clock.Advance(2 * time.Second)
	hold.Release()
	all.Wait()

	refresh := r.named("tokenward refresh")
	if len(refresh) != 1 {
		t.Fatalf("%d spans of refreshes, want 1", len(refresh))
	}
	of := refresh[0].SpanContext()
	if took := refresh[0].EndTime().Sub(refresh[0].StartTime()); took != 2*time.Second {
		t.Errorf("the refresh took %v by the client's clock, want 2s", took)
	}
	links, parents := 0, 0
	for _, call := range r.named("tokenward token") {
		for _, l := range call.Links() {
			if l.SpanContext.SpanID() == of.SpanID() && call.SpanContext().TraceID() != of.TraceID() {
				links++
			}
		}
		if call.SpanContext().SpanID() == refresh[0].Parent().SpanID() {
			parents++
		}
	}
	joined := 0
	for at, n := range r.figures("tokenward.calls") {
		if strings.Contains(at, "tokenward.outcome=join") {
			joined += int(n)
		}
	}
	if links != joined || parents != 1 || joined != callers-1 {
		t.Errorf("%d links of %d joined callers and %d parents, want %d and 1", links, joined, parents, callers-1)
	}
	var children []string
	for _, s := range r.spans.Ended() {
		if s.Parent().SpanID() == of.SpanID() {
			children = append(children, s.Name())
		}
	}
	slices.Sort(children)
	if want := []string{"POST", "tokenward store update"}; !slices.Equal(children, want) {
		t.Errorf("children of the refresh: %q, want %q", children, want)
	}
}

func TestMetrics_countWhatHappened(t *testing.T) {
	r := newRig(t)
	ctx, id := t.Context(), r.login(idptest.Claims{"session_expiry": r.clock.Now().Add(2 * time.Hour).Unix()})
	get := func() error {
		_, err := r.client.GetAccessToken(ctx, tokenward.TokenRequest{}, tokenward.SessionID(id))
		return err
	}
	for range 3 {
		if err := get(); err != nil {
			t.Fatal(err)
		}
	}
	r.clock.Advance(idptest.TokenLife)
	r.tenant.Script(idptest.Refresh, idptest.OAuthError("invalid_scope", "a text of the provider"))
	if err := get(); err == nil {
		t.Fatal("the refresh was not refused")
	}
	if err := get(); err != nil {
		t.Fatal(err)
	}
	r.want("tokenward.token.hits", "", 3)
	r.want("tokenward.sessions.resident", "", 1)
	r.want("tokenward.calls", "tokenward.audience=default,tokenward.operation=token,tokenward.outcome=miss", 1)
	r.want("tokenward.calls", "error.type=refresh_token_error,tokenward.audience=default,tokenward.operation=token,tokenward.outcome=miss", 1)
	r.want("tokenward.flights", "tokenward.flight.kind=refresh,tokenward.outcome=refreshed", 1)
	r.want("tokenward.flights", "error.type=refresh_token_error,tokenward.flight.kind=refresh,tokenward.oauth.error=invalid_scope,tokenward.outcome=failed", 1)
	r.want("tokenward.flight.callers", "tokenward.flight.kind=refresh", 2)
	if _, err := r.client.Logout(ctx, tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
		t.Fatal(err)
	}
	if err := r.client.Settle(ctx); err != nil { // the end is told by the supervisor, beside the answer to Logout
		t.Fatal(err)
	}
	r.want("tokenward.sessions.ended", "tokenward.reason=logout", 1)
	if len(r.figures("tokenward.store.duration")) == 0 || len(r.figures("tokenward.request.duration")) == 0 {
		t.Error("no store operation, or no request, was timed")
	}
}

func (r *rig) want(name, attributes string, want float64) {
	r.t.Helper()
	all := r.figures(name)
	if got := all[attributes]; got != want {
		r.t.Errorf("%s{%s} = %v, want %v; there are %v", name, attributes, got, want, all)
	}
}

// Nothing secret, and nothing of a user, is in a span or a metric.
func TestNothingSecretIsShown(t *testing.T) {
	r := newRig(t)
	id := r.login(idptest.Claims{"email": "ada@example.com"})
	r.clock.Advance(idptest.TokenLife)
	r.tenant.Script(idptest.Refresh, idptest.OAuthError("made-up", "text"))
	for _, audience := range []string{"made-up-by-a-user", ""} {
		_, _ = r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{Audience: audience}, tokenward.SessionID(id))
	}
	var all metricdata.ResourceMetrics
	if err := r.metrics.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	metrics, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	shown := string(metrics)
	for _, s := range tracetest.SpanStubsFromReadOnlySpans(r.spans.Ended()) {
		shown += fmt.Sprintf("%s %v %v %v\n", s.Name, s.Attributes, s.Status, s.Events)
	}
	for _, secret := range append(r.tenant.SecretsIn(shown), id, "made-up", "ada@", "demo-secret") {
		if strings.Contains(shown, secret) {
			t.Errorf("%q is shown", secret)
		}
	}
}
