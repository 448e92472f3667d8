package source_test

import (
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/internal/testing/source"
)

// inner are the packages that applications and stores need not import by name.
var inner = []string{"actors", "idp", "messages", "session", "supervisor"}

// What the comments of the root package and of Client name as an operation or option stands in one of the package's Examples, and each
// package that others import has an Example.
func TestExamples_ofEachCapability(t *testing.T) {
	files := source.WithTests(t, ".")
	shown := make(map[string]map[string]bool) // by folder, the names that its Examples use
	for _, file := range files {
		folder := path.Dir(file.Path)
		for _, decl := range file.AST.Decls {
			d, ok := decl.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(d.Name.Name, "Example") || !strings.HasSuffix(file.Path, "_test.go") {
				continue
			}
			if shown[folder] == nil {
				shown[folder] = make(map[string]bool)
			}
			ast.Inspect(d, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					shown[folder][id.Name] = true
				}
				return true
			})
		}
	}
	for _, file := range files {
		folder := path.Dir(file.Path)
		if importable(file, folder) && !slices.Contains(inner, folder) && shown[folder] == nil {
			shown[folder] = make(map[string]bool) // said once
			t.Errorf("%s has no Example", folder)
		}
		var comments []*ast.CommentGroup
		switch file.Path {
		case "doc.go":
			comments = append(comments, file.AST.Doc)
		case "client.go":
			comments = append(comments, commentOf(file, "Client"))
		}
		for _, comment := range comments {
			for _, m := range regexp.MustCompile(`\[(?:\w+\.)?(\w+)\]`).FindAllStringSubmatch(comment.Text(), -1) {
				if !shown["."][m[1]] {
					t.Errorf("%s names %s, which no Example shows", file.Path, m[0])
				}
			}
		}
	}
}

// The comment of Option lists each option.
func TestOptions_areListed(t *testing.T) {
	var listed string
	var options []string
	for _, file := range rootFiles(t) {
		for _, decl := range file.AST.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && strings.HasPrefix(d.Name.Name, "With") {
					options = append(options, d.Name.Name)
				}
			case *ast.GenDecl:
				if spec, ok := d.Specs[0].(*ast.TypeSpec); ok && spec.Name.Name == "Option" {
					listed = d.Doc.Text()
				}
			}
		}
	}
	for _, name := range options {
		if !strings.Contains(listed, "["+name+"]") {
			t.Errorf("the comment of Option does not list %s", name)
		}
	}
}

// commentOf returns the comment of a type.
func commentOf(file source.File, name string) (doc *ast.CommentGroup) {
	ast.Inspect(file.AST, func(n ast.Node) bool {
		if d, ok := n.(*ast.GenDecl); ok && len(d.Specs) > 0 {
			if spec, ok := d.Specs[0].(*ast.TypeSpec); ok && spec.Name.Name == name {
				doc = d.Doc
			}
		}
		return true
	})
	return doc
}
