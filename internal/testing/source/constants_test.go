package source_test

import (
	"go/ast"
	"go/token"
	"path"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/internal/testing/source"
)

// go doc shows the first constant of a type only, so the comment of the type lists them all. That of Code has their values
// (TestCodes_areOnTheRootsPage).
func TestConstants_areListedByTheirType(t *testing.T) {
	for _, folder := range []string{".", "idp", "idp/idptest", "observe", "signals"} {
		listed, constants := map[string]string{}, map[string][]string{}
		for _, file := range source.Files(t, folder) {
			if path.Dir(file.Path) != folder {
				continue
			}
			for _, decl := range file.AST.Decls {
				if d, ok := decl.(*ast.GenDecl); ok {
					readGroup(d, listed, constants)
				}
			}
		}
		if len(constants) == 0 {
			t.Errorf("%s: no constants found", folder)
		}
		delete(constants, "Code")
		for name, all := range constants {
			for _, constant := range all {
				if !strings.Contains(listed[name], constant) {
					t.Errorf("%s: the comment of %s does not list %s", folder, name, constant)
				}
			}
		}
	}
}

// readGroup notes the comments of the types, and the exported constants by their type, that d declares.
func readGroup(d *ast.GenDecl, listed map[string]string, constants map[string][]string) {
	of := ""
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			listed[s.Name.Name] = d.Doc.Text()
		case *ast.ValueSpec:
			if id, ok := s.Type.(*ast.Ident); ok {
				of = id.Name
			} else if len(s.Values) > 0 {
				of = ""
			}
			if d.Tok == token.CONST && ast.IsExported(of) && ast.IsExported(s.Names[0].Name) {
				constants[of] = append(constants[of], s.Names[0].Name)
			}
		}
	}
}
