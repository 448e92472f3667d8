package bolt_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/store/bolt"
)

// Sessions of one process are kept in a file.
func ExampleOpen() {
	folder, err := os.MkdirTemp("", "sessions")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(folder) }()
	sessions, err := bolt.Open(filepath.Join(folder, "sessions.db"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = sessions.Close() }() // after the client
	auth, err := tokenward.New(tokenward.Config{
		Domain: "tenant.eu.auth0.com", ClientID: "my-client", ClientSecret: "its secret",
		Secrets: []string{"drawn at random, 32 bytes or more"}, RedirectURI: "https://app.example/callback",
	}, tokenward.WithStateStore(sessions))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(auth.Close(context.Background()))
	// Output: <nil>
}
