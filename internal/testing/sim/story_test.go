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

// The list of stories by subject names each story once, and nothing else.
func TestStories_areListed(t *testing.T) {
	text, err := os.ReadFile("stories/README.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "# The stories by subject.")
	list, _, _ = strings.Cut(list, "# What no story can tell")
	listed := make(map[string]int)
	for line := range strings.Lines(list) {
		if line, indented := strings.CutPrefix(line, "#   "); indented {
			for name := range strings.SplitSeq(strings.TrimSuffix(strings.TrimSpace(line), ","), ", ") {
				listed[name]++
			}
		}
	}
	scripts, err := filepath.Glob("stories/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range scripts {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		if name != "README" && listed[name] != 1 {
			t.Errorf("stories/README.txt names %s %d times", name, listed[name])
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("stories/README.txt names %s, which is not there", name)
	}
}
