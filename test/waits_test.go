package test_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/internal/testing/source"
)

// Actors neither wait nor read the time: so a seed replays all they do, and a few workers are
// enough for their turns. What takes time is handed to the Runner; there it may wait.
func TestActorsNeverWait(t *testing.T) {
	for _, folder := range []string{"actors", "supervisor"} {
		for _, found := range waits(source.Files(t, folder)) {
			t.Error(found)
		}
	}
}

// turnImports are what code of an actor's turn may import of the standard library. None of
// them waits.
var turnImports = []string{
	"bytes", "cmp", "container/heap", "container/list", "context", "crypto/sha256", "encoding/binary", "errors", "fmt", "hash/maphash", "io", "iter", "maps", "math", "runtime", "slices", "strconv", "strings", "sync/atomic", "time",
}

func TestWaits(t *testing.T) {
	tests := []struct{ code, want string }{
		{"go f()", "go statement"},
		{"<-c", "receive"},
		{"x := <-c; _ = x", "receive"},
		{"func() { defer func() { <-c }() }()", "receive"},
		{"select { default: }", "select"},
		{"clk.Sleep(1)", "time.Sleep"},
		{"now := clk.Now; _ = now", "time.Now"},
		{"for range a.done { }", "range over a channel"},
		{"for x := range done { }", "range over a channel"},
		{"for x := range a.list { }", ""},
		{"close(c)", ""},
		{"c <- 1", "send"},
		{"m.Reply <- 1", ""}, // each sender brings one of capacity 1
		{"if len(c) == 0 { c <- 1 }", ""},
		{"if len(d) == 0 { c <- 1 }", "send"},
		{"if len(c) == 0 { } else { c <- 1 }", "send"},
		{"x := clk.Unix(1, 0).Add(clk.Second); _ = x", ""},
		{"runtime.Gosched()", ""},
		{"runtime.GC()", "runtime.GC"},
		{"a.clock.Now()", ""},
		{"a.clock.AfterFunc(1, f)", ""},
		{"context.AfterFunc(ctx, f)", "context.AfterFunc"},
		{"context.WithTimeout(ctx, 1)", "context.WithTimeout"},
		{"context.WithDeadline(ctx, t)", "context.WithDeadline"},
		{"context.WithCancel(ctx)", ""},
		{"clock.WithTimeout(ctx, c, 1)", "clock.WithTimeout"},
		{"a.group.Wait()", "Wait"},
		{"future.Result()", "Result"},
		{"a.env.Store.Load(ctx, k, o)", "Store.Load"},
		{"a.env.Provider.Refresh(ctx, r)", "Provider.Refresh"},
		{"s.index.Due(ctx)", "index.Due"},
		{"a.env.Revoke(ctx)", "Revoke"},
		{"a.env.SafeLoad(ctx, k, o)", "SafeLoad"},
		{"helper(ctx)", "receive"},
		{"a.env.Runner.Run(k, func() any { <-c; a.env.Store.Load(); return context.AfterFunc(ctx, f) }, a.send)", ""},
		{"a.env.Runner.Run(k, func() any { return elsewhere() }, a.send)", ""},
		{"a.do(k, func() any { return o.ask() }, a.send)", ""},
		{"a.do(k, func() any { <-c; a.env.Store.Load(); return context.AfterFunc(ctx, f) }, a.send)", ""},
		{"a.do(k, func() any { return nil }, func(m any) { <-c })", "receive"},
		{"a.env.Runner.Run(k, func() any { return nil }, func(m any) { <-c })", "receive"},
		{"a.env.Runner.Run(k, func() any { clk.Sleep(1); return context.WithTimeout }, a.send)", "time.Sleep, context.WithTimeout"},
	}
	for _, tt := range tests {
		src := "package p\nimport clk \"time\"\ntype t struct { done chan int; list []int }\nfunc _(done chan<- struct{}) { " + tt.code + " }\n"
		switch {
		case strings.Contains(tt.code, "helper"):
			src += "func helper(ctx any) { <-c }\nfunc other() { helper(1) }\n"
		case strings.Contains(tt.code, "o.ask"):
			src += "type op interface { ask() any }\nfunc (x t) ask() any { <-c; return nil }\n"
		case strings.Contains(tt.code, "elsewhere"):
			src += "func elsewhere() any { <-c; return deeper() }\nfunc deeper() any { <-c; return nil }\n"
		}
		got := inSource(t, "p/p.go", src)
		if strings.Join(got, ", ") != tt.want {
			t.Errorf("%s: waits = %q, want %q", tt.code, got, tt.want)
		}
	}
	for _, tt := range []struct{ file, imported, want string }{
		{"actors/x.go", "sync", "import of sync"},
		{"actors/x.go", "sync/atomic", ""},
		{"actors/x.go", "os", "import of os"},
		{"actors/x.go", "net/http", "import of net/http"},
		{"actors/x.go", "github.com/tokenward/tokenward/session", ""},
		{"actors/x.go", "golang.org/x/sync/errgroup", "import of golang.org/x/sync/errgroup"},
	} {
		got := inSource(t, tt.file, "package p\nimport _ \""+tt.imported+"\"\n")
		if strings.Join(got, ", ") != tt.want {
			t.Errorf("%s imports %s: %q, want %q", tt.file, tt.imported, got, tt.want)
		}
	}
}

