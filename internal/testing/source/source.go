// Package source reads this repository's own source code, for tests that hold the code to a rule.
package source

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// File is one parsed file.
type File struct {
	Path string // from the root, with slashes
	Fset *token.FileSet
	AST  *ast.File
}

// Root returns the root of the repository: the folder of go.work.
func Root(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOWORK").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
}

// Modules returns the folders of the modules that go.work names, from the root.
func Modules(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root(t), "go.work"))
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for line := range strings.Lines(string(text)) {
		if folder, ok := strings.CutPrefix(strings.TrimSpace(line), "./"); ok {
			folders = append(folders, folder)
		}
	}
	return folders
}

// Files returns the files under a folder, without tests and without modules that go.work does not name. "."
// is the root. A folder that is not there has no files.
func Files(t testing.TB, folder string) []File {
	t.Helper()
	return files(t, folder, func(name string) bool { return !strings.HasSuffix(name, "_test.go") })
}

// WithTests returns what Files returns, and the tests too.
func WithTests(t testing.TB, folder string) []File {
	t.Helper()
	return files(t, folder, func(string) bool { return true })
}

func files(t testing.TB, folder string, want func(name string) bool) (files []File) {
	t.Helper()
	root, modules := os.DirFS(Root(t)), Modules(t)
	err := fs.WalkDir(root, folder, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && name == folder:
			return fs.SkipAll
		case err != nil:
			return err
		case entry.IsDir() && name != ".":
			_, nested := fs.Stat(root, path.Join(name, "go.mod"))
			if nested == nil && !slices.Contains(modules, name) || strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" {
				return fs.SkipDir
			}
		case strings.HasSuffix(name, ".go") && want(name):
			text, err := fs.ReadFile(root, name)
			if err != nil {
				return err
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			files = append(files, File{name, fset, file})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
