package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Each defect is planted in a line of the product. When that line changes, the defect must be planted anew.
func TestDefects_canBePlanted(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	m, err := readModule(root)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, d := range ordinary {
		if names[d.name] {
			t.Errorf("two defects are called %s", d.name)
		}
		names[d.name] = true
		if _, _, err := m.plant(d); err != nil {
			t.Errorf("%s: %v", d.name, err)
		}
	}
	patches, err := filepath.Glob("*.patch")
	if err != nil || len(patches) == 0 {
		t.Fatalf("%d patches, %v", len(patches), err)
	}
	for _, name := range patches {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := apply(root, string(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
