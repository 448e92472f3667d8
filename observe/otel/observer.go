// Package otelobserve tells OpenTelemetry what a client of tokenward does: metrics, and traces.
//
//	o, err := otelobserve.New()
//	client, err := tokenward.New(config, tokenward.WithObserver(o))
//
// # Traces
//
// A call that is not answered from the cache is a span, such as "tokenward token". The caller who starts a refresh has a span
// "tokenward refresh" below; the store's operations ("tokenward store update") and the request to the provider ("POST") are its
// children. Callers who joined have a link to that span, so a trace of a slow page leads to the one request that it waited for.
// Where the client's HTTP transport is that of otelhttp (tokenward.WithHTTPClient), its spans are children of the request's.
//
// # Metrics
//
// Durations are in seconds.
//
//	tokenward.token.hits          access tokens from the cache at once
//	tokenward.calls               other calls: tokenward.operation, tokenward.outcome, tokenward.audience, error.type
//	tokenward.call.duration       tokenward.operation, error.type
//	tokenward.flights             refreshes and exchanges: tokenward.flight.kind, tokenward.outcome, error.type, tokenward.oauth.error
//	tokenward.flight.callers      who shared one
//	tokenward.flight.queue.duration    until its request was sent
//	tokenward.flight.request.duration  what the provider took
//	tokenward.request.duration    tokenward.request.kind, http.request.method, http.response.status_code, error.type
//	tokenward.store.duration      db.operation.name, tokenward.outcome, error.type
//	tokenward.sessions.resident   in memory; tokenward.sessions.active, tokenward.sessions.unsaved
//	tokenward.sessions.loaded     read from the store
//	tokenward.sessions.ended      tokenward.reason
//	tokenward.ceiling.lateness    how long after its time a session was deleted
//
// No attribute holds a token, an id, a subject or a claim, and every one of a metric is of a list that the library or its
// configuration fixes.
package otelobserve

import (
	"context"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/tokenward/tokenward/observe"
)

const scope = "github.com/tokenward/tokenward"

// Option changes what New makes.
type Option func(*config)

type config struct {
	meters  metric.MeterProvider
	tracers trace.TracerProvider
}

// WithMeterProvider says where the metrics go. The default is the global one.
func WithMeterProvider(p metric.MeterProvider) Option { return func(c *config) { c.meters = p } }

// WithTracerProvider says where the spans go. The default is the global one.
func WithTracerProvider(p trace.TracerProvider) Option { return func(c *config) { c.tracers = p } }

// New returns an observer for tokenward.WithObserver. One may be given to several clients, whose figures are added up. It fails
// where the meter refuses an instrument.
func New(opts ...Option) (observe.Observer, error) {
	c := config{meters: otel.GetMeterProvider(), tracers: otel.GetTracerProvider()}
	for _, o := range opts {
		o(&c)
	}
	t := &teller{tracer: c.tracers.Tracer(scope)}
	if err := t.instruments(c.meters.Meter(scope)); err != nil {
		return observe.Observer{}, err
	}
	return observe.Observer{
		Client: t.client, Call: t.call, Flight: t.flight, Request: t.request, Store: t.store, Ended: t.ended, Ceiling: t.ceiling,
	}, nil
}

// teller has the instruments of one observer.
type teller struct {
	tracer trace.Tracer

	calls, flights, ends                                      metric.Int64Counter
	callTime, queued, asked, requestTime, storeTime, lateness metric.Float64Histogram
	callers                                                   metric.Int64Histogram

	mu     sync.Mutex
	last   int
	open   map[int]func() observe.Figures
	closed observe.Figures // counted by clients that are closed
}

// Attributes that no semantic convention has.
const (
	operationKey = attribute.Key("tokenward.operation")
	outcomeKey   = attribute.Key("tokenward.outcome")
	audienceKey  = attribute.Key("tokenward.audience")
	kindKey      = attribute.Key("tokenward.flight.kind")
	requestKey   = attribute.Key("tokenward.request.kind")
	oauthKey     = attribute.Key("tokenward.oauth.error")
	callersKey   = attribute.Key("tokenward.flight.callers")
	reasonKey    = attribute.Key("tokenward.reason")
)

// client reads figures for as long as a client lives. What one has counted stays in the sums after it is closed.
func (t *teller) client(figures func() observe.Figures) (closed func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = make(map[int]func() observe.Figures)
	}
	t.last++
	id := t.last
	t.open[id] = figures
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.open, id)
		last := figures()
		t.closed.Hits += last.Hits
		t.closed.Loads += last.Loads
	}
}

func (t *teller) figures() observe.Figures {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := t.closed
	for _, figures := range t.open {
		f := figures()
		sum.Hits += f.Hits
		sum.Loads += f.Loads
		sum.Resident += f.Resident
		sum.Active += f.Active
		sum.Unsaved += f.Unsaved
	}
	return sum
}