// inSource returns what waits finds in one file.
func inSource(t *testing.T, name, src string) (found []string) {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	for _, w := range waits([]source.File{{Path: name, Fset: fset, AST: file}}) {
		_, what, _ := strings.Cut(w, ": ")
		found = append(found, what)
	}
	return found
}

// waits finds what waits, or asks the machine for the time, in the files of a folder, each
// with its place.
func waits(files []source.File) (found []string) {
	p := &turns{channels: make(map[string]bool), elsewhere: make(map[string]bool)}
	for _, name := range handedOut {
		p.elsewhere[name] = true
	}
	for _, f := range files {
		p.learn(f.AST)
	}
	for p.learnElsewhere(files) {
	}
	for _, f := range files {
		note := func(pos token.Pos, what string) { found = append(found, f.Fset.Position(pos).String()+": "+what) }
		for _, spec := range f.AST.Imports {
			if name := strings.Trim(spec.Path.Value, `"`); !mayImportInTurn(name) {
				note(spec.Pos(), "import of "+name)
			}
		}
		for _, decl := range f.AST.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			p.find(decl, ok && p.elsewhere[fn.Name.Name], clockName(f.AST), note)
		}
	}
	return found
}

func mayImportInTurn(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	if !strings.Contains(first, ".") {
		return slices.Contains(turnImports, name)
	}
	return !strings.HasPrefix(name, "golang.org/x/sync")
}

// turns holds the facts of a folder by which its code is judged.
type turns struct {
	channels  map[string]bool // names of fields, parameters and variables that are channels
	elsewhere map[string]bool // functions that only work handed to the Runner calls
}

func (p *turns) learn(file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			if _, ok := n.Type.(*ast.ChanType); ok {
				for _, name := range n.Names {
					p.channels[name.Name] = true
				}
			}
		case *ast.ValueSpec:
			if _, ok := n.Type.(*ast.ChanType); ok {
				for _, name := range n.Names {
					p.channels[name.Name] = true
				}
			}
		}
		return true
	})
}

// learnElsewhere adds unexported functions whose every mention is in what runs
// elsewhere. It reports whether there were any.
func (p *turns) learnElsewhere(files []source.File) (more bool) {
	inTurn, outside := make(map[string]bool), make(map[string]bool)
	declared := make(map[ast.Node]bool) // the names of methods in an interface, which call nothing
	for _, f := range files {
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if i, ok := n.(*ast.InterfaceType); ok {
				for _, method := range i.Methods.List {
					for _, name := range method.Names {
						declared[name] = true
					}
				}
			}
			return true
		})
		for _, decl := range f.AST.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			p.walk(decl, ok && p.elsewhere[fn.Name.Name], func(n ast.Node, elsewhere bool) {
				var name string
				switch n := n.(type) {
				case *ast.Ident:
					name = n.Name
				case *ast.SelectorExpr:
					name = n.Sel.Name
				}
				switch {
				case name == "" || ok && n == fn.Name || declared[n]:
				case elsewhere:
					outside[name] = true
				default:
					inTurn[name] = true
				}
			})
		}
	}
	for _, f := range files {
		for _, decl := range f.AST.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if ok && !fn.Name.IsExported() && outside[fn.Name.Name] && !inTurn[fn.Name.Name] && !p.elsewhere[fn.Name.Name] {
				p.elsewhere[fn.Name.Name] = true
				more = true
			}
		}
	}
	return more
}

