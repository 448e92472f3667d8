package source_test

import (
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/internal/testing/source"
)

// english holds old words that a document may use in their ordinary sense.
var english = []string{"bring", "brought", "calm", "doubt", "duty", "land", "question", "sometimes", "told", "trust", "usual"}

// The pages of this module have none of the old words either, but for names in code.
func TestWords_inDocuments(t *testing.T) {
	inCode := regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	files := os.DirFS(source.Root(t))
	pages, err := fs.Glob(files, "*.md")
	more, also := fs.Glob(files, "docs/*.md")
	if err != nil || also != nil || len(more) == 0 {
		t.Fatal(pages, more, err, also)
	}
	for _, page := range append(pages, more...) {
		text, err := fs.ReadFile(files, page)
		if err != nil {
			t.Fatal(err)
		}
		plain := strings.ToLower(inCode.ReplaceAllString(string(text), ""))
		for word, now := range replaced {
			if old := regexp.MustCompile(`\b` + word + `\b`); !slices.Contains(english, word) && old.MatchString(plain) {
				t.Errorf("%s has the old word %q; say %q", page, word, now)
			}
		}
	}
}
