package prometheus_test

import (
	"context"
	"fmt"
	"strings"

	prom "github.com/prometheus/client_golang/prometheus"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/observe/prometheus"
)

func ExampleNewMetrics() {
	m := prometheus.NewMetrics()
	client, err := tokenward.New(tokenward.Config{
		Issuer: "https://id.example", ClientID: "app", ClientSecret: "s3cret", RedirectURI: "https://app.example/auth/callback",
		Secrets: []string{"thirty-two bytes or more, and random"},
	}, tokenward.WithObserver(m.Observer()))
	if err != nil {
		panic(err)
	}
	defer client.Close(context.Background()) //nolint:errcheck // the example ends here
	r := prom.NewRegistry()
	r.MustRegister(m, prometheus.NewCollector(client)) // and serve it with promhttp.HandlerFor(r, …)
	families, _ := r.Gather()
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "tokenward_sessions_") {
			fmt.Println(f.GetName())
		}
	}
	// Output:
	// tokenward_sessions_active
	// tokenward_sessions_loaded_total
	// tokenward_sessions_lost_total
	// tokenward_sessions_resident
	// tokenward_sessions_unsaved
}
