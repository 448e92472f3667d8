package prometheus_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

// dashboard is what the tests look at of observe/grafana/dashboard.json.
type dashboard struct {
	Title      string
	Templating struct{ List []struct{ Name string } }
	Panels     []struct {
		Title   string
		GridPos struct{ H, W, X, Y int }
		Targets []struct{ Expr, LegendFormat string }
	}
}

func load(t *testing.T) (d dashboard) {
	t.Helper()
	raw, err := os.ReadFile("../grafana/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

var (
	metricName = regexp.MustCompile(`\btokenward_[a-z0-9_]+`)
	grouping   = regexp.MustCompile(`by \(([^)]*)\)`)
	matcher    = regexp.MustCompile(`([a-z]+)=~?"`)
	legend     = regexp.MustCompile(`{{([a-z]+)}}`)
)

// Each query of the dashboard names metrics that a real run exposes, and labels that these have.
func TestDashboard_showsWhatIsExposed(t *testing.T) {
	exposed, d := run(t), load(t)
	if len(d.Panels) < 10 || d.Title == "" {
		t.Fatalf("a dashboard of %d panels", len(d.Panels))
	}
	for _, p := range d.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("%s: no query", p.Title)
		}
		for _, target := range p.Targets {
			names := metricName.FindAllString(target.Expr, -1)
			if len(names) == 0 {
				t.Errorf("%s: %q names no metric", p.Title, target.Expr)
			}
			labels := map[string]bool{"job": true}
			for _, name := range names {
				f := family(exposed, name)
				if f == nil {
					t.Errorf("%s: %s is not exposed", p.Title, name)
					continue
				}
				for _, m := range f.GetMetric() {
					for _, l := range m.GetLabel() {
						labels[l.GetName()] = true
					}
				}
				labels["le"] = labels["le"] || strings.HasSuffix(name, "_bucket")
			}
			for _, label := range labelsIn(target.Expr, target.LegendFormat) {
				if !labels[label] {
					t.Errorf("%s: %q uses the label %s, which its metrics do not have", p.Title, target.Expr, label)
				}
			}
		}
	}
}

// family returns the metric that a series in a query belongs to.
func family(exposed map[string]*dto.MetricFamily, series string) *dto.MetricFamily {
	if f := exposed[series]; f != nil && f.GetType() != dto.MetricType_HISTOGRAM {
		return f
	}
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		if name, ok := strings.CutSuffix(series, suffix); ok && exposed[name].GetType() == dto.MetricType_HISTOGRAM {
			return exposed[name]
		}
	}
	return nil
}

func labelsIn(expr, legendFormat string) (labels []string) {
	for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
		for _, l := range strings.Split(g[1], ",") {
			labels = append(labels, strings.TrimSpace(l))
		}
	}
	for _, m := range matcher.FindAllStringSubmatch(expr, -1) {
		labels = append(labels, m[1])
	}
	for _, m := range legend.FindAllStringSubmatch(legendFormat, -1) {
		labels = append(labels, m[1])
	}
	return labels
}

// Prometheus itself parses each query, where its promtool is installed; elsewhere brackets are matched.
func TestDashboard_queriesParse(t *testing.T) {
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	n := 0
	for _, p := range load(t).Panels {
		for _, target := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "1m", "$job", ".*").Replace(target.Expr)
			if strings.Contains(expr, "$") || !balanced(expr) {
				t.Errorf("%s: %q", p.Title, target.Expr)
			}
			n++
			fmt.Fprintf(&rules, "  - record: q%d\n    expr: %q\n", n, expr)
		}
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Log("promtool is not here: on Debian it is in the package prometheus")
		return
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func balanced(expr string) bool {
	var open []rune
	pairs := map[rune]rune{')': '(', ']': '[', '}': '{'}
	for _, r := range expr {
		switch r {
		case '(', '[', '{':
			open = append(open, r)
		case ')', ']', '}':
			if len(open) == 0 || open[len(open)-1] != pairs[r] {
				return false
			}
			open = open[:len(open)-1]
		}
	}
	return len(open) == 0
}
