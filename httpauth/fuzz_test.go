package httpauth_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/httpauth"
	"github.com/tokenward/tokenward/idp/idptest"
)

const fuzzBase = "https://app.example"

// newFuzzed returns handlers without a server, and their tenant.
func newFuzzed(f *testing.F, opts ...httpauth.Option) (*httpauth.Handlers, *idptest.Tenant) {
	f.Helper()
	client, tenant := newClient(f, fuzzBase+"/auth/callback")
	return newHandlers(f, client, fuzzBase, opts...), tenant
}

// bare is a request with a query as it came, whatever is in it.
func bare(method, query, body string) *http.Request {
	r := httptest.NewRequest(method, "/auth/x", strings.NewReader(body))
	r.URL.RawQuery, r.RequestURI = query, "/auth/x?"+query
	return r
}

// FuzzLogin starts logins with any query: the browser is sent to the provider, with our
// state, PKCE and redirect URI, and comes back to this origin.
func FuzzLogin(f *testing.F) {
	for _, q := range []string{
		"return_to=/x%3Fa%3Db", "return_to=//evil.example", "redirect_uri=https://evil.example&state=s&code_challenge=c&nonce=n&client_id=x&response_type=token",
		"request=eyJ&request_uri=urn:x&response_mode=fragment", "scope=a&scope=b&audience=x", "organization=%20", "organization=org_1&invitation=i", "login_hint=%00%0d%0a", "STATE=x&state%00=y", "%zz;=&&=",
	} {
		f.Add(q)
	}
	h, tenant := newFuzzed(f, httpauth.AllowAnyParams())
	f.Fuzz(func(t *testing.T, query string) {
		w := httptest.NewRecorder()
		h.Login(w, bare(http.MethodGet, query, ""))
		if w.Code != http.StatusFound {
			if w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" {
				t.Errorf("%q: status %d to %q", query, w.Code, w.Header().Get("Location"))
			}
			return
		}
		to, err := url.Parse(w.Header().Get("Location"))
		if err != nil || !strings.HasPrefix(to.String(), tenant.URL("/authorize?")) {
			t.Fatalf("%q leads to %v, %v", query, to, err)
		}
		q := to.Query()
		for name, want := range map[string]string{
			"redirect_uri": fuzzBase + "/auth/callback", "client_id": idptest.ClientID, "response_type": "code", "code_challenge_method": "S256",
		} {
			if len(q[name]) != 1 || q.Get(name) != want {
				t.Errorf("%q: %s = %q, want %q", query, name, q[name], want)
			}
		}
		if len(q["state"]) != 1 || len(q.Get("state")) != 32 || len(q["code_challenge"]) != 1 || len(q.Get("code_challenge")) != 43 || q.Has("nonce") || q.Has("request") || q.Has("request_uri") || q.Has("response_mode") {
			t.Errorf("%q leads to %v", query, q)
		}
		if q.Get("response_type") != "code" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%q: header %v", query, w.Header())
		}
		back, err := tenant.Authorize(to.String())
		if err != nil || !strings.HasPrefix(back, fuzzBase+"/auth/callback?") {
			return // the provider refuses what was asked for
		}
		at, err := url.Parse(back)
		if err != nil {
			t.Fatal(err)
		}
		r := bare(http.MethodGet, at.RawQuery, "")
		for _, c := range w.Result().Cookies() {
			r.AddCookie(c)
		}
		w = httptest.NewRecorder()
		h.Callback(w, r)
		if to := w.Header().Get("Location"); to != "" {
			if _, ok := httpauth.ReturnPath(to); !ok {
				t.Errorf("%q leads to %q", query, to)
			}
		}
	})
}

// FuzzLogout logs out with any return_to, from anywhere: it leads to the provider, and from
// there to this origin or nowhere.
func FuzzLogout(f *testing.F) {
	for _, to := range []string{
		"/bye", fuzzBase, fuzzBase + "/bye?x=1#y", fuzzBase + ".evil.example/", fuzzBase + "@evil.example/", fuzzBase + ":1/", "https://evil.example/", "//evil.example", "/\\evil", "", "\x00",
	} {
		f.Add(to, "same-origin", fuzzBase)
		f.Add(to, "cross-site", "null")
	}
	h, tenant := newFuzzed(f)
	f.Fuzz(func(t *testing.T, target, site, origin string) {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			w, r := httptest.NewRecorder(), bare(method, url.Values{"return_to": {target}}.Encode(), "")
			r.Header["Sec-Fetch-Site"], r.Header["Origin"] = []string{site}, []string{origin}
			h.Logout(w, r)
			if site == "cross-site" && w.Code != http.StatusForbidden {
				t.Errorf("from another site: status %d", w.Code)
			}
			if w.Code == http.StatusForbidden {
				continue
			}
			to, err := url.Parse(w.Header().Get("Location"))
			if err != nil || !strings.HasPrefix(to.String(), tenant.URL("/")) {
				t.Fatalf("%q leads to %q, %v", target, w.Header().Get("Location"), err)
			}
			back := to.Query().Get("post_logout_redirect_uri")
			if at, err := url.Parse(back); back != "" && (err != nil || at.Scheme+"://"+at.Host != fuzzBase || at.User != nil) {
				t.Errorf("%q leads on to %q", target, back)
			}
		}
	})
}

// FuzzBackchannelLogout posts anything where a logout token is expected.
func FuzzBackchannelLogout(f *testing.F) {
	const form = "application/x-www-form-urlencoded"
	h, tenant := newFuzzed(f)
	good := url.Values{"logout_token": {tenant.LogoutToken("nobody", "")}}.Encode()
	for _, body := range []string{"logout_token=x", "logout_token=a.b.c&logout_token=d", "%zz", "=;&", "logout_token=", strings.Repeat("x", 65<<10), "--b\r\nContent-Disposition: form-data; name=\"logout_token\"\r\n\r\nx\r\n--b--"} {
		f.Add(form, body)
	}
	f.Add("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"logout_token\"\r\n\r\nx\r\n--b--")
	f.Add("text/plain", "logout_token=x")
	f.Add("\x00; ;=", "")
	f.Fuzz(func(t *testing.T, contentType, body string) {
		w, r := httptest.NewRecorder(), bare(http.MethodPost, "logout_token="+url.QueryEscape(good), body)
		r.Header["Content-Type"] = []string{contentType}
		h.BackchannelLogout(w, r)
		if w.Code != http.StatusBadRequest {
			t.Errorf("%q, %q: status %d %s", contentType, body, w.Code, w.Body)
		}
	})
}
