package prometheus

import (
	"context"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tokenward/tokenward/observe"
)

// Metrics are the metrics of one client, or of several together. Every label is of a list that the library or its
// configuration fixes, so there are as many time series on the first day as on the last.
type Metrics struct {
	calls    *prometheus.CounterVec
	callTime *prometheus.HistogramVec
	flights  *prometheus.CounterVec
	callers  prometheus.Histogram
	queued   prometheus.Histogram
	asked    prometheus.Histogram
	requests *prometheus.HistogramVec
	store    *prometheus.HistogramVec
	ended    *prometheus.CounterVec
	lateness prometheus.Histogram
}

var _ prometheus.Collector = (*Metrics)(nil)

// The buckets, in seconds.
var (
	waits = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	quick = []float64{.00001, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5}
)

// NewMetrics returns the metrics of the clients that Observer is given to.
func NewMetrics() *Metrics {
	histogram := func(name, help string, buckets []float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Name: "tokenward_" + name, Help: help, Buckets: buckets}
	}
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Name: "tokenward_" + name, Help: help}
	}
	return &Metrics{
		calls: prometheus.NewCounterVec(counter("calls_total", "Calls that were not answered from the cache at once, by how they were answered and why they failed."),
			[]string{"operation", "audience", "outcome", "code"}),
		callTime: prometheus.NewHistogramVec(histogram("call_duration_seconds", "How long these calls took.", waits), []string{"operation"}),
		flights: prometheus.NewCounterVec(counter("flights_total", "Requests for tokens, each shared by its callers, by how they ended."),
			[]string{"kind", "outcome", "code", "oauth"}),
		callers:  prometheus.NewHistogram(histogram("flight_callers", "Callers who shared one flight.", []float64{1, 2, 5, 10, 50, 100, 500, 1000, 10_000})),
		queued:   prometheus.NewHistogram(histogram("flight_queue_seconds", "How long flights waited until their request was sent.", waits)),
		asked:    prometheus.NewHistogram(histogram("flight_request_seconds", "How long the provider took to answer flights.", waits)),
		requests: prometheus.NewHistogramVec(histogram("request_duration_seconds", "HTTP requests to providers, by the status of the answer (0: none came).", waits), []string{"kind", "status"}),
		store:    prometheus.NewHistogramVec(histogram("store_duration_seconds", "Operations of the state store.", quick), []string{"operation", "outcome"}),
		ended:    prometheus.NewCounterVec(counter("sessions_ended_total", "Sessions that have ended, by reason."), []string{"reason"}),
		lateness: prometheus.NewHistogram(histogram("ceiling_lateness_seconds", "How long after its time a session was deleted at its ceiling.", []float64{.01, .05, .1, .25, .5, 1, 2, 5, 10, 30, 60, 300})),
	}
}

func (m *Metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.calls, m.callTime, m.flights, m.callers, m.queued, m.asked, m.requests, m.store, m.ended, m.lateness}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(to)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(to)
	}
}

// Observer returns the observer that fills m, for tokenward.WithObserver.
func (m *Metrics) Observer() observe.Observer {
	return observe.Observer{
		Call: func(_ context.Context, c observe.Call) (context.Context, func(observe.CallEnd)) {
			return nil, func(e observe.CallEnd) {
				m.calls.WithLabelValues(string(c.Operation), c.Audience, e.Outcome, e.Code).Inc()
				m.callTime.WithLabelValues(string(c.Operation)).Observe(e.At.Sub(c.At).Seconds())
			}
		},
		Flight: func(_ context.Context, f observe.Flight) (context.Context, func(observe.FlightEnd)) {
			return nil, func(e observe.FlightEnd) {
				m.flights.WithLabelValues(f.Kind, e.Outcome, e.Code, e.OAuth).Inc()
				m.callers.Observe(float64(e.Callers))
				m.queued.Observe(e.Queued.Seconds())
				if e.Asked > 0 {
					m.asked.Observe(e.Asked.Seconds())
				}
			}
		},
		Request: func(_ context.Context, r observe.Request) (context.Context, func(observe.RequestEnd)) {
			return nil, func(e observe.RequestEnd) {
				m.requests.WithLabelValues(r.Kind, status(e.Status)).Observe(e.At.Sub(r.At).Seconds())
			}
		},
		Store: func(_ context.Context, s observe.Store) (context.Context, func(observe.StoreEnd)) {
			return nil, func(e observe.StoreEnd) {
				m.store.WithLabelValues(s.Operation, e.Outcome).Observe(e.At.Sub(s.At).Seconds())
			}
		},
		Ended:   func(e observe.Ended) { m.ended.WithLabelValues(e.Reason).Inc() },
		Ceiling: func(c observe.Ceiling) { m.lateness.Observe(c.Late().Seconds()) },
	}
}

// status returns the label of an HTTP status. A provider may answer any number.
func status(n int) string {
	if n != 0 && (n < 100 || n > 599) {
		return observe.Other
	}
	return strconv.Itoa(n)
}
