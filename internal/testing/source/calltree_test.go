package source_test

import (
	"fmt"
	"go/ast"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/internal/testing/source"
)

// missed is what the caller's goroutine calls in GetAccessToken, in order and by depth, where the session is in memory, its token has
// expired, and the caller is the first. Calls of values (internal/directory, session, clock) and of telemetry are left out.
const missed = `
Client.GetAccessToken
	TokenRequest.query
	Queries.Find
		Queries.set
	TokenRequest.demands
	StoreOptions.values
	Lookup.Cached
		Lookup.Hit
			Lookup.hit
	Client.otherToken
		TokenRequest.demands
		Client.resolve
		Client.token
			Client.tokenOf
				Lookup.Token
					Lookup.tokenFlight
						Lookup.living
							Lookup.Find
								Lookup.open
									Lookup.Closed
									Lookup.outdated
								Lookup.ready
							Lookup.Foreign
						Lookup.meets
							Lookup.hit
						Lookup.join
							Lookup.newFlight
							Lookup.needToken
					Lookup.completed
						Lookup.await
					Caller.takes
				Client.renew
`

// elsewhere are calls in those functions that a miss does not come to, and names that other packages have, too.
var elsewhere = strings.Fields(`
	demandedToken observedToken noSession currentFor load wait gone renew endPastLifetime readAgain
	expire deleted find outdated Hit Renew Calls TokenError StoreError Query Key Load Lookup Join Find`)

// ARCHITECTURE.md says how many files a reader of a miss opens, and how often the file changes on the way.
func TestCallTree_ofAMiss(t *testing.T) {
	bodies := make(map[string]*ast.FuncDecl) // by name, with the receiver's type
	files := make(map[string]string)
	names := make(map[string]bool)
	for _, file := range slices.Concat(rootFiles(t), source.Files(t, "internal/lookup")) {
		for _, d := range file.AST.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			name := f.Name.Name
			if f.Recv != nil {
				name = strings.TrimPrefix(types.ExprString(f.Recv.List[0].Type), "*") + "." + name
			}
			bodies[name], files[name], names[f.Name.Name] = f, file.Path, true
		}
	}
	var above []string // the callers of a line, by depth
	children := make(map[string][]string)
	entered, changes := make(map[string]bool), 0
	for line := range strings.Lines(strings.TrimSpace(missed)) {
		name := strings.TrimSpace(line)
		if bodies[name] == nil {
			t.Fatalf("there is no %s", name)
		}
		above = append(above[:strings.Count(line, "\t")], name)
		entered[files[name]] = true
		if len(above) > 1 {
			by := above[len(above)-2]
			children[by] = append(children[by], bodies[name].Name.Name)
			if files[by] != files[name] {
				changes++
			}
		}
	}
	for name, known := range children {
		calls := called(bodies[name], names)
		for _, call := range calls {
			if !slices.Contains(known, call) && !slices.Contains(elsewhere, call) {
				t.Errorf("%s calls %s: is that on the way of a miss?", name, call)
			}
		}
		for _, call := range known {
			if !slices.Contains(calls, call) {
				t.Errorf("%s does not call %s", name, call)
			}
		}
	}
	if len(entered) > 7 || changes > 14 {
		t.Errorf("a miss enters %d files, with %d changes of file: at most 7 and 14 can be followed", len(entered), changes)
	}
	text, err := os.ReadFile(filepath.Join(source.Root(t), "ARCHITECTURE.md"))
	if want := fmt.Sprintf("enters %d files, with %d changes of file", len(entered), changes); err != nil || !strings.Contains(string(text), want) {
		t.Errorf("ARCHITECTURE.md does not say that the caller's goroutine %s (%v)", want, err)
	}
}

// called returns what f calls of the given names.
func called(f *ast.FuncDecl, names map[string]bool) (all []string) {
	ast.Inspect(f, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			name := ""
			switch fun := call.Fun.(type) {
			case *ast.Ident:
				name = fun.Name
			case *ast.SelectorExpr:
				name = fun.Sel.Name
			}
			if names[name] {
				all = append(all, name)
			}
		}
		return true
	})
	return all
}
