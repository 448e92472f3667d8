package tokenward

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
)

// Each limit has the default that its comment says.
func TestLimits_defaultsAreWhatTheCommentsSay(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "options.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	defaults := reflect.ValueOf(limitsOrDefaults(session.Limits{}))
	said := regexp.MustCompile(`: ([\d,]+)(?: (ms|s|min|h))?$`)
	units := map[string]time.Duration{"": 1, "ms": time.Millisecond, "s": time.Second, "min": time.Minute, "h": time.Hour}
	checked := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Limits" {
			return true
		}
		for _, field := range spec.Type.(*ast.StructType).Fields.List {
			name, comment := field.Names[0].Name, strings.TrimSpace(field.Comment.Text())
			m := said.FindStringSubmatch(comment)
			if m == nil {
				t.Errorf("%s: its comment says no default: %s", name, comment)
				continue
			}
			want, err := strconv.ParseInt(strings.ReplaceAll(m[1], ",", ""), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if got := defaults.FieldByName(name).Int(); got != want*int64(units[m[2]]) {
				t.Errorf("%s: the default is %v, and its comment says %s", name, defaults.FieldByName(name), comment)
			}
			checked++
		}
		return false
	})
	if checked != defaults.NumField() {
		t.Errorf("%d of %d limits have a comment", checked, defaults.NumField())
	}
}
