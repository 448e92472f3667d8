package source_test

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/internal/testing/source"
)

var (
	quoted  = regexp.MustCompile("`([^`\n]+)`")
	located = regexp.MustCompile("`(\\w+)`\\s+(?:\\(|in\\s+)`([\\w/]+\\.go)`") // `name` (`file.go`), or `name` in `file.go`
	aTest   = regexp.MustCompile(`^Test\w*\*?$`)
	aPath   = regexp.MustCompile(`^[\w.-]*/[\w./-]*$|^\w+\.(go|work|mod|md)$`)
)

// ARCHITECTURE.md names only files, folders, functions and tests that exist.
func TestArchitecture_namesWhatExists(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(source.Root(t), "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	inFile := make(map[string]map[string]bool) // by file, what it declares at the top
	var tests []string
	for _, file := range source.WithTests(t, ".") {
		names := make(map[string]bool)
		for _, d := range file.AST.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				names[d.Name.Name] = true
				if d.Recv == nil && strings.HasPrefix(d.Name.Name, "Test") {
					tests = append(tests, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					for _, id := range declared(s) {
						names[id.Name] = true
					}
				}
			}
		}
		inFile[file.Path] = names
	}
	for _, m := range quoted.FindAllStringSubmatch(string(text), -1) {
		switch name := m[1]; {
		case aTest.MatchString(name):
			if !named(tests, name) {
				t.Errorf("there is no test %s", name)
			}
		case aPath.MatchString(name):
			if _, err := os.Stat(filepath.Join(source.Root(t), filepath.FromSlash(path.Clean(name)))); err != nil {
				t.Errorf("there is no %s", name)
			}
		}
	}
	for _, m := range located.FindAllStringSubmatch(string(text), -1) {
		if names := inFile[m[2]]; names != nil && !names[m[1]] {
			t.Errorf("%s has no %s", m[2], m[1])
		}
	}
}

// named reports whether one of the tests has that name; a name that ends in * stands for all that begin so.
func named(tests []string, name string) bool {
	prefix, some := strings.CutSuffix(name, "*")
	for _, test := range tests {
		if test == name || some && strings.HasPrefix(test, prefix) {
			return true
		}
	}
	return false
}
