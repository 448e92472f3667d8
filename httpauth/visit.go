package httpauth

import (
	"net/http"
	"strings"
)

// Requests without a click behind them. Login, callback and logout start, spend and end something, by GET.

var (
	errNoSession        = &handlerError{http.StatusUnauthorized, "no_session", "sign in first"}
	errCrossOrigin      = &handlerError{http.StatusForbidden, "cross_origin", "this request must come from this site"}
	errNoNavigation     = &handlerError{http.StatusForbidden, "not_a_navigation", "logins and callbacks are navigations of a browser; scripts POST the logout"}
	errMethodNotAllowed = &handlerError{http.StatusMethodNotAllowed, "method_not_allowed", "allowed here: " + allowedMethods}
)

const allowedMethods = "GET, HEAD, POST"

// turnedAway answers a request of login, callback or logout that must change nothing, and
// reports whether it did: one ahead of a click, a HEAD, and with Sec-Fetch-Site one that is no navigation. Browsers
// that send no Sec-Fetch-Site are not judged by the mode. A script may POST the logout.
func (h *Handlers) turnedAway(w http.ResponseWriter, r *http.Request, scripted bool) bool {
	noStore(w)
	mode := r.Header.Get("Sec-Fetch-Mode")
	switch {
	case prefetches(r): // a 2xx would be kept, and served to the click that follows
		w.Header().Add("Vary", "Sec-Purpose")
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.Method == http.MethodHead:
		w.WriteHeader(http.StatusNoContent)
	case r.Method != http.MethodGet && r.Method != http.MethodPost:
		w.Header().Set("Allow", allowedMethods)
		h.o.onError(w, r, errMethodNotAllowed)
	case r.Header.Get("Sec-Fetch-Site") != "" && mode != "" && mode != "navigate" && !scripted:
		h.o.onError(w, r, errNoNavigation)
	default:
		return false
	}
	return true
}

// prefetches reports whether a browser, or a script of a page, asks ahead of a click that may never come.
func prefetches(r *http.Request) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Moz", "X-Purpose"} {
		said := strings.ToLower(strings.Join(r.Header.Values(name), ","))
		for _, purpose := range []string{"prefetch", "prerender", "preview"} {
			if strings.Contains(said, purpose) {
				return true
			}
		}
	}
	next := r.Header.Get("Next-Router-Prefetch")
	return next != "" && next != "0"
}

// crossOrigin reports whether a page of another origin caused r. Browsers say so in Sec-Fetch-Site (W3C Fetch Metadata);
// those that do not, and plain http, leave Origin (RFC 6454), which has a scheme: http.CrossOriginProtection compares
// its host only.
func (h *Handlers) crossOrigin(r *http.Request) bool {
	site, from := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Origin")
	switch {
	case site == "same-origin" || site == "none":
		return false
	case from != "": // null among them
		return from != h.origin && from != h.base.Scheme+"://"+r.Host
	case safe(r.Method): // a link, of a neighbour at most
		return site == "cross-site"
	}
	return site != ""
}

// safe reports whether a method changes nothing (RFC 9110 section 9.2.1).
func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}
