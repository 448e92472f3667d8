package source_test

import (
	"go/ast"
	"slices"
	"testing"

	"github.com/tokenward/tokenward/internal/testing/source"
)

// What a session actor remembers from one message to the next: the fields of its core and of the adapter, and of what these
// hold that is one of a kind. A request and a store operation are told apart from it: they are made for one flight and gone with it.
//
// Sixty are enough.
const (
	mostFields   = 60
	mostBooleans = 8
)

var (
	remembers = []string{"core", "Session", "survivor", "lease", "recovery", "throttle", "ending", "updates"}
	fixed     = []string{"rules", "env", "pipe", "supervisor", "self", "entry", "core"} // once the actor has started
)

// The state of a session actor is small enough to be held in mind.
//
//	go test -v -run SessionActor ./internal/testing/source
func TestSessionActor_fields(t *testing.T) {
	structs := make(map[string]*ast.StructType)
	for _, file := range source.Files(t, "actors") {
		ast.Inspect(file.AST, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if s, ok := spec.Type.(*ast.StructType); ok {
					structs[spec.Name.Name] = s
				}
			}
			return true
		})
	}
	fields, booleans := 0, 0
	for _, name := range remembers {
		if structs[name] == nil {
			t.Fatalf("actors has no struct %s", name)
		}
		for _, f := range structs[name].Fields.List {
			of, _ := f.Type.(*ast.Ident)
			for _, id := range f.Names {
				switch {
				case slices.Contains(fixed, id.Name):
				case of != nil && slices.Contains(remembers, of.Name): // counted by its own fields
				case of != nil && of.Name == "bool":
					booleans++
					fields++
				default:
					fields++
				}
			}
		}
	}
	t.Logf("a session actor has %d fields, of these %d booleans", fields, booleans)
	if fields > mostFields || booleans > mostBooleans {
		t.Errorf("a session actor has %d fields, of these %d booleans; want at most %d and %d", fields, booleans, mostFields, mostBooleans)
	}
}
