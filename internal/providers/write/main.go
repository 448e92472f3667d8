// Command write writes docs/providers.md. It is run in the root of the module.
package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/tokenward/tokenward/internal/providers"
)

func main() {
	var page bytes.Buffer
	err := providers.WritePage(&page)
	if err == nil {
		err = os.WriteFile("docs/providers.md", page.Bytes(), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "providers:", err)
		os.Exit(1)
	}
}
