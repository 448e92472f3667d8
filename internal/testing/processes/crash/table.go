package crash

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// WriteTable prints what campaigns saw, one in a line, and what they saw together.
//
// kills are those of children, or of servers where overlap says so, and some of those of
// children took the store's server with them; in flight counts the
// sessions whose callers had no answer at that moment; in the window are those that were killed
// between the provider's rotation and the save, or whose save the dead server could not take;
// lost ones of them could not be refreshed any more, which their callers were told; presented
// again counts the rotated refresh tokens that recovery presented once more, and reuses those
// of them for which the provider revoked the session.
func WriteTable(w io.Writer, results []Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "store\toverlap\trounds\tkills\twith the server\tin flight\tin the window\trecovered\tlost\ttold\tpresented again\treuses\ttime\t")
	row := func(store, overlap string, r Result) {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%v\t\n", store, overlap, r.Rounds, r.Kills, r.Both, r.InFlight,
			r.Window, r.Recovered, r.Lost, r.Informed, r.Again, r.Reuses, r.Took.Round(time.Second))
	}
	var all Result
	for _, r := range results {
		overlap := r.Overlap.String()
		if r.Server {
			overlap = "server"
		}
		row(string(r.Kind), overlap, r)
		all.Rounds += r.Rounds
		all.Kills += r.Kills
		all.Both += r.Both
		all.InFlight += r.InFlight
		all.Window += r.Window
		all.Recovered += r.Recovered
		all.Lost += r.Lost
		all.Informed += r.Informed
		all.Again += r.Again
		all.Reuses += r.Reuses
		all.Took += r.Took
	}
	row("all", "", all)
	return t.Flush()
}
