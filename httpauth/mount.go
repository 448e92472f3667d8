package httpauth

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// The routes in one handler, for routers that mount handlers: below any prefix, with the prefix on the request's path or
// taken off.

var names = []string{"login", "callback", "logout", "backchannel-logout", "frontchannel-logout"}

// route puts the handlers on a mux under prefix.
func (h *Handlers) route(mux *http.ServeMux, prefix string) {
	mux.HandleFunc("GET "+prefix+"/login", h.Login)
	mux.HandleFunc("GET "+prefix+"/callback", h.Callback)
	mux.HandleFunc("POST "+prefix+"/callback", h.Callback)
	mux.HandleFunc("GET "+prefix+"/logout", h.Logout)
	mux.HandleFunc("POST "+prefix+"/logout", h.Logout)
	mux.HandleFunc("POST "+prefix+"/backchannel-logout", h.BackchannelLogout)
	if h.o.framed {
		mux.HandleFunc("GET "+prefix+"/frontchannel-logout", h.FrontchannelLogout)
	}
}

// Handler returns one http.Handler with the routes of Register, for a router that mounts it where browsers see the
// redirect URI's folder: with RedirectURI https://app.example.com/auth/callback at /auth. Whether the router takes the
// prefix off the request's path does not matter. Every other path than those of that folder is 404.
//
// It decides where Require sends browsers, as Register does. It fails with a *tokenward.ConfigurationError where the
// redirect URI is not below the base URL, or does not end with /callback. Without a redirect URI, where each login names its own, the
// four are served in whatever folder the router mounts them; LoginPath says where that is unless it is /auth.
func (h *Handlers) Handler() (http.Handler, error) {
	if err := h.mounts(); err != nil {
		h.registered.Store(&registration{err: err})
		return nil, err
	}
	if h.redirectURI.Host != "" && h.registered.Load() == nil {
		login := strings.TrimSuffix(h.redirectURI.EscapedPath(), "callback") + "login"
		h.registered.Store(&registration{prefix: strings.TrimPrefix(h.folder(), h.base.Path), login: login})
	}
	mux := http.NewServeMux()
	h.route(mux, "")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		folder, name := path.Split(r.URL.Path)
		if !slices.Contains(names, name) || !h.serves(folder) {
			http.NotFound(w, r)
			return
		}
		asked := &http.Request{Method: r.Method, Host: r.Host, URL: &url.URL{Path: "/" + name}}
		serve, _ := mux.Handler(asked)
		serve.ServeHTTP(w, r) // as it came: a resolver of the host may read its path
	}), nil
}

func (h *Handlers) mounts() error {
	at := h.redirectURI.Path
	if h.redirectURI.Host == "" || strings.HasSuffix(at, "/callback") && strings.HasPrefix(at, h.base.Path+"/") {
		return nil
	}
	return wrong(fmt.Sprintf("Handler: it serves the callback at a path below %q that ends with /callback, and the client's RedirectURI has the path %q; change that",
		h.base.Path+"/", at))
}

// folder is the folder of the redirect URI as browsers see it, without a slash at its end.
func (h *Handlers) folder() string {
	folder, _ := path.Split(h.redirectURI.Path)
	return strings.TrimSuffix(folder, "/")
}

// serves reports whether a request's path in that folder may be one in the redirect URI's, of which a proxy or a router
// has taken off what comes first.
func (h *Handlers) serves(folder string) bool {
	folder = strings.TrimSuffix(folder, "/")
	return h.redirectURI.Host == "" || folder == "" || strings.HasPrefix(folder, "/") && strings.HasSuffix(h.folder(), folder)
}

// isCallback reports whether r is for the callback, whose POST comes from the provider's site.
func (h *Handlers) isCallback(r *http.Request) bool {
	asked := r.URL.Path
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil { // the router may have taken a prefix off
		asked = u.Path
	}
	if h.redirectURI.Host != "" {
		return asked == h.redirectURI.Path || asked == strings.TrimPrefix(h.redirectURI.Path, h.base.Path)
	}
	place := h.registered.Load()
	return place != nil && place.err == nil && asked == place.prefix+"/callback"
}