// walk calls f for each node below root, and says whether it runs elsewhere: in the work of
// Runner.Run, or because all of root does.
func (p *turns) walk(root ast.Node, elsewhere bool, f func(n ast.Node, elsewhere bool)) {
	var work []ast.Node
	depth := []ast.Node{}
	ast.Inspect(root, func(n ast.Node) bool {
		if n == nil {
			last := depth[len(depth)-1]
			depth = depth[:len(depth)-1]
			if len(work) > 0 && work[len(work)-1] == last {
				work = work[:len(work)-1]
			}
			return true
		}
		depth = append(depth, n)
		if len(depth) > 1 {
			if call, ok := depth[len(depth)-2].(*ast.CallExpr); ok && slices.Contains(handers, lastName(call.Fun)) && len(call.Args) == 3 && call.Args[1] == n {
				work = append(work, n)
			}
		}
		f(n, elsewhere || len(work) > 0)
		return true
	})
}

// handers hand work to the Runner, each as its second argument.
var handers = []string{"Run", "do"}

// handedOut lists what asks the store, and is called by others than the Runner's work, outside
// this folder.
var handedOut = []string{"SafeLoad", "LoadAny"}

// outsiders are those to whom a turn puts no questions: the answer takes time.
var outsiders = []string{"Store", "Provider", "index"}

// find reports what in root waits.
func (p *turns) find(root ast.Node, elsewhere bool, clock string, note func(token.Pos, string)) {
	timers := []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"}
	guarded := make(map[ast.Node]bool)
	p.walk(root, elsewhere, func(n ast.Node, elsewhere bool) {
		if sel, ok := n.(*ast.SelectorExpr); ok { // the machine's time is nobody's business
			switch pkg, _ := sel.X.(*ast.Ident); {
			case pkg == nil:
			case pkg.Name == "runtime" && sel.Sel.Name != "Gosched": // which lets others run, and waits for none
				note(n.Pos(), "runtime."+sel.Sel.Name)
			case clock != "" && pkg.Name == clock && slices.Contains(timers, sel.Sel.Name):
				note(n.Pos(), "time."+sel.Sel.Name)
			case pkg.Name == "context" && slices.Contains([]string{"WithTimeout", "WithDeadline", "WithTimeoutCause", "WithDeadlineCause"}, sel.Sel.Name):
				note(n.Pos(), "context."+sel.Sel.Name)
			case elsewhere:
			case pkg.Name == "context" && sel.Sel.Name == "AfterFunc", pkg.Name == "clock" && sel.Sel.Name == "WithTimeout":
				note(n.Pos(), pkg.Name+"."+sel.Sel.Name)
			}
		}
		if elsewhere {
			return
		}
		switch n := n.(type) {
		case *ast.GoStmt:
			note(n.Pos(), "go statement")
		case *ast.SelectStmt:
			note(n.Pos(), "select")
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				note(n.Pos(), "receive")
			}
		case *ast.RangeStmt:
			if p.channels[lastName(n.X)] {
				note(n.Pos(), "range over a channel")
			}
		case *ast.IfStmt:
			if ch := emptyChannel(n.Cond); ch != "" {
				for _, stmt := range n.Body.List {
					if send, ok := stmt.(*ast.SendStmt); ok && lastName(send.Chan) == ch {
						guarded[send] = true
					}
				}
			}
		case *ast.SendStmt:
			if !guarded[n] && lastName(n.Chan) != "Reply" {
				note(n.Pos(), "send")
			}
		case *ast.CallExpr:
			if what := waitsFor(n); what != "" {
				note(n.Pos(), what)
			}
		}
	})
}

// emptyChannel returns the name of c in len(c) == 0.
func emptyChannel(cond ast.Expr) string {
	eq, ok := cond.(*ast.BinaryExpr)
	if !ok || eq.Op != token.EQL {
		return ""
	}
	call, ok := eq.X.(*ast.CallExpr)
	if zero, is := eq.Y.(*ast.BasicLit); !ok || !is || zero.Value != "0" || lastName(call.Fun) != "len" || len(call.Args) != 1 {
		return ""
	}
	return lastName(call.Args[0])
}

// waitsFor returns what a call asks that takes time, "" when nothing.
func waitsFor(call *ast.CallExpr) string {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	switch {
	case !ok:
		return ""
	case slices.Contains([]string{"Wait", "Result", "Acquire", "Revoke"}, sel.Sel.Name), slices.Contains(handedOut, sel.Sel.Name):
		return sel.Sel.Name
	case slices.Contains(outsiders, lastName(sel.X)):
		return lastName(sel.X) + "." + sel.Sel.Name
	}
	return ""
}

// clockName returns the name that a file has for package time, "" when it has none.
func clockName(file *ast.File) string {
	for _, spec := range file.Imports {
		if strings.Trim(spec.Path.Value, `"`) == "time" {
			if spec.Name != nil {
				return spec.Name.Name
			}
			return "time"
		}
	}
	return ""
}
