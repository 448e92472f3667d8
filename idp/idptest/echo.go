package idptest

import "strings"

// Echo meets a request with the fault that answer makes of secrets, when the request has come:
// those that it carries, and those that the tenant has issued, the newest first. A provider that
// quotes tokens in its errors is
//
//	Echo(func(s []string) Fault { return OAuthError("invalid_request", strings.Join(s, " ")) })
//
// Secrets are codes, verifiers, tokens, assertions and client secrets, as they are sent.
func Echo(answer func(secrets []string) Fault) Fault { return Fault{times: 1, echo: answer} }

// issued is what a tenant issued last, in a ring. The tenant's lock guards it.
type issued struct {
	ring [256]string
	n    int
}

// note adds a secret and returns it.
func (i *issued) note(secret string) string {
	if secret != "" {
		i.ring[i.n%len(i.ring)] = secret
		i.n++
	}
	return secret
}

// issue notes a secret and returns it. The caller does not hold t.mu.
func (t *Tenant) issue(secret string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.issued.note(secret)
}

// secretsOf returns what Echo may quote.
func (t *Tenant) secretsOf(c *call) []string {
	var all []string
	for _, name := range []string{"client_secret", "client_assertion", "code", "code_verifier", "refresh_token", "subject_token", "actor_token", "assertion", "token"} {
		if s := c.form.Get(name); s != "" {
			all = append(all, s)
		}
	}
	if _, credentials, ok := strings.Cut(c.req.Header.Get("Authorization"), " "); ok {
		all = append(all, credentials)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for n := t.issued.n - 1; n >= max(0, t.issued.n-len(t.issued.ring)); n-- {
		all = append(all, t.issued.ring[n%len(t.issued.ring)])
	}
	return all
}
