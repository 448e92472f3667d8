package bench

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
)

const (
	rounds = 40                    // each contender's turns in one row of hits
	turn   = 10 * time.Millisecond // of hits
)

// table is what BenchmarkTable found. TestMain prints it at the end.
var table strings.Builder

func TestMain(m *testing.M) {
	code := m.Run()
	if table.Len() > 0 {
		fmt.Print(table.String())
	}
	os.Exit(code)
}

// BenchmarkTable measures the contenders in turn, many short turns each, and compares the
// best ones: other load on the machine hits all alike.
func BenchmarkTable(b *testing.B) {
	if table.Len() > 0 {
		return
	}
	fmt.Fprintf(&table, "\nEach figure is the best of %d turns or more, taken in turn; %s/%s, %d processors, %s.\n\n",
		rounds/2, runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), runtime.Version())
	hitTable()
	crowdTable(b)
	b.ReportMetric(0, "ns/op")
}

func hitTable() {
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "a hit, ns\tT tokenward\tH handwritten\t+mutex\tReuse\tsingleflight\tR RequestFuture\tT/H\tR/T\t")
	procs := runtime.GOMAXPROCS(0)
	one := all(hitters, 1, 0)
	hitRow(w, "one session, serial", one, 1)
	hitRow(w, "parallel", one, procs)

	l := newLibrary(1, 0, century, clock.System())
	handle := append([]*contender{{ids: ids(l.sessions), hits: l.handleHits(ids(l.sessions))}}, one[1:]...)
	hitRow(w, "by handle, serial", handle, 1)
	hitRow(w, "parallel", handle, procs)
	hits := l.hits(tokenward.TokenRequest{Audience: named, Scope: "read:x write:x"})
	hits(ids(l.sessions), 1)
	hitRow(w, "audience named", []*contender{{ids: ids(l.sessions), hits: hits}, one[1]}, 1)
	hitRow(w, "the application's token", []*contender{{ids: ids(l.sessions), hits: l.machineHits(tokenward.MachineRequest{Audience: named, Scope: "read:x"})}, one[1]}, 1)
	closeAll(one)
	l.Close()

	many := all(hitters, crowdSize, 0)
	for _, c := range many {
		c.ids = shuffled(c.ids)
	}
	hitRow(w, "100,000 sessions, serial", many, 1)
	hitRow(w, "parallel", many, procs)
	closeAll(many)
	must(w.Flush())
}

// bestHits times hits of the contenders in turn, each turn where the last one ended. It returns the best turn of each, in
// nanoseconds for a hit.
func bestHits(list []*contender, procs int) []float64 {
	turns := make([][]float64, len(list))
	n := make([]int, len(list))
	at := make([]int, len(list))
	for i, c := range list { // warms up, and says how many fit into a turn
		n[i] = max(int(turn/(timeHits(c.hits, c.ids, 2000, 1)/2000+1)), 100)
	}
	for range rounds {
		for i, c := range list {
			half := max(len(c.ids)/2, 1)
			took := timeHits(c.hits, c.ids[at[i]:at[i]+half], n[i], procs)
			turns[i] = append(turns[i], float64(took.Nanoseconds())/float64(n[i]*procs))
			if half > 1 {
				at[i] = (at[i] + n[i]) % half
			}
		}
	}
	return bests(turns)
}

// hitRow writes a row of the table.
func hitRow(w io.Writer, title string, list []*contender, procs int) {
	fmt.Fprintf(w, "%s\t", title)
	best := bestHits(list, procs)
	for i := range hitters {
		if i < len(best) {
			fmt.Fprintf(w, "%.0f\t", best[i])
		} else {
			fmt.Fprint(w, "-\t")
		}
	}
	fmt.Fprintf(w, "%.2f\t", best[0]/best[1])
	if len(best) == len(hitters) {
		fmt.Fprintf(w, "%.0f\t\n", best[len(best)-1]/best[0])
	} else {
		fmt.Fprint(w, "-\t\n")
	}
}

// bests returns the best turn of each.
func bests(turns [][]float64) []float64 {
	list := make([]float64, len(turns))
	for i, t := range turns {
		list[i] = slices.Min(t)
	}
	return list
}

// timeHits has procs goroutines make n hits each.
func timeHits(hits func([]string, int), ids []string, n, procs int) time.Duration {
	if procs == 1 {
		from := time.Now()
		hits(ids, n)
		return time.Since(from)
	}
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	ready.Add(procs)
	for range procs {
		done.Go(func() {
			ready.Done()
			<-start
			hits(ids, n)
		})
	}
	ready.Wait()
	from := time.Now()
	close(start)
	done.Wait()
	return time.Since(from)
}

// crowdTable times bursts and storms.
func crowdTable(b *testing.B) {
	b.Helper()
	fmt.Fprintln(&table)
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "a crowd, µs\tT tokenward\tH handwritten\tS +saved\tReuse\tsingleflight\tRequestFuture\tT/H\tT/S\trefreshes of T\t")
	for _, row := range []struct {
		title             string
		sessions, callers int
		latency           time.Duration
	}{
		{"1 caller", 1, 1, 0},
		{"100 callers", 1, 100, 0},
		{"10,000 callers", 1, 10_000, 0},
		{"storm, 1,000 x 10", 1000, 10, 0},
		{"storm, provider takes 20 ms", 1000, 10, 20 * time.Millisecond},
	} {
		list := all(crowds, row.sessions, row.latency)
		turns := make([][]float64, len(list))
		var most int64 // refreshes of ours
		for range turnsOf(row.sessions * row.callers) {
			for i, c := range list {
				c.expire()
				if row.sessions*row.callers >= 1000 {
					runtime.GC() // nobody cleans up after the one before
				}
				c.provider.Refreshes()
				wall, failed := c.crowd(row.callers, Request{})
				if failed > 0 {
					b.Fatalf("%s: %d calls of %s failed", row.title, failed, crowds[i].name)
				}
				if i == 0 {
					most = max(most, c.provider.Refreshes())
				}
				turns[i] = append(turns[i], float64(wall.Nanoseconds())/1000)
			}
		}
		closeAll(list)
		best := bests(turns)
		fmt.Fprintf(w, "%s\t", row.title)
		for _, f := range best {
			fmt.Fprintf(w, "%.0f\t", f)
		}
		fmt.Fprintf(w, "%.2f\t%.2f\t%d\t\n", best[0]/best[1], best[0]/best[2], most)
	}
	must(w.Flush())
}

func turnsOf(calls int) int { return max(rounds/2, min(500, 20_000/calls)) }
