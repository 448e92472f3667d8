package bolt_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store/bolt"
)

// Also without writes: a second process may have opened the path.
func TestClient_aFileThatIsGoneIsNoStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sessions.db")
	s, err := bolt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	tenant := idptest.NewTenant(t, idptest.WithClient("demo", "demo-secret"))
	c, err := tokenward.New(tokenward.Config{
		Issuer: tenant.Issuer(), ClientID: "demo", ClientSecret: "demo-secret", Secrets: []string{"a secret of at least thirty-two bytes"},
		RedirectURI: "http://127.0.0.1/callback",
	}, tokenward.WithStateStore(s), tokenward.WithHTTPClient(tenant.Client()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	login := func() error {
		to, err := c.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, tokenward.StoreOptions{})
		if err != nil {
			t.Fatal(err)
		}
		back, err := tenant.Authorize(to)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.CompleteInteractiveLogin(t.Context(), back, tokenward.StoreOptions{})
		return err
	}
	if err := errors.Join(login(), c.Ready(t.Context()), os.Remove(path)); err != nil {
		t.Fatal(err)
	}
	if err := c.Ready(t.Context()); !errors.Is(err, &bolt.FileError{Why: bolt.Removed}) {
		t.Errorf("Ready: err = %v, want that the file was removed", err)
	}
	if err := login(); !errors.Is(err, &bolt.FileError{Why: bolt.Removed}) || tokenward.CodeOf(err) != "store_error" {
		t.Errorf("a login: err = %v, want store_error, for the file was removed", err)
	}
}
