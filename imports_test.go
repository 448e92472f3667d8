package tokenward_test

import (
	"go/ast"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/internal/testing/source"
)

const modulePath = "github.com/tokenward/tokenward"

// theMap lists the rooms from top to bottom, as ARCHITECTURE.md does. A request falls down
// it, so a room imports only what stands below it. Folders inside a room stand beside it. "."
// is this one. A room that is planned and not yet there does no harm.
var theMap = []string{
	"grpcauth",
	"observe/otel",
	"observe/prometheus",
	"tokenwardtest",
	"admin",
	"httpauth",
	"signals",
	".",
	"internal/bearer",
	"internal/browser",
	"internal/feed",
	"internal/logging",
	"internal/logins",
	"internal/grants",
	"internal/runner",
	"internal/lookup",
	"supervisor",
	"actors",
	"messages",
	"internal/directory",
	"internal/hooks",
	"internal/telemetry",
	"idp",
	"store",
	"internal/remote",
	"clock",
	"session",
	"observe",
}

// offTheMap lists what may import anything, and is imported by nothing on it.
var offTheMap = []string{"bench", "cmd", "examples", "test", "internal/testing", "internal/licences", "internal/providers"}

func TestImportsPointDown(t *testing.T) {
	for _, file := range source.Files(t, ".") {
		folder := path.Dir(file.Path)
		if slices.Contains(offTheMap, top(folder)) {
			continue
		}
		if !slices.Contains(theMap, top(folder)) {
			t.Errorf("%s: its folder is not on the map", file.Path)
		}
		for _, spec := range file.AST.Imports {
			if to, ours := ourFolder(spec); ours && !mayImport(folder, to) {
				t.Errorf("%s imports %s, which does not stand below it", file.Path, to)
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
		{"messages", "internal/directory", true},
		{"internal/directory", "session", true},
		{"internal/directory", "messages", false},
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
		{".", "internal/runner", true},
		{"internal/runner", ".", false},
		{"internal/directory", "internal/lookup", false},
		{"actors", "elsewhere", false},
	}
	for _, tt := range tests {
		if got := mayImport(tt.from, tt.to); got != tt.want {
			t.Errorf("mayImport(%q, %q) = %v, want %v", tt.from, tt.to, got, tt.want)
		}
	}
}

// top returns the room of the map, or off it, that folder is in.
func top(folder string) string {
	first, rest, _ := strings.Cut(folder, "/")
	if first == "internal" || first == "observe" && rest != "" {
		second, _, _ := strings.Cut(rest, "/")
		return path.Join(first, second)
	}
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
