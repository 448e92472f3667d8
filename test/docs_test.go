package test_test

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/internal/testing/source"
)

// pages are the documents that name tests and files, with how many tests each names at least.
var pages = map[string]int{
	"README.md": 12, "ARCHITECTURE.md": 30, "CHANGELOG.md": 0, "CONTRIBUTING.md": 0, "SECURITY.md": 0, "bench/README.md": 0, "examples/README.md": 0,
	"docs/administration.md": 0, "docs/calling-apis.md": 1, "docs/choosing-a-store.md": 0, "docs/concepts.md": 0, "docs/dependencies.md": 0,
	"docs/limits.md": 0, "docs/migrating.md": 0, "docs/observing.md": 0, "docs/providers.md": 0, "docs/quick-start.md": 0, "docs/reliability.md": 2,
	"docs/security.md": 30, "docs/security-events.md": 0, "docs/several-processes.md": 0,
}

var (
	declaration = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	namedTest   = regexp.MustCompile(`(-run )?\b((?:Test|Fuzz|Benchmark)[A-Z]\w*)(\*)?`)
	namedFile   = regexp.MustCompile("`([\\w/.-]+\\.go)`")
	link        = regexp.MustCompile(`\[([^\]\n]+)\]\(([^)#:\n]+)\)`)
)

// Each test that a page names is there, in this module or in one inside it. A name before a *, or after -run, is the
// beginning of one.
func TestDocs_nameTestsThatExist(t *testing.T) {
	files := os.DirFS(source.Root(t))
	there := make(map[string]string) // tests, and the texts of their files
	if err := fs.WalkDir(files, ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := fs.ReadFile(files, name)
		for _, m := range declaration.FindAllSubmatch(text, -1) {
			there[string(m[1])] = string(text)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	begins := func(start string) bool {
		for name := range there {
			if strings.HasPrefix(name, start) {
				return true
			}
		}
		return false
	}
	for page, least := range pages {
		named := namedTest.FindAllStringSubmatch(read(t, files, page), -1)
		if len(named) < least {
			t.Errorf("%s names %d tests, want %d or more", page, len(named), least)
		}
		for _, m := range named {
			if name := m[2]; there[name] == "" && (m[1]+m[3] == "" || !begins(name)) {
				t.Errorf("%s names %s, which is not there", page, name)
			}
		}
	}
}

// Each file that a page names is there, by its path from the root, or from the page. So is where each link leads, and a test is in
// the file that its link leads to.
func TestDocs_nameFilesThatExist(t *testing.T) {
	files := os.DirFS(source.Root(t))
	for page := range pages {
		text := read(t, files, page)
		for _, m := range namedFile.FindAllStringSubmatch(text, -1) {
			if _, err := fs.Stat(files, m[1]); err != nil {
				if _, err = fs.Stat(files, path.Join(path.Dir(page), m[1])); err != nil {
					t.Errorf("%s names %s: %v", page, m[1], err)
				}
			}
		}
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			to := path.Join(path.Dir(page), m[2])
			if _, err := fs.Stat(files, to); err != nil {
				t.Errorf("%s has a link to %s: %v", page, m[2], err)
			} else if strings.HasPrefix(m[1], "Test") && !strings.Contains(read(t, files, to), "func "+m[1]+"(") {
				t.Errorf("%s: %s is not in %s", page, m[1], m[2])
			}
		}
	}
}

// ARCHITECTURE.md shows the table that the session actor is written to.
func TestDocs_showTheTableOfStates(t *testing.T) {
	files := os.DirFS(source.Root(t))
	_, table, _ := strings.Cut(read(t, files, "actors/states.go"), "//\t| event |")
	table, _, found := strings.Cut("| event |"+strings.ReplaceAll(table, "\n//\t", "\n"), "\n//\n")
	if !found || !strings.Contains(read(t, files, "ARCHITECTURE.md"), table) {
		t.Errorf("ARCHITECTURE.md has not this table, of actors/states.go:\n%s", table)
	}
}

// The map of ARCHITECTURE.md is that of imports_test.go: the same rooms in the same order.
func TestDocs_showTheMap(t *testing.T) {
	files := os.DirFS(source.Root(t))
	rooms := func(text, from, to, room string) (list []string) {
		_, text, _ = strings.Cut(text, from)
		text, _, _ = strings.Cut(text, to)
		for _, m := range regexp.MustCompile(room).FindAllStringSubmatch(text, -1) {
			list = append(list, path.Clean("./"+m[1]))
		}
		return list
	}
	shown := rooms(read(t, files, "ARCHITECTURE.md"), "## The map", "\n## ", "(?m)^\\| `([a-z/]+)/`|^\\| `/`")
	want := rooms(read(t, files, "imports_test.go"), "var theMap = []string{", "}", `"([a-z/.]+)"`)
	if !slices.Equal(shown, want) {
		t.Errorf("ARCHITECTURE.md shows the map\n%q, want\n%q", shown, want)
	}
}

// Each promise has one test.
func TestDocs_eachPromiseHasOneTest(t *testing.T) {
	promises := regexp.MustCompile(`(?m)^\| P\d+ \|.*$`).FindAllString(read(t, os.DirFS(source.Root(t)), "README.md"), -1)
	if len(promises) != 12 {
		t.Errorf("README.md has %d promises, want 12", len(promises))
	}
	for _, p := range promises {
		if tests := link.FindAllString(p, -1); len(tests) != 1 || !strings.HasPrefix(tests[0], "[Test") {
			t.Errorf("tests %v, want one: %s", tests, p)
		}
	}
}

func read(t *testing.T, files fs.FS, name string) string {
	t.Helper()
	text, err := fs.ReadFile(files, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
