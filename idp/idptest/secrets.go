package idptest

import (
	"regexp"
	"slices"
	"strings"
)

// secretForms are the forms of the secrets that tenants hand out. A JWT's first
// two parts are enough: a log that cuts it short has leaked it all the same.
var secretForms = []struct {
	name string
	form *regexp.Regexp
}{
	{"refresh token", regexp.MustCompile(`\brt_[0-9]+_[0-9]+_[0-9a-f]{8}`)},
	{"code", regexp.MustCompile(`\bcode_[0-9a-f]{8}`)},
	{"access token", regexp.MustCompile(`\bat_[0-9a-f]{8}`)},
	{"connection token", regexp.MustCompile(`\bct_.+_[0-9a-f]{8}`)},
	{"JWT", regexp.MustCompile(`\beyJ[0-9A-Za-z_-]{10,}\.eyJ`)},
}

// SecretsIn names what text gives away of this tenant: refresh tokens, codes, access
// tokens, JWTs, connection tokens, client secrets, and the verifier of the last code
// exchange. A test reads its log with it. Secrets count from their first eight
// random digits on.
func (t *Tenant) SecretsIn(text string) []string {
	var names []string
	for _, s := range secretForms {
		if s.form.MatchString(text) {
			names = append(names, s.name)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.cfg.clients {
		if c.secret != "" && strings.Contains(text, c.secret) {
			names = append(names, "client secret")
		}
	}
	if v := t.counters.forms[CodeExchange].Get("code_verifier"); v != "" && strings.Contains(text, v) {
		names = append(names, "verifier")
	}
	return slices.Compact(names)
}
