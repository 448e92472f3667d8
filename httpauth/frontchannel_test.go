package httpauth_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/httpauth"
)

// sidOf returns the sid of the browser's session at the provider.
func (s *signedIn) sidOf() string {
	s.t.Helper()
	families := s.tenant.Families()
	if len(families) == 0 {
		s.t.Fatal("no login")
	}
	return families[len(families)-1].SID
}

// A frame of the provider's page, which has no cookie and is of another site, ends the session; so does an image. The answer is
// not kept.
func TestFrontchannelLogout_fromAnyPageInAnyWay(t *testing.T) {
	for name, header := range map[string][]string{
		"a frame":    {"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"},
		"an image":   {"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"},
		"by Origin":  {"Origin", "https://provider.example"},
		"no headers": nil,
	} {
		t.Run(name, func(t *testing.T) {
			s := newSignedIn(t, httpauth.ServeFrontchannelLogout(), httpauth.RefuseForgeries())
			at := s.tenant.FrontchannelLogoutURL("/auth/frontchannel-logout", s.sidOf())
			frame := newVisitor(s.handler, s.base) // which has none of the cookies
			if w := frame.send(http.MethodHead, at, nil, header...); w.Code != http.StatusNoContent {
				t.Errorf("HEAD: %d", w.Code)
			}
			if w := frame.send(http.MethodGet, at, nil, "Sec-Purpose", "prefetch"); w.Code != http.StatusServiceUnavailable {
				t.Errorf("a prefetch: %d", w.Code)
			}
			if w := s.get("/me"); w.Code != http.StatusOK {
				t.Fatalf("the session ended before it was asked to: %d", w.Code)
			}
			w := frame.send(http.MethodGet, at, nil, header...)
			if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-store" || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") || w.Body.Len() != 0 {
				t.Errorf("%d %v %q", w.Code, w.Header(), w.Body)
			}
			if w := s.send(http.MethodGet, "/me", nil); w.Code != http.StatusUnauthorized {
				t.Errorf("afterwards: %d, want 401", w.Code)
			}
			if w := frame.send(http.MethodGet, at, nil); w.Code != http.StatusOK {
				t.Errorf("once more: %d", w.Code)
			}
		})
	}
}

func TestFrontchannelLogout_refusals(t *testing.T) {
	s := newSignedIn(t, httpauth.ServeFrontchannelLogout())
	for query, want := range map[string]int{
		"": 400, "?iss=x": 400, "?sid=x": 400, "?iss=https://other.example/&sid=" + s.sidOf(): 400,
		"?iss=" + url.QueryEscape(s.tenant.Issuer()) + "&sid=none&sid=" + s.sidOf():                        400, // which of them?
		"?sid=" + s.sidOf() + "&iss=" + url.QueryEscape(s.tenant.Issuer()) + "&iss=https://other.example/": 400,
		"?sid=" + s.sidOf() + ";iss=" + url.QueryEscape(s.tenant.Issuer()):                                 400,
		"?sid=%zz&iss=" + url.QueryEscape(s.tenant.Issuer()):                                               400,
	} {
		w := s.get("/auth/frontchannel-logout" + query)
		if w.Code != want || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v, want %d", query, w.Code, w.Header(), want)
		}
	}
	if w := s.send(http.MethodPost, s.tenant.FrontchannelLogoutURL("/auth/frontchannel-logout", s.sidOf()), nil); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d, want 405", w.Code)
	}
	if w := s.get("/me"); w.Code != http.StatusOK {
		t.Errorf("the session: %d", w.Code)
	}
}

// Where the frame has the session's cookie (SameSite=None, or a provider of the same site), the answer takes it away. That of another session,
// or of one that lives, stays.
func TestFrontchannelLogout_cookie(t *testing.T) {
	s := newSignedIn(t, httpauth.ServeFrontchannelLogout())
	laptop := &signedIn{visitor: newVisitor(s.handler, s.base), t: t, tenant: s.tenant}
	laptop.login()
	has := func(v *visitor) bool {
		for name := range v.cookies {
			if strings.HasSuffix(name, "_a0_session") {
				return true
			}
		}
		return false
	}
	for _, tt := range []struct {
		name, sid string
		v         *visitor
		gone      bool
	}{
		{"a session that lives", "none", laptop.visitor, false},
		{"another session", s.sidOf(), s.visitor, false}, // which is that of the laptop
		{"its own", s.sidOf(), laptop.visitor, true},
	} {
		w := tt.v.get(s.tenant.FrontchannelLogoutURL("/auth/frontchannel-logout", tt.sid))
		if w.Code != http.StatusOK || has(tt.v) == tt.gone {
			t.Errorf("%s: %d, the cookie is there: %v", tt.name, w.Code, has(tt.v))
		}
	}
	if w := s.send(http.MethodGet, "/me", nil); w.Code != http.StatusOK {
		t.Errorf("the other browser: %d", w.Code)
	}
}

// By default there is no such route.
func TestFrontchannelLogout_isOffByDefault(t *testing.T) {
	s := newSignedIn(t)
	if w := s.get(s.tenant.FrontchannelLogoutURL("/auth/frontchannel-logout", s.sidOf())); w.Code != http.StatusNotFound {
		t.Errorf("by Register: %d, want 404", w.Code)
	}
	for name, want := range map[string]int{"off": 404, "on": 400} {
		var opts []httpauth.Option
		if name == "on" {
			opts = append(opts, httpauth.ServeFrontchannelLogout())
		}
		v, _ := newMounted(t, false, opts...)
		if got := v.get("/auth/frontchannel-logout?iss=x").Code; got != want {
			t.Errorf("by Handler, %s: %d", name, got)
		}
	}
}
