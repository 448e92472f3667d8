// Package descriptors holds the test of a process that has no file descriptors left.
package descriptors
