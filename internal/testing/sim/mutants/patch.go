package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// apply returns the files that a unified diff changes, as it leaves them. Each hunk must
// fit one place exactly: its line numbers are not looked at.
func apply(root, diff string) (map[string]string, error) {
	files := make(map[string]string)
	name := ""
	var before, after strings.Builder
	hunk := false
	end := func() error {
		if !hunk {
			return nil
		}
		hunk = false
		old := before.String()
		if n := strings.Count(files[name], old); n != 1 {
			return fmt.Errorf("it no longer applies to %s: a hunk fits %d places", name, n)
		}
		files[name] = strings.Replace(files[name], old, after.String(), 1)
		return nil
	}
	for line := range strings.Lines(diff) {
		switch {
		case strings.HasPrefix(line, "--- "):
			if err := end(); err != nil {
				return nil, err
			}
		case strings.HasPrefix(line, "+++ b/"):
			name = strings.TrimSpace(line[len("+++ b/"):])
			text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
			if err != nil {
				return nil, err
			}
			files[name] = string(text)
		case strings.HasPrefix(line, "@@"):
			if err := end(); err != nil {
				return nil, err
			}
			hunk = true
			before.Reset()
			after.Reset()
		case !hunk:
		case line[0] == ' ':
			before.WriteString(line[1:])
			after.WriteString(line[1:])
		case line[0] == '-':
			before.WriteString(line[1:])
		case line[0] == '+':
			after.WriteString(line[1:])
		default:
			return nil, fmt.Errorf("a line of the patch says nothing: %q", line)
		}
	}
	if err := end(); err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("it changes nothing")
	}
	return files, nil
}
