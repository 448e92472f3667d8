//go:build race

package signals_test

const many = 500 // everything takes some ten times as long
