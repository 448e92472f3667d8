package otelobserve

import (
	"context"
	"errors"
	"strconv"

	"go.opentelemetry.io/otel/metric"
)

var (
	waits = metric.WithExplicitBucketBoundaries(.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30)
	quick = metric.WithExplicitBucketBoundaries(.00001, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5)
	tardy = metric.WithExplicitBucketBoundaries(.01, .05, .1, .25, .5, 1, 2, 5, 10, 30, 60, 300)
)

// instruments makes all of them.
func (t *teller) instruments(m metric.Meter) error {
	var failed []error
	counter := func(name, unit, help string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(help))
		failed = append(failed, err)
		return c
	}
	seconds := func(name, help string, buckets metric.HistogramOption) metric.Float64Histogram {
		h, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(help), buckets)
		failed = append(failed, err)
		return h
	}
	t.calls = counter("tokenward.calls", "{call}", "Calls that were not answered from the cache at once.")
	t.flights = counter("tokenward.flights", "{flight}", "Requests for tokens, each shared by its callers.")
	t.ends = counter("tokenward.sessions.ended", "{session}", "Sessions that have ended.")
	t.callTime = seconds("tokenward.call.duration", "How long calls took.", waits)
	t.queued = seconds("tokenward.flight.queue.duration", "How long flights waited until their request was sent.", waits)
	t.asked = seconds("tokenward.flight.request.duration", "How long the provider took to answer flights.", waits)
	t.requestTime = seconds("tokenward.request.duration", "HTTP requests to providers.", waits)
	t.storeTime = seconds("tokenward.store.duration", "Operations of the state store.", quick)
	t.lateness = seconds("tokenward.ceiling.lateness", "How long after its time a session was deleted at its ceiling.", tardy)
	var err error
	t.callers, err = m.Int64Histogram("tokenward.flight.callers", metric.WithUnit("{call}"), metric.WithDescription("Callers who shared one flight."),
		metric.WithExplicitBucketBoundaries(1, 2, 5, 10, 50, 100, 500, 1000, 10_000))
	return errors.Join(append(failed, err, t.observables(m))...)
}

// observables makes those that are read when they are collected: so a hit costs no call.
func (t *teller) observables(m metric.Meter) error {
	hits, err1 := m.Int64ObservableCounter("tokenward.token.hits", metric.WithUnit("{token}"), metric.WithDescription("Access tokens from the cache at once."))
	loads, err2 := m.Int64ObservableCounter("tokenward.sessions.loaded", metric.WithUnit("{session}"), metric.WithDescription("Sessions read from the store."))
	resident, err3 := m.Int64ObservableUpDownCounter("tokenward.sessions.resident", metric.WithUnit("{session}"), metric.WithDescription("Sessions in memory."))
	active, err4 := m.Int64ObservableUpDownCounter("tokenward.sessions.active", metric.WithUnit("{session}"), metric.WithDescription("Of the sessions in memory, those that have something to do."))
	unsaved, err5 := m.Int64ObservableUpDownCounter("tokenward.sessions.unsaved", metric.WithUnit("{session}"), metric.WithDescription("Sessions whose newest state the store does not have, after a failure."))
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return err
	}
	_, err := m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		f := t.figures()
		o.ObserveInt64(hits, f.Hits)
		o.ObserveInt64(loads, f.Loads)
		o.ObserveInt64(resident, f.Resident)
		o.ObserveInt64(active, f.Active)
		o.ObserveInt64(unsaved, f.Unsaved)
		return nil
	}, hits, loads, resident, active, unsaved)
	return err
}

func statusText(status int) string { return strconv.Itoa(status) }
