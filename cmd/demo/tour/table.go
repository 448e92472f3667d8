package tour

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// columns are those of the table: 120 characters with the gaps.
var columns = []struct {
	title string
	width int
}{
	{"promise", 23},
	{"what was done", 28},
	{"measured: library", 28},
	{"plain client", 27},
	{"result", 6},
}

const gap = "  "

// notes say how the figures came about.
const notes = `Counts are held against the promise in every run; where runs differ, the smallest and the largest are told.
Milliseconds are wall time from the first call to the last answer, of the best run; the runs of the library and of the
plain client take turns. They are told, not judged.
Plain client: a session store in memory and golang.org/x/sync/singleflight by session and audience. A flight reads the
state again, refreshes, and saves the record with the rotated token. It signs in at the same tenant, by a login of its
own, and checks no signatures. A burst for one audience in one process costs it one request too.
Its store reads and writes whole records, as session stores do: of two flights at once, the later write wins, and a
write after a logout brings the record back. A store with conditional writes would prevent both; its callers would
still wait for the tenant after the logout, and two audiences would still spend one refresh token.
Tenant: rotates refresh tokens, overlap 0, and revokes a session whose spent refresh token is presented again (reuse).`

// writeTable writes one paragraph of aligned text for each row.
func writeTable(w io.Writer, rows []Row) {
	var titles, rules []string
	for _, c := range columns {
		titles, rules = append(titles, c.title), append(rules, strings.Repeat("-", c.width))
	}
	writeRow(w, titles)
	writeRow(w, rules)
	for _, r := range rows {
		verdict := "held"
		if len(r.Broken) > 0 {
			verdict = "BROKEN"
		}
		writeRow(w, []string{r.Promise, r.Done, r.Library, r.Plain, verdict})
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, notes)
	fmt.Fprintln(w)
}

// writeRow writes cells side by side, each wrapped to the width of its column.
func writeRow(w io.Writer, cells []string) {
	lines := make([][]string, len(cells))
	height := 0
	for i, c := range cells {
		lines[i] = wrap(c, columns[i].width)
		height = max(height, len(lines[i]))
	}
	for y := range height {
		var line strings.Builder
		for i, c := range columns {
			var text string
			if y < len(lines[i]) {
				text = lines[i][y]
			}
			line.WriteString(text + strings.Repeat(" ", c.width-utf8.RuneCountInString(text)) + gap)
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// wrap breaks text at white space into lines of at most width characters. A word
// that is longer is cut.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width {
			line += " " + word
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		for r := []rune(word); ; r = r[width:] {
			if len(r) <= width {
				line = string(r)
				break
			}
			lines = append(lines, string(r[:width]))
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// thousands writes n with separators.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// count writes n things: "1 request", "2 requests".
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return thousands(n) + " " + thing
}
