package messages

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"testing"
)

// The package comment says of every message who sends it and how it is answered. A message is a struct that embeds
// Redacted.
func TestDoc_namesEveryMessage(t *testing.T) {
	fset := token.NewFileSet()
	doc, err := parser.ParseFile(fset, "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(fset, "commands.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	messages := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if of, ok := spec.Type.(*ast.StructType); ok && redacted(of) {
			messages++
			if !regexp.MustCompile(`\b` + spec.Name.Name + `\b`).MatchString(doc.Doc.Text()) {
				t.Errorf("%s is not in the package comment", spec.Name.Name)
			}
		}
		return false
	})
	if messages < 15 {
		t.Errorf("only %d messages were found", messages)
	}
}

func redacted(of *ast.StructType) bool {
	for _, field := range of.Fields.List {
		if name, ok := field.Type.(*ast.Ident); ok && len(field.Names) == 0 && name.Name == "Redacted" {
			return true
		}
	}
	return false
}
