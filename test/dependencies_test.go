package test_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// linkedModules returns the modules of others that a program links which imports pkg.
func linkedModules(t *testing.T, pkg string) []string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", pkg)
	c.Dir, c.Env = "..", append(os.Environ(), "GOWORK=off", "GOOS=linux", "CGO_ENABLED=0")
	out, err := c.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	modules := strings.Fields(string(out))
	slices.Sort(modules)
	return slices.Compact(modules)
}

// A program that imports the library links what docs/dependencies.md names with a reason, and no module more.
func TestDependencies_eachHasItsReason(t *testing.T) {
	page, err := os.ReadFile("../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	own, of, _ := strings.Cut(string(page), "## What protoactor brings")
	ofActors := linkedModules(t, "github.com/asynkron/protoactor-go/actor")
	for _, module := range ofActors {
		if !strings.Contains(of, "`"+module+"`") {
			t.Errorf("docs/dependencies.md does not say that protoactor brings %s", module)
		}
	}
	for _, pkg := range []string{".", "./httpauth"} {
		var more []string
		for _, module := range linkedModules(t, pkg) {
			if slices.Contains(ofActors, module) {
				continue
			}
			more = append(more, module)
			if !strings.Contains(own, "| `"+module+"` | ") {
				t.Errorf("%s links %s, for which docs/dependencies.md gives no reason", pkg, module)
			}
		}
		if len(more) > 6 {
			t.Errorf("%s links %d modules beyond those of protoactor, want 6 at most: %q", pkg, len(more), more)
		}
		if rows := strings.Count(own, "\n| `"); rows != len(more) {
			t.Errorf("docs/dependencies.md has %d rows, and %s links %d", rows, pkg, len(more))
		}
	}
}
