package source_test

import (
	_ "embed"
	"go/ast"
	"go/token"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/tokenward/tokenward/internal/testing/source"
)

// words holds words that this code once had of its own, and the field's words for them. Several words are written as
// they stand inside an identifier: "set off" is in setOff and SetOffNow.
//
//go:embed testdata/words.txt
var words string

var replaced = func() map[string]string {
	table := make(map[string]string)
	for line := range strings.Lines(words) {
		word, now, _ := strings.Cut(strings.TrimSpace(line), ": ")
		table[word] = now
	}
	return table
}()

// another holds words that mean something else in a room than they once did.
var another = map[string][]string{
	"store":      {"sweep"},         // of expired records
	"store/bolt": {"slot", "sweep"}, // slots of one second each, in which records expire
}

func TestWords(t *testing.T) {
	for _, file := range source.WithTests(t, ".") {
		room := path.Dir(file.Path)
		ast.Inspect(file.AST, func(n ast.Node) bool {
			for _, id := range declared(n) {
				inside := " " + strings.Join(split(id.Name), " ") + " "
				for word, now := range replaced {
					if strings.Contains(inside, " "+word+" ") && !strings.Contains(inside, " "+now+" ") && !slices.Contains(another[room], word) {
						t.Errorf("%s: %s has the old word %q; say %q", file.Fset.Position(id.Pos()), id.Name, word, now)
					}
				}
			}
			return true
		})
	}
}

// declared returns the identifiers that n declares. Names of test functions are sentences and count for none.
func declared(n ast.Node) []*ast.Ident {
	switch n := n.(type) {
	case *ast.FuncDecl:
		if !strings.HasPrefix(n.Name.Name, "Test") {
			return []*ast.Ident{n.Name}
		}
	case *ast.TypeSpec:
		return []*ast.Ident{n.Name}
	case *ast.ValueSpec:
		return n.Names
	case *ast.Field:
		return n.Names
	case *ast.AssignStmt:
		var names []*ast.Ident
		for _, left := range n.Lhs {
			if id, ok := left.(*ast.Ident); ok && n.Tok == token.DEFINE {
				names = append(names, id)
			}
		}
		return names
	}
	return nil
}

// split returns the words of an identifier in small letters.
func split(name string) (words []string) {
	from, runes := 0, []rune(name)
	for i := range runes {
		if i > from && (runes[i] == '_' || unicode.IsUpper(runes[i]) && !unicode.IsUpper(runes[i-1])) {
			words = append(words, strings.ToLower(strings.Trim(string(runes[from:i]), "_")))
			from = i
		}
	}
	return append(words, strings.ToLower(strings.Trim(string(runes[from:]), "_")))
}

// Files, stories and planted defects are named in the field's words too.
func TestWords_inNames(t *testing.T) {
	paths, err := exec.Command("git", "-C", source.Root(t), "ls-files").Output()
	if err != nil {
		t.Skip("not a checkout: ", err)
	}
	for line := range strings.Lines(string(paths)) {
		file := strings.TrimSpace(line)
		name := strings.TrimSuffix(path.Base(file), path.Ext(file))
		inside := " " + strings.NewReplacer("-", " ", "_", " ", ".", " ").Replace(strings.ToLower(name)) + " "
		for word, now := range replaced {
			if strings.Contains(inside, " "+word+" ") && !slices.Contains(another[path.Dir(file)], word) {
				t.Errorf("%s has the old word %q; say %q", file, word, now)
			}
		}
	}
}

func TestSplit(t *testing.T) {
	for name, want := range map[string]string{"setOff": "set off", "SetOffNow": "set off now", "slot": "slot", "SID": "sid", "no_slot": "no slot", "_": ""} {
		if got := strings.Join(split(name), " "); got != want {
			t.Errorf("split(%q) = %q, want %q", name, got, want)
		}
	}
}
