package main

import (
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// panel has the drawn lines of a panel of the dashboard.
type panel struct {
	Title       string
	Description string
	FieldConfig struct{ Defaults struct{ Unit string } }
	Targets     []struct{ Expr, LegendFormat string }
}

// line is one series of a chart.
type line struct {
	name   string
	points [][2]float64 // seconds since the start, value
}

// draw writes the page.
func draw(dashboard, to string, from, until time.Time) error {
	raw, err := os.ReadFile(dashboard)
	if err != nil {
		return err
	}
	var d struct {
		Title  string
		Panels []panel
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<!doctype html><meta charset="utf-8"><title>%s</title><style>
body{margin:0;padding:14px;background:#111217;color:#ccccdc;font:13px system-ui,sans-serif}
h1{font-size:16px;font-weight:500;margin:0 0 10px}h1 small{color:#8e8e9a;font-weight:400;margin-left:10px}
main{display:grid;grid-template-columns:repeat(3,1fr);gap:8px}
section{background:#181b1f;border:1px solid #25272e;border-radius:2px;padding:8px}
h2{font-size:13px;font-weight:500;margin:0 0 4px}ul{list-style:none;margin:4px 0 0;padding:0;font-size:11px;display:flex;flex-wrap:wrap;gap:2px 10px;height:30px;overflow:hidden}
i{display:inline-block;width:10px;height:3px;margin-right:5px;vertical-align:middle}text{fill:#8e8e9a;font-size:10px}
</style><h1>%s<small>the demo under load, %s: each panel's query, answered by a Prometheus server that scraped /metrics</small></h1><main>`,
		html.EscapeString(d.Title), html.EscapeString(d.Title), until.Sub(from).Round(time.Second))
	for _, p := range d.Panels {
		lines, err := ask(p, from, until)
		if err != nil {
			return fmt.Errorf("%s: %w", p.Title, err)
		}
		chart(&b, p, lines, until.Sub(from).Seconds())
	}
	b.WriteString("</main>\n")
	return os.WriteFile(to, []byte(b.String()), 0o600)
}

var legend = regexp.MustCompile(`{{\s*(\w+)\s*}}`)

// ask asks the Prometheus server the queries of p.
func ask(p panel, from, until time.Time) (lines []line, err error) {
	for _, t := range p.Targets {
		expr := strings.NewReplacer("$__rate_interval", "10s", "$job", ".*").Replace(t.Expr)
		q := url.Values{"query": {expr}, "step": {"1"}, "start": {stamp(from)}, "end": {stamp(until)}}
		status, body, err := get(http.DefaultClient, "http://"+prometheusAddress+"/api/v1/query_range?"+q.Encode())
		if err != nil {
			return nil, err
		}
		var answer struct {
			Error string
			Data  struct {
				Result []struct {
					Metric map[string]string
					Values [][2]any
				}
			}
		}
		if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusOK {
			return nil, fmt.Errorf("%q: %d %s %w", expr, status, answer.Error, err)
		}
		for _, r := range answer.Data.Result {
			l := line{name: legend.ReplaceAllStringFunc(t.LegendFormat, func(m string) string { return r.Metric[legend.FindStringSubmatch(m)[1]] })}
			for _, v := range r.Values {
				at, _ := v[0].(float64)
				text, _ := v[1].(string)
				if value, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(value) && !math.IsInf(value, 0) {
					l.points = append(l.points, [2]float64{at - float64(from.UnixMilli())/1000, value})
				}
			}
			if len(l.points) > 0 {
				lines = append(lines, l)
			}
		}
	}
	return lines, nil
}

func stamp(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

var colours = []string{"#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#b877d9", "#fade2a", "#e02f44", "#8ab8ff", "#37872d", "#ffa6b0"}

// chart draws one panel.
func chart(b *strings.Builder, p panel, lines []line, seconds float64) {
	const width, height, left, bottom = 460.0, 170.0, 46.0, 16.0
	most := 0.0
	for _, l := range lines {
		for _, at := range l.points {
			most = max(most, at[1])
		}
	}
	if most == 0 {
		most = 1
	}
	fmt.Fprintf(b, `<section><h2>%s</h2><svg viewBox="0 0 %v %v" width="100%%">`, html.EscapeString(p.Title), width, height)
	x := func(s float64) float64 { return left + (width-left-4)*s/seconds }
	y := func(v float64) float64 { return height - bottom - (height-bottom-8)*v/most }
	for i := range 5 {
		v := most * float64(i) / 4
		fmt.Fprintf(b, `<path d="M%.1f %.1fH%.1f" stroke="#25272e"/><text x="%.1f" y="%.1f" text-anchor="end">%s</text>`, left, y(v), width-4, left-5, y(v)+3, unit(v, p.FieldConfig.Defaults.Unit))
	}
	for s := 0.0; s <= seconds; s += 30 {
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">%d:%02d</text>`, x(s), height-3, int(s)/60, int(s)%60)
	}
	names := map[string]string{}
	for i, l := range lines {
		colour := colours[i%len(colours)]
		names[l.name] = colour
		fmt.Fprintf(b, `<path fill="none" stroke="%s" stroke-width="1.3" d="`, colour)
		before := math.Inf(-1)
		for _, at := range l.points {
			command := "L"
			if at[0]-before > 5 {
				command = "M"
			}
			fmt.Fprintf(b, "%s%.1f %.1f", command, x(at[0]), y(at[1]))
			before = at[0]
		}
		b.WriteString(`"/>`)
	}
	b.WriteString("</svg><ul>")
	for _, name := range slices.Sorted(maps.Keys(names)) {
		fmt.Fprintf(b, `<li><i style="background:%s"></i>%s</li>`, names[name], html.EscapeString(name))
	}
	b.WriteString("</ul></section>")
}

// unit writes a value with its unit.
func unit(v float64, kind string) string {
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }
	switch {
	case kind == "s" && v > 0 && v < 1e-3:
		return number(v*1e6) + " µs"
	case kind == "s" && v > 0 && v < 1:
		return number(v*1e3) + " ms"
	case kind == "s":
		return number(v) + " s"
	case v >= 1000:
		return number(v/1000) + "k" + map[string]string{"ops": "/s"}[kind]
	}
	return number(v) + map[string]string{"ops": "/s"}[kind]
}
