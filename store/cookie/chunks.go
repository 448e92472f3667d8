package cookie

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	chunkSize = 3072 // characters: with its name and attributes within what browsers keep
	maxChunks = 32
)

// A long value is kept in chunks: cookies named name.0, name.1 and so on. It begins with
// its length and a full stop, so that chunks that are left over from a longer one do no
// harm. The callers of these hold the lock of the header.

func chunkName(name string, n int) string { return name + "." + strconv.Itoa(n) }

// join returns the value that is kept under name. It reports whether all of it is there.
func (a Attributes) join(h http.Header, r *http.Request, name string) (string, bool) {
	var text strings.Builder
	whole := 0
	for n := range maxChunks {
		values := a.values(h, r, chunkName(name, n))
		if len(values) == 0 {
			return "", false
		}
		if n == 0 {
			digits, _, ok := strings.Cut(values[0], ".")
			length, err := strconv.Atoi(digits)
			if !ok || err != nil || length <= 0 || length > maxChunks*chunkSize || strconv.Itoa(length) != digits {
				return "", false
			}
			whole = len(digits) + 1 + length
		}
		text.WriteString(values[0])
		if text.Len() >= whole {
			break
		}
		if len(values[0]) != chunkSize {
			return "", false
		}
	}
	if text.Len() != whole {
		return "", false
	}
	_, value, _ := strings.Cut(text.String(), ".")
	return value, true
}

// split keeps value under name, and takes away the chunks that it does not need.
func (a Attributes) split(h http.Header, r *http.Request, name, value string, maxAge time.Duration) error {
	text := strconv.Itoa(len(value)) + "." + value
	chunks := (len(text) + chunkSize - 1) / chunkSize
	if chunks > maxChunks {
		return fmt.Errorf("the session comes to %d bytes and cookies are to hold %d", len(text), maxChunks*chunkSize)
	}
	for n := range chunks {
		a.set(h, r, chunkName(name, n), text[n*chunkSize:min((n+1)*chunkSize, len(text))], maxAge)
	}
	a.trim(h, r, name, chunks)
	return nil
}

// trim takes away the chunks from number n on.
func (a Attributes) trim(h http.Header, r *http.Request, name string, n int) {
	for ; n < maxChunks; n++ {
		if chunk := chunkName(name, n); a.values(h, r, chunk) != nil {
			a.set(h, r, chunk, "", 0)
		}
	}
}
