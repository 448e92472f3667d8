package source_test

import (
	"go/ast"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/internal/testing/source"
)

// Each exported name of a package that others may import, methods among them, is used by another package, a test, an example or a
// document. One that is not is deleted, or written small. A type may be used by what its package declares, and a constant is used
// where another one of its list is: the whole list is what a reader chooses from.
func TestExported_isUsed(t *testing.T) {
	files := source.WithTests(t, ".")
	used := uses(t, files)
	for _, file := range files {
		folder := path.Dir(file.Path)
		if !importable(file, folder) {
			continue
		}
		elsewhere := func(id *ast.Ident) bool {
			return kept[folder+"."+id.Name] != "" || slices.ContainsFunc(used[id.Name], func(by string) bool { return by != folder })
		}
		for _, list := range exportedNames(file) {
			if slices.ContainsFunc(list.names, elsewhere) || list.types && len(used[list.names[0].Name]) > 0 {
				continue
			}
			for _, id := range list.names {
				t.Errorf("%s: nothing uses %s.%s", file.Fset.Position(id.Pos()), folder, id.Name)
			}
		}
	}
}

// kept are names that stay all the same, and why.
var kept = map[string]string{
	"grpcauth.GetRequestMetadata":      "of credentials.PerRPCCredentials",
	"idp/idptest.ScopeSent":            "of ScopeForm, for profiles of one's own",
	"messages.IgnoreDeadLetterLogging": "the actor library looks for it",
	"observe/prometheus.Describe":      "of prometheus.Collector",
}

// importable reports whether a file belongs to a package that other modules may import.
func importable(file source.File, folder string) bool {
	inside := func(room string) bool { return folder == room || strings.HasPrefix(folder, room+"/") }
	return !strings.HasSuffix(file.Path, "_test.go") && file.AST.Name.Name != "main" && !strings.Contains("/"+folder+"/", "/internal/") &&
		!inside("test") && !inside("bench") && !inside("cmd") && !inside("examples") && !inside("peers")
}

// list is a name, or the constants that one declaration lists.
type list struct {
	names []*ast.Ident
	types bool
}

// exportedNames returns what a file declares: package-level names, and methods of exported types.
func exportedNames(file source.File) (lists []list) {
	for _, decl := range file.AST.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && (d.Recv == nil || token.IsExported(receiver(d)) && !slices.Contains(implicit, d.Name.Name)) {
				lists = append(lists, list{names: []*ast.Ident{d.Name}})
			}
		case *ast.GenDecl:
			var constants []*ast.Ident
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.ValueSpec:
					constants = append(constants, s.Names...)
				case *ast.TypeSpec:
					if s.Name.IsExported() {
						lists = append(lists, list{[]*ast.Ident{s.Name}, true})
					}
				}
			}
			constants = slices.DeleteFunc(constants, func(id *ast.Ident) bool { return !id.IsExported() })
			if len(constants) > 0 {
				lists = append(lists, list{names: constants})
			}
		}
	}
	return lists
}

func receiver(d *ast.FuncDecl) string {
	of := d.Recv.List[0].Type
	if p, ok := of.(*ast.StarExpr); ok {
		of = p.X
	}
	if g, ok := of.(*ast.IndexExpr); ok {
		of = g.X
	}
	id, _ := of.(*ast.Ident)
	if id == nil {
		return ""
	}
	return id.Name
}

// uses returns for each name the folders in which it is used but not declared: tests stand beside their folder, documents in "docs". A
// name that two packages have counts for both.
func uses(t *testing.T, files []source.File) map[string][]string {
	used := make(map[string][]string)
	note := func(name, by string) {
		if !slices.Contains(used[name], by) {
			used[name] = append(used[name], by)
		}
	}
	for _, file := range files {
		by := path.Dir(file.Path)
		if strings.HasSuffix(file.Path, "_test.go") {
			by += " (test)"
		}
		declares := make(map[*ast.Ident]bool)
		ast.Inspect(file.AST, func(n ast.Node) bool {
			for _, id := range declared(n) {
				declares[id] = true
			}
			if id, ok := n.(*ast.Ident); ok && id.IsExported() && !declares[id] {
				note(id.Name, by)
			}
			return true
		})
	}
	root := source.Root(t)
	pages, _ := filepath.Glob(filepath.Join(root, "docs/*.md"))
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range regexp.MustCompile(`\b[A-Z]\w+`).FindAllString(string(text), -1) {
			note(word, "docs")
		}
	}
	return used
}
