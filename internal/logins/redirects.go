package logins

import (
	"net/url"
	"slices"
	"strings"
	"sync"
)

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

// CameTo reports whether a callback came to redirectURI: the query may have more.
func CameTo(callback *url.URL, redirectURI string) bool {
	to, err := url.Parse(redirectURI)
	if err != nil || !strings.EqualFold(to.Scheme, callback.Scheme) || !strings.EqualFold(to.Host, callback.Host) ||
		to.EscapedPath() != callback.EscapedPath() {
		return false
	}
	has := callback.Query()
	for name, values := range to.Query() {
		if !slices.Equal(has[name], values) {
			return false
		}
	}
	return true
}
