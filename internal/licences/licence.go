package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// licence is under what terms a module may be used.
type licence struct {
	name    string // an SPDX identifier
	holders string // as its text names them
}

// terms are phrases of the licences that are known, the most particular first. A text is of
// the first of which it has all.
var terms = []struct {
	name    string
	phrases []string
}{
	{"Apache-2.0", []string{"apache license", "version 2.0, january 2004", "grant of patent license"}},
	{"MPL-2.0", []string{"mozilla public license", "version 2.0"}},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "neither the name", "this software is provided by the copyright"}},
	{"BSD-2-Clause", []string{"redistribution and use in source and binary forms", "this software is provided by the copyright"}},
	{"MIT", []string{"permission is hereby granted, free of charge", "the above copyright notice and this permission notice", "the software is provided \"as is\""}},
	{"PostgreSQL", []string{"permission to use, copy, modify, and distribute this software and its documentation for any purpose, without fee"}},
	{"ISC", []string{"permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted"}},
}

// errUnknown says that a module has no licence text that is known.
var errUnknown = errors.New("no licence that is known")

var (
	licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying)(\.(md|txt))?$`)
	holder      = regexp.MustCompile(`(?im)^[ \t]*(copyright\b.*?\d{4}.*?)[ \t]*$`)
	spaces      = regexp.MustCompile(`\s+`)
)

// licenceOf reads the licence of the module in dir.
func licenceOf(dir string) (licence, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return licence{}, err
	}
	for _, f := range files {
		if !licenceFile.MatchString(f.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return licence{}, err
		}
		if name := classify(string(text)); name != "" {
			return licence{name, holdersIn(string(text))}, nil
		}
	}
	return licence{}, errUnknown
}

// classify returns the name of the licence that text is, "" for one that is not known.
func classify(text string) string {
	text = strings.ToLower(spaces.ReplaceAllString(text, " "))
	for _, t := range terms {
		if !slices.ContainsFunc(t.phrases, func(phrase string) bool { return !strings.Contains(text, phrase) }) {
			return t.name
		}
	}
	return ""
}

// holdersIn returns who holds the rights, as text says.
func holdersIn(text string) string {
	var all []string
	for _, m := range holder.FindAllStringSubmatch(text, -1) {
		name := strings.TrimSuffix(strings.TrimSpace(spaces.ReplaceAllString(m[1], " ")), " All rights reserved.")
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return strings.Join(all, "; ")
}
