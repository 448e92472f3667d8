package source_test

import (
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/internal/testing/source"
)

// implicit are methods that a reader expects of an error, or of a value that prints without its secrets, and Raw, which
// is for the packages inside.
var implicit = []string{"Error", "ErrorCode", "Is", "Unwrap", "Format", "GoString", "LogValue", "MarshalJSON", "Raw"}

// The comment of each alias in the root package shows what its type has, for go doc does not: the exported fields of a struct, in
// order, and the methods.
func TestAliases_showFieldsAndMethods(t *testing.T) {
	fields, methods := declarations(t, "session")
	aliases := 0
	for _, file := range rootFiles(t) {
		ast.Inspect(file.AST, func(n ast.Node) bool {
			decl, ok := n.(*ast.GenDecl)
			if !ok {
				return true
			}
			for _, spec := range decl.Specs {
				alias, ok := spec.(*ast.TypeSpec)
				if !ok || !alias.Assign.IsValid() || alias.Name.Name == "Code" {
					continue
				}
				aliases++
				of := alias.Type.(*ast.SelectorExpr).Sel.Name
				doc := alias.Doc
				if doc == nil {
					doc = decl.Doc
				}
				want := slices.Concat(fields[of], methods[of])
				for i := range want {
					want[i] = strings.ReplaceAll(want[i], "("+of+")", "("+alias.Name.Name+")")
				}
				slices.Sort(want)
				if shown := shown(doc); !slices.Equal(shown, want) {
					t.Errorf("%s: the comment of %s shows\n\t%s\nwant\n\t%s", file.Path, alias.Name, strings.Join(shown, "\n\t"), strings.Join(want, "\n\t"))
				}
			}
			return true
		})
	}
	if aliases < 15 {
		t.Errorf("the root package has %d aliases, fewer than this test knew", aliases)
	}
}

// The root package has every code of package session, with its value, and the comment of Code says what it means.
func TestCodes_areOnTheRootsPage(t *testing.T) {
	shown, means := codes(rootFiles(t))
	want, _ := codes(source.Files(t, "session"))
	if !maps.Equal(shown, want) || len(want) == 0 {
		t.Errorf("the root package has the codes\n%v\nwant those of package session:\n%v", shown, want)
	}
	var values []string
	for _, value := range want {
		values = append(values, value)
	}
	slices.Sort(values)
	if said := firstWords(means); !slices.Equal(said, values) {
		t.Errorf("the comment of Code says\n%q\nwant\n%q", said, values)
	}
}

// codes returns the constants of type Code and their values, and the comment of Code.
func codes(files []source.File) (values map[string]string, doc *ast.CommentGroup) {
	values = make(map[string]string)
	for _, file := range files {
		ast.Inspect(file.AST, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GenDecl:
				if spec, ok := n.Specs[0].(*ast.TypeSpec); ok && spec.Name.Name == "Code" {
					doc = n.Doc
				}
			case *ast.ValueSpec:
				if n.Type != nil && types.ExprString(n.Type) == "Code" {
					values[n.Names[0].Name] = strings.Trim(n.Values[0].(*ast.BasicLit).Value, `"`)
				}
			}
			return true
		})
	}
	return values, doc
}

// firstWords returns the first word of each line of the code blocks in a comment, sorted. What follows it is its meaning.
func firstWords(doc *ast.CommentGroup) (words []string) {
	for line := range strings.Lines(doc.Text()) {
		if code, ok := strings.CutPrefix(line, "\t"); ok && len(strings.Fields(code)) > 1 {
			words = append(words, strings.Fields(code)[0])
		}
	}
	slices.Sort(words)
	return words
}

// rootFiles returns the files of the root package.
func rootFiles(t *testing.T) (files []source.File) {
	for _, file := range source.Files(t, ".") {
		if !strings.Contains(file.Path, "/") {
			files = append(files, file)
		}
	}
	return files
}

// declarations returns the exported fields and methods of each type of a package, as a comment shows them.
func declarations(t *testing.T, folder string) (fields, methods map[string][]string) {
	fields, methods = make(map[string][]string), make(map[string][]string)
	for _, file := range source.Files(t, folder) {
		ast.Inspect(file.AST, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeSpec:
				if s, ok := n.Type.(*ast.StructType); ok {
					fields[n.Name.Name] = fieldsOf(s)
				}
			case *ast.FuncDecl:
				if n.Recv == nil || !n.Name.IsExported() || slices.Contains(implicit, n.Name.Name) {
					break
				}
				of := strings.TrimPrefix(types.ExprString(n.Recv.List[0].Type), "*")
				methods[of] = append(methods[of], "func ("+of+") "+n.Name.Name+strings.TrimPrefix(types.ExprString(n.Type), "func"))
			}
			return true
		})
	}
	return fields, methods
}

func fieldsOf(s *ast.StructType) (fields []string) {
	for _, f := range s.Fields.List {
		if len(f.Names) == 0 {
			fields = append(fields, types.ExprString(f.Type))
		}
		for _, name := range f.Names {
			if token.IsExported(name.Name) {
				fields = append(fields, name.Name+" "+types.ExprString(f.Type))
			}
		}
	}
	return fields
}

// shown returns the lines of the code block in a comment, sorted: without comments, and of receivers the type alone.
func shown(doc *ast.CommentGroup) (lines []string) {
	for line := range strings.Lines(doc.Text()) {
		if code, ok := strings.CutPrefix(line, "\t"); ok {
			code, _, _ = strings.Cut(code, "//")
			words := strings.Fields(code)
			if words[0] == "func" {
				words[1] = "(" + words[2]
				words = slices.Delete(words, 2, 3)
			}
			lines = append(lines, strings.Join(words, " "))
		}
	}
	slices.Sort(lines)
	return lines
}
