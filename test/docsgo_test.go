package test_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/internal/testing/source"
)

// imports are the packages that the documents' Go names, where that is not the last part of the path of one of the standard library.
var imports = map[string]string{
	"tokenward": "", "httpauth": "httpauth", "admin": "admin", "signals": "signals", "idp": "idp", "idptest": "idp/idptest", "clock": "clock",
	"tokenwardtest": "tokenwardtest", "bolt": "store/bolt", "redis": "store/redis", "postgres": "store/postgres", "grpcauth": "grpcauth",
	"otelobserve": "observe/otel", "prometheus": "observe/prometheus",
}

var standard = []string{"context", "crypto", "crypto/x509", "errors", "fmt", "io", "log", "log/slog", "net/http", "net/http/httputil", "net/url", "os", "testing", "time"}

// around is what a fragment may use of the program that it stands in.
const around = `func _(
	t *testing.T, ctx context.Context, w http.ResponseWriter, r *http.Request, mux *http.ServeMux, api *url.URL, err error,
	config tokenward.Config, auth, client *tokenward.Client, web *httpauth.Handlers, issuer string,
	mustBeOperator func(*http.Request) error, isCustomer func(context.Context, string) bool, registry interface{ MustRegister(...any) },
	userID string, group interface{ Do(string, func() (any, error)) (any, error, bool) }, source func(string) interface{ Token() (any, error) }, save func(string, any) error,
	key crypto.PrivateKey, certificate *x509.Certificate, credentials tokenward.CredentialSource,
) error {
%s
	return nil
}
`

var goBlock = regexp.MustCompile("(?ms)^( *)```go\n(.*?)^ *```")

// The Go in README.md and docs compiles: whole files as they are, fragments within a function.
func TestDocs_goCompiles(t *testing.T) {
	root := source.Root(t)
	more, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	if err != nil || len(more) == 0 {
		t.Fatal(more, err)
	}
	from := exported(t)
	blocks := 0
	for _, page := range append(more, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range goBlock.FindAllStringSubmatchIndex(string(text), -1) {
			blocks++
			name := fmt.Sprintf("%s:%d", filepath.Base(page), strings.Count(string(text[:m[0]]), "\n")+1)
			check(t, from, name, string(text[m[4]:m[5]]))
		}
	}
	if blocks < 60 {
		t.Errorf("%d blocks of Go, fewer than this test knew", blocks)
	}
}

// check type-checks one block. A variable that is not used, or declared again, does not count: the rest of the program is elsewhere. One
// that is not used counts on the page of the quick start, whose blocks are pasted.
func check(t *testing.T, from types.Importer, name, block string) {
	if !strings.HasPrefix(block, "package ") {
		block = whole(fmt.Sprintf(around, block))
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, block, parser.SkipObjectResolution)
	if err != nil {
		t.Errorf("%s is no Go: %v", name, err)
		return
	}
	wrong := func(err error) {
		if e := (types.Error{}); !errors.As(err, &e) || !e.Soft || strings.HasPrefix(name, "quick-start.md:") && !strings.HasPrefix(e.Msg, "no new variables") {
			t.Errorf("%s does not compile: %v\n%s", name, err, block)
		}
	}
	conf := types.Config{Importer: from, Error: wrong}
	_, _ = conf.Check("doc", fset, []*ast.File{file}, nil) // wrong has heard
}

// whole makes a file of declarations, with the imports that it needs.
func whole(declarations string) string {
	file := "package doc\n\n"
	add := func(name, at string) {
		if regexp.MustCompile(`\b` + name + `\.`).MatchString(declarations) {
			file += fmt.Sprintf("import %s %q\n", name, at)
		}
	}
	for name, at := range imports {
		add(name, path.Join("github.com/tokenward/tokenward", at))
	}
	for _, at := range standard {
		add(path.Base(at), at)
	}
	return file + "\n" + declarations
}

// exported returns an importer of what the go command has compiled.
func exported(t *testing.T) types.Importer {
	args := append([]string{"list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}"}, standard...)
	for _, at := range imports {
		args = append(args, path.Join("github.com/tokenward/tokenward", at))
	}
	out, err := exec.Command("go", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		if at, file, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			files[at] = file
		}
	}
	return importer.ForCompiler(token.NewFileSet(), "gc", func(at string) (io.ReadCloser, error) { return os.Open(files[at]) })
}