func (t *teller) call(ctx context.Context, c observe.Call) (context.Context, func(observe.CallEnd)) {
	ctx, span := t.tracer.Start(ctx, "tokenward "+string(c.Operation), trace.WithTimestamp(c.At),
		trace.WithAttributes(with(audienceKey, c.Audience)...))
	return ctx, func(e observe.CallEnd) {
		attrs := append(with(semconv.ErrorTypeKey, e.Code), operationKey.String(string(c.Operation)))
		t.callTime.Record(ctx, e.At.Sub(c.At).Seconds(), metric.WithAttributes(attrs...))
		attrs = append(append(attrs, with(outcomeKey, e.Outcome)...), with(audienceKey, c.Audience)...)
		t.calls.Add(ctx, 1, metric.WithAttributes(attrs...))
		if e.Outcome == observe.Join && e.Flight != nil {
			span.AddLink(trace.LinkFromContext(e.Flight))
		}
		span.SetAttributes(with(outcomeKey, e.Outcome)...)
		end(span, e.Code)
		span.End(trace.WithTimestamp(e.At))
	}
}

func (t *teller) flight(ctx context.Context, f observe.Flight) (context.Context, func(observe.FlightEnd)) {
	ctx, span := t.tracer.Start(ctx, "tokenward "+f.Kind, trace.WithTimestamp(f.At), trace.WithAttributes(with(audienceKey, f.Audience)...))
	// The flight outlives the caller, so of the caller's context it gets the span alone.
	return trace.ContextWithSpan(context.Background(), span), func(e observe.FlightEnd) {
		attrs := append(with(semconv.ErrorTypeKey, e.Code), kindKey.String(f.Kind), outcomeKey.String(e.Outcome))
		attrs = append(attrs, with(oauthKey, e.OAuth)...)
		t.flights.Add(ctx, 1, metric.WithAttributes(attrs...))
		kind := metric.WithAttributes(kindKey.String(f.Kind))
		t.callers.Record(ctx, int64(e.Callers), kind)
		t.queued.Record(ctx, e.Queued.Seconds(), kind)
		if e.Asked > 0 {
			t.asked.Record(ctx, e.Asked.Seconds(), kind)
		}
		span.SetAttributes(append(with(oauthKey, e.OAuth), outcomeKey.String(e.Outcome), callersKey.Int(e.Callers))...)
		end(span, e.Code)
		span.End(trace.WithTimestamp(e.At))
	}
}

func (t *teller) request(ctx context.Context, r observe.Request) (context.Context, func(observe.RequestEnd)) {
	method := semconv.HTTPRequestMethodKey.String(r.Method)
	ctx, span := t.tracer.Start(ctx, r.Method, trace.WithTimestamp(r.At), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(method, requestKey.String(r.Kind), semconv.ServerAddress(r.Server)))
	return ctx, func(e observe.RequestEnd) {
		attrs := []attribute.KeyValue{method, requestKey.String(r.Kind)}
		failed := ""
		if e.Status >= 100 && e.Status < 600 {
			attrs = append(attrs, semconv.HTTPResponseStatusCode(e.Status))
		}
		switch {
		case e.Failed:
			failed = observe.Other
		case e.Status >= 400 && e.Status < 600:
			failed = statusText(e.Status)
		}
		attrs = append(attrs, with(semconv.ErrorTypeKey, failed)...)
		t.requestTime.Record(ctx, e.At.Sub(r.At).Seconds(), metric.WithAttributes(attrs...))
		span.SetAttributes(attrs...)
		end(span, failed)
		span.End(trace.WithTimestamp(e.At))
	}
}

func (t *teller) store(ctx context.Context, s observe.Store) (context.Context, func(observe.StoreEnd)) {
	name := semconv.DBOperationName(s.Operation)
	ctx, span := t.tracer.Start(ctx, "tokenward store "+s.Operation, trace.WithTimestamp(s.At), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(name))
	return ctx, func(e observe.StoreEnd) {
		failed := ""
		if e.Outcome == observe.StoreFailed { // the others are answers of a store that works
			failed = e.Outcome
		}
		attrs := append(with(semconv.ErrorTypeKey, failed), name, outcomeKey.String(e.Outcome))
		t.storeTime.Record(ctx, e.At.Sub(s.At).Seconds(), metric.WithAttributes(attrs...))
		span.SetAttributes(outcomeKey.String(e.Outcome))
		end(span, failed)
		span.End(trace.WithTimestamp(e.At))
	}
}

func (t *teller) ended(e observe.Ended) {
	t.ends.Add(context.Background(), 1, metric.WithAttributes(reasonKey.String(e.Reason)))
}

func (t *teller) ceiling(c observe.Ceiling) {
	t.lateness.Record(context.Background(), c.Late().Seconds())
}

// with returns the attribute, and none where value is empty.
func with(key attribute.Key, value string) []attribute.KeyValue {
	if value == "" {
		return nil
	}
	return []attribute.KeyValue{key.String(value)}
}

// end notes a failure. Code is all that is said of it.
func end(span trace.Span, code string) {
	if code != "" {
		span.SetAttributes(semconv.ErrorTypeKey.String(code))
		span.SetStatus(codes.Error, code)
	}
}
