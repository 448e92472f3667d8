package test_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/internal/testing/source"
)

// P10: whatever actors say to each other prints nothing of what it carries, so that no log
// of dead letters, no panic and no debugger of the actor library shows it. A type counts as
// a message where it is sent, or where an actor tells messages apart.
func TestMessages_areRedacted(t *testing.T) {
	declared, found, prints := make(map[string]*ast.StructType), make(map[string]bool), make(map[string]bool)
	for _, folder := range []string{"messages", "actors", "supervisor", "internal/lookup", "."} {
		for _, file := range source.Files(t, folder) {
			if folder == "." && strings.Contains(file.Path, "/") {
				continue
			}
			maps.Copy(declared, structsOf(file.AST))
			maps.Copy(prints, printing(file.AST))
			for _, name := range messagesIn(file.AST, folder != ".") {
				found[name] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		of, ours := declared[name]
		if !ours {
			continue // the actor library's own, or not a struct
		}
		if problem := redacted(of); problem != "" {
			t.Errorf("%s %s", name, problem)
		}
		if prints[name] {
			t.Errorf("%s has a method of its own that prints it", name)
		}
	}
	for _, name := range []string{"messages.NeedToken", "messages.ReplaceSession", "messages.Adopt", "actors.providerAnswered", "actors.opDone", "supervisor.loaded", "supervisor.dueNow"} {
		if !found[name] {
			t.Errorf("%s was not found to be a message", name)
		}
	}
	if len(found) < 30 {
		t.Errorf("only %d messages were found: %v", len(found), slices.Sorted(maps.Keys(found)))
	}
}

func TestMessagesIn(t *testing.T) {
	tests := []struct{ code, want string }{
		{"switch m.(type) { case *a: case b, *messages.C: }", "p.a p.b messages.C"},
		{"switch ctx.Message().(type) { case *actor.Started: case *a: }", "actor.Started p.a"},
		{"x.send(pid, &a{n: 1})", "p.a"},
		{"x.tell(messages.C{})", "messages.C"},
		{"root.Send(pid, &messages.C{})", "messages.C"},
		{"system.Root.Request(pid, &a{})", "p.a"},
		{"c.do(tell{&messages.C{}})", "messages.C"},
		{"c.do(effect{&messages.Snapshot{}})", ""},
		{"f(&a{})", ""},
	}
	for _, tt := range tests {
		file, err := parser.ParseFile(token.NewFileSet(), "p.go", "package p\nfunc f() { "+tt.code+" }", parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%s: %v", tt.code, err)
			continue
		}
		if got := strings.Join(messagesIn(file, true), " "); got != tt.want {
			t.Errorf("%s: messages = %q, want %q", tt.code, got, tt.want)
		}
	}
	for _, tt := range []struct {
		fields string
		good   bool
	}{
		{"Redacted; n int", true},
		{"messages.Redacted", true},
		{"n int", false},
		{"*Redacted", false},
		{"Redacted; time.Time", false}, // two that print: neither does
		{"r Redacted", false},
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "p.go", "package p\ntype a struct { "+tt.fields+" }", parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := redacted(structsOf(file)["p.a"]); (got == "") != tt.good {
			t.Errorf("struct { %s }: %q", tt.fields, got)
		}
	}
}

// structsOf returns the structs that a file declares.
func structsOf(file *ast.File) map[string]*ast.StructType {
	all := make(map[string]*ast.StructType)
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok {
			if of, ok := spec.Type.(*ast.StructType); ok {
				all[file.Name.Name+"."+spec.Name.Name] = of
			}
		}
		return true
	})
	return all
}

// printing returns the types that have a method of their own by which they are printed.
func printing(file *ast.File) map[string]bool {
	all := make(map[string]bool)
	for _, decl := range file.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if ok && fn.Recv != nil && slices.Contains([]string{"Format", "String", "GoString", "Error", "LogValue", "MarshalJSON", "MarshalText", "IgnoreDeadLetterLogging"}, fn.Name.Name) {
			all[typeName(file, fn.Recv.List[0].Type)] = true
		}
	}
	return all
}

// sends are the functions that take messages; tell is an effect as well.
var sends = []string{"send", "Send", "tell", "command", "handle", "Request", "RequestWithCustomSender", "Respond", "Forward"}

// messagesIn returns the types that a file sends, and, of an actor's, those that it tells
// apart in a type switch.
func messagesIn(file *ast.File, actors bool) (names []string) {
	add := func(e ast.Expr) {
		if name := typeName(file, e); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	literal := func(e ast.Expr) {
		if u, ok := e.(*ast.UnaryExpr); ok && u.Op == token.AND {
			e = u.X
		}
		if lit, ok := e.(*ast.CompositeLit); ok {
			add(lit.Type)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if strings.HasPrefix(n.Name.Name, "carryOut") {
				return false // what it tells apart are effects
			}
		case *ast.TypeSwitchStmt:
			for _, clause := range n.Body.List {
				for _, e := range clause.(*ast.CaseClause).List {
					if actors {
						add(e)
					}
				}
			}
		case *ast.CallExpr:
			if slices.Contains(sends, lastName(n.Fun)) {
				for _, arg := range n.Args {
					literal(arg)
				}
			}
		case *ast.CompositeLit:
			if slices.Contains(sends, lastName(n.Type)) {
				for _, e := range n.Elts {
					literal(e)
				}
			}
		}
		return true
	})
	return names
}

func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// typeName returns the name of a type, or of what it points to, with its package; "" for
// one that has none.
func typeName(file *ast.File, e ast.Expr) string {
	if p, ok := e.(*ast.StarExpr); ok {
		e = p.X
	}
	switch e := e.(type) {
	case *ast.Ident:
		return file.Name.Name + "." + e.Name
	case *ast.SelectorExpr:
		if pkg, ok := e.X.(*ast.Ident); ok {
			return pkg.Name + "." + e.Sel.Name
		}
	}
	return ""
}

// redacted returns the fault of a message's declaration: it must embed Redacted, and
// nothing else, for of two embedded types that print neither would be asked.
func redacted(of *ast.StructType) string {
	embeds := false
	for _, field := range of.Fields.List {
		if len(field.Names) > 0 {
			continue
		}
		if _, pointer := field.Type.(*ast.StarExpr); pointer || lastName(field.Type) != "Redacted" {
			return "embeds something beside Redacted, which may print"
		}
		embeds = true
	}
	if !embeds {
		return "is a message and does not embed messages.Redacted"
	}
	return ""
}
