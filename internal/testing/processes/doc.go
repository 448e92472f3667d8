// Package processes proves that several real processes on one store behave: it has
// tests only. Each of its processes is this package's own test program, started once more,
// and does what the test that started it says. What they share is a real Redis or
// PostgreSQL, and a tenant that lives in the test.
package processes
