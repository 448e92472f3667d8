package logins

import "sync"

const maxRedirectURIs = 10_000

// Redirects knows for which domain's logins each redirect URI was named in this process.
type Redirects struct {
	mu sync.Mutex
	of map[string]string // "" where it was named for several
}

// Note notes that uri was named for a login of domain, and reports whether that was so each time. Beyond
// maxRedirectURIs it cannot tell.
func (r *Redirects) Note(uri, domain string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch of, known := r.of[uri]; {
	case !known && len(r.of) >= maxRedirectURIs:
		return false
	case !known:
		r.of[uri] = domain
	case of != domain:
		r.of[uri] = ""
	}
	return r.of[uri] == domain
}

// Own reports whether nothing is known of uri that would make it another domain's too.
func (r *Redirects) Own(uri, domain string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	of, known := r.of[uri]
	return !known || of == domain
}
