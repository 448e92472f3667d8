// Command licences writes docs/licences.md: under what terms the modules may be used that
// those of go.work require. It is run in the root of the repository.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const listed = "docs/licences.md"

func main() {
	if err := write("."); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

// write writes the list of the module in root.
func write(root string) error {
	mods, err := ofAll(root, required)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := list(&text, mods); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, listed), text.Bytes(), 0o644)
}

// module is one, with the folder of its files.
type module struct{ Path, Dir string }

// list writes the list of mods. It fails, after the rest, when a licence is not known.
func list(w io.Writer, mods []module) (err error) {
	fmt.Fprintf(w, "# Licences\n\nWhat the modules of go.work require, and under what terms. `make licences` writes this page from the\n"+
		"modules' own files.\n\n| module | licence | |\n|---|---|---|\n")
	for _, m := range mods {
		l, failed := licenceOf(m.Dir)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", m.Path, failed))
			continue
		}
		fmt.Fprintln(w, row(m.Path, l))
	}
	return err
}

func row(path string, l licence) string {
	return fmt.Sprintf("| %s | %s | %s |", path, l.name, strings.ReplaceAll(l.holders, "|", `\|`))
}

// ours is how the path of a module of this repository begins.
const ours = "github.com/tokenward/tokenward"

// ofAll returns what of returns for each module of go.work, without the modules of this repository.
func ofAll(root string, of func(folder string) ([]module, error)) ([]module, error) {
	text, err := os.ReadFile(filepath.Join(root, "go.work"))
	if err != nil {
		return nil, err
	}
	folders := []string{"."}
	for line := range strings.Lines(string(text)) {
		if folder, ok := strings.CutPrefix(strings.TrimSpace(line), "./"); ok {
			folders = append(folders, folder)
		}
	}
	var all []module
	for _, folder := range folders {
		mods, err := of(filepath.Join(root, folder))
		if err != nil {
			return nil, err
		}
		all = append(all, mods...)
	}
	return sorted(all), nil
}

// required returns the modules that the go.mod in root requires, fetched.
func required(root string) ([]module, error) {
	var file struct {
		Require []struct{ Path, Version string }
	}
	out, err := goTool(root, "", "mod", "edit", "-json")
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(out, &file); err != nil {
		return nil, err
	}
	args := []string{"mod", "download", "-json"}
	for _, r := range file.Require {
		if !strings.HasPrefix(r.Path, ours) {
			args = append(args, r.Path+"@"+r.Version)
		}
	}
	if out, err = goTool(root, "", args...); err != nil {
		return nil, err
	}
	var mods []module
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var m module
		if err := dec.Decode(&m); err != nil {
			return nil, err
		}
		mods = append(mods, m)
	}
	return sorted(mods), nil
}

// linked returns the modules of which something becomes part of a program: of any package
// here, on any system.
func linked(root string) ([]module, error) {
	var mods []module
	for _, system := range []string{"linux", "darwin", "windows"} {
		out, err := goTool(root, system, "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Dir}}{{end}}{{end}}", "./...")
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(out)) {
			if path, dir, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && !strings.HasPrefix(path, ours) {
				mods = append(mods, module{path, dir})
			}
		}
	}
	return sorted(mods), nil
}

func sorted(mods []module) []module {
	slices.SortFunc(mods, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return slices.Compact(mods)
}

// goTool runs the go command for a system, or for this one.
func goTool(root, system string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "GOWORK=off")
	if system != "" {
		cmd.Env = append(cmd.Env, "GOOS="+system, "CGO_ENABLED=0")
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", args[0], err, said.String())
	}
	return out, nil
}
