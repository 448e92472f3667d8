// Command mutants proves that the tests find what they are for. There are two lists of defects,
// each of which is planted in a copy of the product:
//
//   - sim: the patches beside this file, in the engine. The simulation must find each, by a promise
//     that is broken.
//   - ordinary: those of ordinary.go, in the rooms around it. The ordinary test that is named beside each
//     must fail.
//
// How to run it:
//
//	go run ./internal/testing/sim/mutants                 # both
//	go run ./internal/testing/sim/mutants -list ordinary  # one list
//	go run ./internal/testing/sim/mutants -only gate      # those with gate in their name
//
// The product itself is not touched: the changed copies are laid over it when the
// tests are built. A defect that can no longer be planted, does not build, survives, or makes the
// tests end in any other way than it should, is a failure.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/tokenward/tokenward/clock"
)

const (
	folder  = "internal/testing/sim/mutants"
	patient = 5 * time.Minute // with one mutant
)

func main() {
	seeds := flag.Int("n", 2000, "how many seeds each mutant is given, of one process and of several")
	only := flag.String("only", "", "only mutants with this in their name")
	list := flag.String("list", "", "sim or ordinary; both without it")
	flag.Parse()
	if err := run(*list, *only, *seeds); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(list, only string, seeds int) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	temp, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	lab := &lab{root: root, temp: temp, seeds: seeds}
	switch list {
	case "sim":
		return lab.simulation(only)
	case "ordinary":
		return lab.ordinary(only)
	case "":
		return errors.Join(lab.ordinary(only), lab.simulation(only))
	}
	return fmt.Errorf("there is no list %q", list)
}

// lab is where mutants are made and examined.
type lab struct {
	root, temp string
	seeds      int
}

// simulation has the simulation find the patches.
func (l *lab) simulation(only string) error {
	patches, err := filepath.Glob(filepath.Join(l.root, folder, "*.patch"))
	if err != nil {
		return err
	}
	if only == "" {
		if killed, err := l.examine(nil); err != nil || killed != nil {
			return errors.Join(errors.New("the simulation fails without any mutant"), err)
		}
	}
	failed, tried := 0, 0
	for _, path := range patches {
		name := strings.TrimSuffix(filepath.Base(path), ".patch")
		if !strings.Contains(name, only) {
			continue
		}
		tried++
		if err := l.try(name, path); err != nil {
			failed++
			fmt.Printf("%-30s FAILED: %v\n", name, err)
		}
	}
	if failed > 0 || tried == 0 && only == "" {
		return fmt.Errorf("%d of %d mutants were not killed by a broken promise", failed, tried)
	}
	fmt.Printf("%d mutants, each killed by a broken promise\n", tried)
	return nil
}

// try makes one mutant and examines it.
func (l *lab) try(name, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	what, diff, _ := strings.Cut(string(text), "\n")
	if !strings.HasPrefix(what, "# ") {
		return errors.New("its first line does not say what is planted")
	}
	patched, err := apply(l.root, diff)
	if err != nil {
		return err
	}
	killed, err := l.examine(patched)
	switch {
	case err != nil:
		return err
	case killed == nil:
		return fmt.Errorf("it survives %d seeds (%s)", l.seeds, what[2:])
	}
	kind := "seeds"
	if killed.processes {
		kind = "of several processes"
	}
	fmt.Printf("%-30s %-9s after %4d %-20s  %s\n", name, killed.check, killed.seed, kind, what[2:])
	return nil
}

// killed is how a mutant was found.
type killed struct {
	check     string
	seed      int
	processes bool // it takes several that live beside each other
}

var verdict = regexp.MustCompile(`seed (\d+): (\w+): `)

// examine builds the simulation over the patched files and runs it. It returns nil when it
// finds nothing.
func (l *lab) examine(patched map[string]string) (*killed, error) {
	ctx, cancel := clock.WithTimeout(context.Background(), clock.System(), patient)
	defer cancel()
	program, err := l.build(ctx, "internal/testing/sim", patched)
	if err != nil {
		return nil, err
	}
	sim := exec.CommandContext(ctx, program, "-test.run", "^TestSimulation", "-test.failfast", "-sim.bare", "-sim.n", fmt.Sprint(l.seeds))
	sim.Dir = l.root
	out, err := sim.CombinedOutput()
	if err == nil {
		return nil, nil
	}
	if m := verdict.FindStringSubmatch(string(out)); m != nil {
		k := &killed{check: m[2], processes: strings.Contains(string(out), "--- FAIL: TestSimulation_processes")}
		_, err := fmt.Sscan(m[1], &k.seed)
		return k, err
	}
	return nil, fmt.Errorf("it dies, but of no broken promise: %w\n%s", err, out)
}

// build returns the test program of a package, built over the changed files.
func (l *lab) build(ctx context.Context, pkg string, changed map[string]string) (program string, err error) {
	overlay := struct{ Replace map[string]string }{make(map[string]string)}
	for name, text := range changed {
		copied := filepath.Join(l.temp, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
			return "", err
		}
		overlay.Replace[filepath.Join(l.root, filepath.FromSlash(name))] = copied
	}
	spec, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	specFile, program := filepath.Join(l.temp, "overlay.json"), filepath.Join(l.temp, "mutant.test")
	if err := os.WriteFile(specFile, spec, 0o600); err != nil {
		return "", err
	}
	build := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", specFile, "-o", program, "./"+pkg)
	build.Dir = l.root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("it does not build: %w\n%s", err, out)
	}
	return program, nil
}

func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	return filepath.Dir(strings.TrimSpace(string(out))), err
}
