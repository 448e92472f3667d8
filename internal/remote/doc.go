// Package remote is what the stores in Redis and PostgreSQL have in common, and the memory store
// with them: how a store ends, how notices wait for a watcher, and what an error may say.
package remote
