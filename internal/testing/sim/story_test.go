package sim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each story goes as its script says.
func TestStories(t *testing.T) {
	scripts, err := filepath.Glob("stories/*.txt")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("%d stories, %v", len(scripts), err)
	}
	for _, path := range scripts {
		if filepath.Base(path) == "README.txt" {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			script, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if trace, err := TellStory(string(script)); err != nil {
				t.Errorf("%v\n%s", err, strings.Join(trace, "\n"))
			}
		})
	}
}
