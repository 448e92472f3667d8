//go:build !race

package signals_test

const many = 10_000
