package providers_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/internal/providers"
)

func TestPage_isWritten(t *testing.T) {
	var page bytes.Buffer
	if err := providers.WritePage(&page); err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("../../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, page.Bytes()) {
		t.Error("docs/providers.md is not what the profiles say: make providers")
	}
}

// What the page shows as Go is Go that compiles.
func TestCode_compiles(t *testing.T) {
	var source bytes.Buffer
	source.WriteString(`package shown

import (
	"context"
	"crypto"
	"crypto/x509"
	"os"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/httpauth"
)

var (
	key          crypto.PrivateKey
	certificate  *x509.Certificate
	credentials  tokenward.CredentialSource
	isCustomer   func(context.Context, string) bool
	_            = httpauth.New
	_            = time.Hour
)
`)
	for i, p := range idptest.Profiles() {
		tenant := idptest.NewTenant(t, idptest.InProcess(), idptest.WithProfile(p))
		code, err := providers.Code(providers.For(p, tenant))
		if err != nil {
			t.Fatalf("%s: %v", p.Name, err)
		}
		code = strings.Replace(code, "web, err := ", "_, err = ", 1) // each function uses what it declares
		fmt.Fprintf(&source, "\nfunc f%d() (any, error) { // %s\n%s\nreturn auth, err\n}\n", i, p.Name, code)
	}
	file := filepath.Join(t.TempDir(), "shown.go")
	if err := os.WriteFile(file, source.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	vet := exec.Command("go", "vet", file)
	vet.Dir = "../.." // of this module
	if out, err := vet.CombinedOutput(); err != nil {
		t.Errorf("go vet: %v\n%s", err, out)
	}
}
