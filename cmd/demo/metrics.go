package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	tokenwardprom "github.com/tokenward/tokenward/observe/prometheus"
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
	r.MustRegister(a.counts.requests, a.counts.burstCalls, a.observed, tokenwardprom.NewCollector(a.client))
	return r
}

func (a *app) metrics() http.Handler {
	return promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{})
}
