package main

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/tokenward/tokenward/clock"
)

// defect is one of the ordinary list.
type defect struct {
	name string
	what string // what is planted
	old  string // the anchor: it stands at one place of the product
	bad  string // what takes its place
	test string // the test that must fail
}

// module is what the ordinary list needs of the source code.
type module struct {
	product map[string]string // the text of each file that is no test, by its path from the root
	tests   map[string]string // the folder of each test, by its name
}

// beside are the folders whose code is not the product, or is another module.
var beside = []string{"internal", "bench", "cmd", "peers", "tools", "store/storetest", "idp/idptest"}

var testFunc = regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)

// readModule reads the source code under root.
func readModule(root string) (*module, error) {
	m := &module{product: make(map[string]string), tests: make(map[string]string)}
	in := os.DirFS(root)
	err := fs.WalkDir(in, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata"):
			return fs.SkipDir
		case entry.IsDir() || !slices.Contains([]string{".go", ".lua", ".sql"}, path.Ext(name)):
			return nil
		}
		text, err := fs.ReadFile(in, name)
		if err != nil {
			return err
		}
		if strings.HasSuffix(name, "_test.go") {
			for _, found := range testFunc.FindAllStringSubmatch(string(text), -1) {
				m.tests[found[1]] = path.Dir(name)
			}
		} else if product(name) {
			m.product[name] = string(text)
		}
		return nil
	})
	return m, err
}

func product(name string) bool {
	return !slices.ContainsFunc(beside, func(folder string) bool { return strings.HasPrefix(name, folder+"/") }) ||
		strings.HasPrefix(name, "internal/") && !strings.HasPrefix(name, "internal/testing/")
}

// plant returns the file that has the defect, changed, and the folder of the test that must fail.
func (m *module) plant(d defect) (changed map[string]string, folder string, err error) {
	var places []string
	for _, name := range slices.Sorted(maps.Keys(m.product)) {
		for range strings.Count(m.product[name], d.old) {
			places = append(places, name)
		}
	}
	if len(places) != 1 {
		return nil, "", fmt.Errorf("its anchor stands at %d places %v, and must at one:\n%s", len(places), places, d.old)
	}
	folder, ok := m.tests[d.test]
	if !ok {
		return nil, "", fmt.Errorf("there is no %s", d.test)
	}
	return map[string]string{places[0]: strings.Replace(m.product[places[0]], d.old, d.bad, 1)}, folder, nil
}

// ordinary has each defect of the ordinary list noticed by its test.
func (l *lab) ordinary(only string) error {
	m, err := readModule(l.root)
	if err != nil {
		return err
	}
	tests := make(map[string][]string) // by folder
	failed, tried := 0, 0
	for _, d := range ordinary {
		if !strings.Contains(d.name, only) {
			continue
		}
		tried++
		changed, folder, err := m.plant(d)
		if err == nil {
			tests[folder] = append(tests[folder], d.test)
			err = l.mustFail(d, changed, folder)
		}
		if err != nil {
			failed++
			fmt.Printf("%-30s FAILED: %v\n", d.name, err)
			continue
		}
		fmt.Printf("%-30s %-60s  %s\n", d.name, d.test, d.what)
	}
	for folder, names := range tests {
		if out, err := l.test(folder, nil, "^("+strings.Join(names, "|")+")$"); err != nil {
			failed++
			fmt.Printf("%-30s FAILED without any mutant: %v\n%s", folder, err, out)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d mutants were not killed by the test that should", failed, tried)
	}
	fmt.Printf("%d mutants, each killed by an ordinary test\n", tried)
	return nil
}

// mustFail runs the test of d over the changed files.
func (l *lab) mustFail(d defect, changed map[string]string, folder string) error {
	out, err := l.test(folder, changed, "^"+d.test+"$")
	switch {
	case err == nil:
		return fmt.Errorf("it survives %s (%s)", d.test, d.what)
	case !strings.Contains(out, "--- FAIL: "+d.test):
		return fmt.Errorf("it dies, but not of %s: %w\n%s", d.test, err, out)
	}
	return nil
}

// test builds the tests of a folder over the changed files and runs those that match.
func (l *lab) test(folder string, changed map[string]string, match string) (out string, err error) {
	ctx, cancel := clock.WithTimeout(context.Background(), clock.System(), patient)
	defer cancel()
	program, err := l.build(ctx, folder, changed)
	if err != nil {
		return "", err
	}
	run := exec.CommandContext(ctx, program, "-test.run", match, "-test.failfast")
	run.Dir = filepath.Join(l.root, filepath.FromSlash(folder))
	text, err := run.CombinedOutput()
	return string(text), err
}
