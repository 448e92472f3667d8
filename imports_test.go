package tokenward_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

const modulePath = "github.com/tokenward/tokenward"

// theMap lists the folders from top to bottom, as ARCHITECTURE.md does. A
// request falls down it, so a folder imports only what stands below it. Folders
// inside a folder stand beside it. "." is this one.
var theMap = []string{"httpauth", ".", "supervisor", "actors", "messages", "idp", "store", "clock", "session"}

// offTheMap lists what may import anything, and is imported by nothing on it.
var offTheMap = []string{"bench", "cmd", "internal"}

func TestImportsPointDown(t *testing.T) {
	for _, file := range goFiles(t, ".") {
		folder := path.Dir(file.path)
		if slices.Contains(offTheMap, top(folder)) {
			continue
		}
		if !slices.Contains(theMap, top(folder)) {
			t.Errorf("%s: its folder is not on the map", file.path)
		}
		for _, spec := range file.ast.Imports {
			if to, ours := ourFolder(spec); ours && !mayImport(folder, to) {
				t.Errorf("%s imports %s, which does not stand below it", file.path, to)
			}
		}
	}
}

func TestMayImport(t *testing.T) {
	tests := []struct {
		from, to string
		want     bool
	}{
		{".", "supervisor", true},
		{".", "idp", true},
		{".", "httpauth", false},
		{"httpauth", ".", true},
		{"messages", "session", true},
		{"messages", "actors", false},
		{"clock", "session", true},
		{"session", "clock", false},
		{"store/bolt", "store", true},
		{"store/bolt", "session", true},
		{"store/bolt", "store/redis", false},
		{"store/bolt", "idp", false},
		{"store", "store/bolt", false},
		{"idp", "store/bolt", true},
		{"idp/idptest", "idp", true},
		{"actors", "internal/testing/sim", false},
		{"actors", "elsewhere", false},
	}
	for _, tt := range tests {
		if got := mayImport(tt.from, tt.to); got != tt.want {
			t.Errorf("mayImport(%q, %q) = %v, want %v", tt.from, tt.to, got, tt.want)
		}
	}
}

type goFile struct {
	path string
	fset *token.FileSet
	ast  *ast.File
}

// goFiles returns what is under folder, without tests and nested modules. A
// folder that is not there has no files.
func goFiles(t *testing.T, folder string) (files []goFile) {
	t.Helper()
	err := fs.WalkDir(os.DirFS("."), folder, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && name == folder:
			return fs.SkipAll
		case err != nil:
			return err
		case entry.IsDir() && name != ".":
			_, nested := os.Stat(path.Join(name, "go.mod"))
			if nested == nil || strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" {
				return fs.SkipDir
			}
		case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			files = append(files, goFile{name, fset, file})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// top returns the folder of the map, or off it, that folder is in.
func top(folder string) string {
	first, _, _ := strings.Cut(folder, "/")
	return first
}

// ourFolder returns the folder that an import of this module names.
func ourFolder(spec *ast.ImportSpec) (folder string, ours bool) {
	name := strings.Trim(spec.Path.Value, `"`)
	if name == modulePath {
		return ".", true
	}
	return strings.CutPrefix(name, modulePath+"/")
}

func mayImport(from, to string) bool {
	if strings.HasPrefix(from, to+"/") {
		return true // store/bolt stands on store
	}
	here, there := slices.Index(theMap, top(from)), slices.Index(theMap, top(to))
	return there > here
}
