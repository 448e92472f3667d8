package source_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/internal/testing/source"
)

// mostLines are two screens of 59 lines.
const mostLines = 118

// What go doc prints of the root package fits on two screens: what would make it longer has a field in a struct that is there.
func TestFace_fitsOnTwoScreens(t *testing.T) {
	show := exec.Command("go", "doc", ".")
	show.Dir = source.Root(t)
	page, err := show.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Count(string(page), "\n")
	t.Logf("go doc prints %d lines", lines)
	if lines > mostLines || !strings.Contains(string(page), "func New(") {
		t.Errorf("go doc prints %d lines, want at most %d, and New among them:\n%s", lines, mostLines, page)
	}
}
