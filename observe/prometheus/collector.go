// Package prometheus shows what a client of tokenward does as metrics for Prometheus. Their names begin with tokenward_.
//
// NewCollector shows what the client counts by itself. NewMetrics observes the client, and adds calls, flights, requests and
// store operations, with their times. Register both: their names differ.
package prometheus

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tokenward/tokenward"
)

// NewCollector returns a collector of client.Stats. It is safe for concurrent use, also after the client was closed.
func NewCollector(client *tokenward.Client) prometheus.Collector { return clientStats{client} }

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
	newStat("sessions_active", "Of the sessions in memory, those that have something to do.",
		prometheus.GaugeValue, func(s tokenward.Stats) int64 { return s.Active }),
	newStat("sessions_unsaved", "Sessions whose newest state the store does not have, after a failure.",
		prometheus.GaugeValue, func(s tokenward.Stats) int64 { return s.Unsaved }),
	newStat("token_hits_total", "Access tokens from the cache; counted where the client has an observer.",
		prometheus.CounterValue, func(s tokenward.Stats) int64 { return s.Hits }),
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
	newStat("retries_total", "Requests sent again for the same callers.",
		prometheus.CounterValue, func(s tokenward.Stats) int64 { return s.Retries }),
	newStat("requests_paced", "Requests that wait, for their provider has answered 429.",
		prometheus.GaugeValue, func(s tokenward.Stats) int64 { return s.Paced }),
	newStat("breakers_open", "Providers that do not work.",
		prometheus.GaugeValue, func(s tokenward.Stats) int64 { return s.BreakersOpen }),
	newStat("requests_refused_total", "Requests that were not sent, for their provider does not work.",
		prometheus.CounterValue, func(s tokenward.Stats) int64 { return s.Refused }),
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
