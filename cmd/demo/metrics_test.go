package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store/storetest"
)

// Whatever is asked for, and whatever fails, the metrics and what the client counts hold no
// secret, and nothing that a stranger chose.
func TestMetrics_showNoSecrets(t *testing.T) {
	s := newSite(t)
	back := s.callback("?login_hint=ada&return_to=/x")
	s.want(s.get(back), http.StatusFound, "")
	at, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{"chosen-by-a-stranger", sealing}
	for _, c := range s.client.Jar.Cookies(at) {
		secrets = append(secrets, c.Value)
	}
	s.clock.Advance(idptest.TokenLife)
	token, _ := s.want(s.get("/api/token?audience=https://chosen-by-a-stranger.example"), 200, "").body["access_token"].(string)
	secrets = append(secrets, token)
	for _, path := range []string{
		back, "/" + token, "/auth/callback?code=" + token + "&state=" + token, "/api/token?scope=" + token, "/auth/login?chosen-by-a-stranger=1", "/metrics?" + token, "/chosen-by-a-stranger%0aname 1",
	} {
		if strings.HasPrefix(path, "/") {
			path = s.url + path
		}
		s.get(path)
	}
	s.do("CHOSEN-BY-A-STRANGER", "/api/user")
	s.store.Fail(storetest.OpUpdate, 1)
	s.tenant.Script(idptest.Refresh, idptest.OK(), idptest.OAuthError("invalid_request", token))
	for range 2 {
		s.clock.Advance(idptest.TokenLife)
		s.get("/api/token")
	}
	stats, err := json.Marshal(s.app.client.Stats())
	if err != nil {
		t.Fatal(err)
	}
	text := s.want(s.get("/metrics"), 200, "").text + string(stats)
	if found := s.tenant.SecretsIn(text); len(found) > 0 {
		t.Errorf("the metrics show %v", found)
	}
	for _, secret := range secrets {
		if len(secret) > 8 && strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
			t.Errorf("the metrics show %q:\n%s", secret, text)
		}
	}
}

// A defect in a handler is logged with its kind and its place, not with what it says.
func TestAround_aDefectShowsNothing(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	s := newSite(t)
	a := &app{log: zap.New(core), counts: s.app.counts}
	for _, defect := range []any{"rt_0_0_0123456789abcdef", errors.New("rt_0_0_0123456789abcdef"), struct{ Token string }{"rt_0_0_0123456789abcdef"}} {
		w := httptest.NewRecorder()
		a.around(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(defect) })).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "rt_0") {
			t.Errorf("answer = %d %s", w.Code, w.Body)
		}
	}
	entries := logs.FilterMessage("a defect was met while answering").All()
	if len(entries) != 3 {
		t.Errorf("%d defects logged, want 3", len(entries))
	}
	for _, e := range entries {
		text, err := json.Marshal(e.ContextMap())
		if err != nil || strings.Contains(string(text), "rt_0") || e.ContextMap()["defect"] == "" || !strings.Contains(string(text), "around") {
			t.Errorf("the log says %s, %v", text, err)
		}
	}
}
