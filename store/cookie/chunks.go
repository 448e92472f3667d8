package cookie

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	chunkSize = 3072 // characters: with its name and attributes within what browsers keep
	tagSize   = 8    // characters: what says which chunks belong together
	maxChunks = 32
	maxFirsts = 8 // values that are put together of one name

	// DefaultChunks is how many cookies a session takes at most: with a login under way 20 KiB. Go's server takes a
	// header of 1 MiB, Node.js 16 KiB, nginx and Apache 8 KiB in a line unless they are configured for more.
	DefaultChunks = 5
)

// A long value is kept in chunks: cookies named name.0, name.1 and so on. Each begins with a tag of the whole value and
// a full stop, so that chunks of two values, which a browser may have for two domains, are not mixed. In the first
// the length of the value and a full stop follow, so that chunks that are left over from a longer one do no harm.
// The callers of these have the answer for themselves.

func chunkName(name string, n int) string { return name + "." + strconv.Itoa(n) }

func tagOf(value string) string {
	h := sha256.Sum256([]byte(value))
	return encoding.EncodeToString(h[:tagSize*3/4]) + "."
}

// chunks are the values of each chunk of one name as the browser has them once it has received an answer.
type chunks [maxChunks][]string

// chunks goes through the cookies of r once: there may be as many as fit into a header.
func (a Attributes) chunks(to answer, r *http.Request, name string) (all chunks) {
	for _, c := range r.Cookies() {
		if n, ok := chunkNumber(name, c.Name); ok {
			all[n] = append(all[n], c.Value)
		}
	}
	for n := range all {
		if own, ok := valuesIn(to, chunkName(name, n)); ok {
			all[n] = own
		}
	}
	return all
}

// chunkNumber is the reverse of chunkName.
func chunkNumber(name, cookie string) (n int, ok bool) {
	digits, ok := strings.CutPrefix(cookie, name+".")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil && n >= 0 && n < maxChunks && strconv.Itoa(n) == digits
}

// join returns the different values that are kept under name as a whole.
func (a Attributes) join(to answer, r *http.Request, name string) (values []string) {
	all := a.chunks(to, r, name)
	seen := make(map[string]bool)
	for _, first := range all[0] {
		if len(first) <= tagSize || first[tagSize] != '.' || seen[first] {
			continue
		}
		seen[first] = true
		if len(seen) > maxFirsts {
			break // no browser has so many
		}
		if value, ok := all.follow(first); ok {
			values = append(values, value)
		}
	}
	return values
}

// follow returns the value whose first chunk is given. It reports whether all of it is there.
func (c *chunks) follow(first string) (string, bool) {
	tag, rest := first[:tagSize+1], first[tagSize+1:]
	digits, part, ok := strings.Cut(rest, ".")
	length, err := strconv.Atoi(digits)
	if !ok || err != nil || length <= 0 || length > maxChunks*chunkSize || strconv.Itoa(length) != digits {
		return "", false
	}
	var value strings.Builder
	chunk := first
	for n := 0; ; {
		value.WriteString(part)
		if value.Len() >= length {
			break
		}
		if n++; n == maxChunks || len(chunk) != chunkSize {
			return "", false
		}
		if chunk, ok = tagged(tag, c[n]); !ok {
			return "", false
		}
		part = chunk[len(tag):]
	}
	return value.String(), value.Len() == length && tagOf(value.String()) == tag
}

func tagged(tag string, chunks []string) (string, bool) {
	for _, chunk := range chunks {
		if strings.HasPrefix(chunk, tag) {
			return chunk, true
		}
	}
	return "", false
}

// capacity is how many characters a value may have.
func (a Attributes) capacity() int {
	chunks := a.Chunks
	if chunks <= 0 {
		chunks = DefaultChunks
	}
	return min(chunks, maxChunks)*(chunkSize-tagSize-1) - len("99999.")
}

// split keeps value under name, and takes away the chunks that it does not need.
func (a Attributes) split(to answer, r *http.Request, name, value string, maxAge time.Duration, c *condition) error {
	if limit := a.capacity(); len(value) > limit {
		return fmt.Errorf("the session comes to %d bytes and its cookies are to hold %d", len(value), limit)
	}
	tag, rest := tagOf(value), strconv.Itoa(len(value))+"."+value
	n := 0
	for ; rest != ""; n++ {
		size := min(chunkSize-len(tag), len(rest))
		a.set(to, r, chunkName(name, n), tag+rest[:size], maxAge, c)
		rest = rest[size:]
	}
	a.trim(to, r, name, n, c)
	return nil
}

// trim takes away the chunks from number n on, however many an earlier release or another limit made.
func (a Attributes) trim(to answer, r *http.Request, name string, n int, c *condition) {
	all := a.chunks(to, r, name)
	for ; n < maxChunks; n++ {
		if all[n] != nil {
			a.set(to, r, chunkName(name, n), "", 0, c)
		}
	}
}
