package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tokenward/tokenward"
)

// counts are what the application counts itself.
type counts struct {
	requests   *prometheus.CounterVec
	burstCalls prometheus.Counter
}

// newRegistry returns the metrics of this application: all names begin with tokenward_.
func (a *app) newRegistry() *prometheus.Registry {
	a.counts = counts{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tokenward_demo_requests_total", Help: "HTTP requests that were answered.",
		}, []string{"route", "status"}),
		burstCalls: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tokenward_demo_burst_calls_total", Help: "Calls made by bursts.",
		}),
	}
	r := prometheus.NewRegistry()
	r.MustRegister(a.counts.requests, a.counts.burstCalls, clientStats{a.client})
	return r
}

func (a *app) metrics() http.Handler {
	return promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{})
}

// clientStats shows what a client counted as metrics.
type clientStats struct{ client *tokenward.Client }

type stat struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(tokenward.Stats) int64
}

func newStat(name, help string, kind prometheus.ValueType, of func(tokenward.Stats) int64) stat {
	return stat{prometheus.NewDesc("tokenward_"+name, help, nil, nil), kind, of}
}

var clientStatsShown = []stat{
	newStat("sessions_resident", "Sessions in memory.",
		prometheus.GaugeValue, func(s tokenward.Stats) int64 { return s.Resident }),
	newStat("sessions_unsaved", "Sessions whose newest state the store does not have, after a failure.",
		prometheus.GaugeValue, func(s tokenward.Stats) int64 { return s.Unsaved }),
	newStat("token_flights_total", "Requests to the provider that spent a refresh token.",
		prometheus.CounterValue, func(s tokenward.Stats) int64 { return s.TokenFlights }),
	newStat("sessions_loaded_total", "Sessions read from the store.",
		prometheus.CounterValue, func(s tokenward.Stats) int64 { return s.Loads }),
	newStat("save_errors_total", "Writes to the store that failed at the first try.",
		prometheus.CounterValue, func(s tokenward.Stats) int64 { return s.SaveErrors }),
	newStat("ceilings_total", "Sessions ended by their ceiling.",
		prometheus.CounterValue, func(s tokenward.Stats) int64 { return s.Ceilings }),
	newStat("records_unreadable_total", "Records that no configured secret opens.",
		prometheus.CounterValue, func(s tokenward.Stats) int64 { return s.Unreadable }),
	newStat("sessions_lost_total", "Sessions whose refresh token a crash has cost.",
		prometheus.CounterValue, func(s tokenward.Stats) int64 { return s.Lost }),
	newStat("records_vanished_total", "Records that the store lost: nobody had ended the session.",
		prometheus.CounterValue, func(s tokenward.Stats) int64 { return s.Vanished }),
	newStat("stale_answers_total", "Answers from memory while a shared store did not answer.",
		prometheus.CounterValue, func(s tokenward.Stats) int64 { return s.Stale }),
	newStat("failures_total", "Defects that were contained.",
		prometheus.CounterValue, func(s tokenward.Stats) int64 { return s.Failures }),
}

// Describe implements prometheus.Collector.
func (c clientStats) Describe(to chan<- *prometheus.Desc) {
	for _, s := range clientStatsShown {
		to <- s.desc
	}
}

// Collect implements prometheus.Collector.
func (c clientStats) Collect(to chan<- prometheus.Metric) {
	now := c.client.Stats()
	for _, s := range clientStatsShown {
		to <- prometheus.MustNewConstMetric(s.desc, s.kind, float64(s.of(now)))
	}
}
