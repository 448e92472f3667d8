package test_test

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/internal/testing/source"
)

// The tests that docs/security.md names are there, in this module or in one inside it.
func TestDocs_nameTestsThatExist(t *testing.T) {
	declared, there := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`), make(map[string]bool)
	files := os.DirFS(source.Root(t))
	if err := fs.WalkDir(files, ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := fs.ReadFile(files, name)
		for _, m := range declared.FindAllSubmatch(text, -1) {
			there[string(m[1])] = true
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	page, err := fs.ReadFile(files, "docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)\\w+)`").FindAllSubmatch(page, -1)
	if len(named) < 30 {
		t.Errorf("docs/security.md names %d tests, want 30 or more", len(named))
	}
	for _, m := range named {
		if name := string(m[1]); !there[name] {
			t.Errorf("docs/security.md names %s, which is not there", name)
		}
	}
}
