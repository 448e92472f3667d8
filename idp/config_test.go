package idp_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

func TestNew_refuses(t *testing.T) {
	tests := []struct {
		field string
		cfg   idp.Config
	}{
		{"ClientID", idp.Config{}},
		{"Auth", idp.Config{ClientID: "c", Auth: "client_secret_jwt"}},
		{"Algorithms", idp.Config{ClientID: "c", Algorithms: []string{"none"}}},
		{"Algorithms", idp.Config{ClientID: "c", Algorithms: []string{"RS256", "HS256"}}},
		{"Algorithms", idp.Config{ClientID: "c", Algorithms: []string{"hs512"}}},
		{"Algorithms", idp.Config{ClientID: "c", Algorithms: []string{""}}},
		{"Algorithms", idp.Config{ClientID: "c", Algorithms: []string{"ES256K"}}},
		{"Leeway", idp.Config{ClientID: "c", Leeway: -1}},
		{"Timeout", idp.Config{ClientID: "c", Timeout: -1}},
	}
	for _, tt := range tests {
		_, err := idp.New(tt.cfg)
		var conf *session.ConfigurationError
		if !errors.As(err, &conf) || !strings.Contains(conf.Message, tt.field) {
			t.Errorf("%v %v: %v, want a ConfigurationError that names %s", tt.cfg.Auth, tt.cfg.Algorithms, err, tt.field)
		}
	}
}

func TestNew_leavesTheHostsClientAlone(t *testing.T) {
	asked := 0
	host := &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { asked++; return nil }}
	r := newRig(t, func(cfg *idp.Config) { host.Transport = cfg.HTTPClient.Transport; cfg.HTTPClient = host })
	r.handle(token, func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, "/elsewhere", http.StatusTemporaryRedirect)
	})

	_, err := r.client.Refresh(t.Context(), idp.RefreshRequest{Issuer: issuer, RefreshToken: refreshToken})
	if err == nil || asked != 0 {
		t.Errorf("redirect: %v, asked the host's CheckRedirect %d times", err, asked)
	}
	r.wantCount("/elsewhere", 0)
	if host.CheckRedirect == nil || host.Timeout != time.Minute {
		t.Error("the host's client was changed")
	}
}

func TestNew_copiesAlgorithms(t *testing.T) {
	list := []string{"RS256"}
	r := newRig(t, func(cfg *idp.Config) { cfg.Algorithms = list })
	list[0] = "ES256"
	r.wantVerify("1", "ok")
}
