package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const root = "../.."

// Every module that becomes part of a program is on the list, under the licence that it has.
func TestList_hasWhateverIsLinked(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, listed))
	if err != nil {
		t.Fatal(err)
	}
	mods, err := ofAll(root, linked)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mods {
		l, err := licenceOf(m.Dir)
		if err != nil {
			t.Errorf("%s: %v", m.Path, err)
			continue
		}
		if !strings.Contains(string(text), row(m.Path, l)+"\n") {
			t.Errorf("%s is linked, and %s does not have it as it is; run make licences", m.Path, listed)
		}
	}
	if len(mods) < 20 {
		t.Errorf("only %d modules are linked", len(mods))
	}
}

func TestClassify(t *testing.T) {
	const bsd = "Redistribution and use in source and binary forms, with or\nwithout modification, are permitted. THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS"
	tests := []struct{ text, want string }{
		{"Apache License\n  Version 2.0, January 2004\n 3. Grant of Patent License.", "Apache-2.0"},
		{bsd, "BSD-2-Clause"},
		{bsd + "\nNeither the name of its author", "BSD-3-Clause"},
		{"Permission is hereby granted, free of\n\tcharge, to any person. The above copyright notice and this permission notice shall be included. THE SOFTWARE IS PROVIDED \"AS IS\"", "MIT"},
		{"Permission is hereby granted, free of charge, except on Sundays", ""},
		{"GNU GENERAL PUBLIC LICENSE Version 3", ""},
		{"All rights reserved.", ""},
		{"", ""},
	}
	for _, tt := range tests {
		if got := classify(tt.text); got != tt.want {
			t.Errorf("classify(%.40q) = %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestHolders(t *testing.T) {
	const text = "The MIT License\n\nCopyright (c) 2015, Ann A. All rights reserved.\n  Copyright 2016  Bob |B\nCopyright (c) 2015, Ann A.\nthe copyright of 2017 is not one\n"
	if got := holdersIn(text); got != "Copyright (c) 2015, Ann A.; Copyright 2016 Bob |B" {
		t.Errorf("holders = %q", got)
	}
	if got := row("m", licence{"MIT", holdersIn(text)}); strings.Count(got, " |") != 3 {
		t.Errorf("row = %q", got)
	}
}

func TestLicenceOf_aModuleWithoutOne(t *testing.T) {
	dir := t.TempDir()
	if _, err := licenceOf(dir); err == nil {
		t.Error("an empty folder has a licence")
	}
	if err := os.WriteFile(filepath.Join(dir, "LICENSE"), []byte("You may look at it."), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := licenceOf(dir); err == nil {
		t.Error("a text that nobody knows is a licence")
	}
}
