package idptest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// EventToken returns a Security Event Token (RFC 8417) for EventAudience, of one event that happens now. The subject is a
// subject identifier (RFC 9493), such as Claims{"format": "iss_sub", "iss": …, "sub": …}. Each edit may change or
// forge the token before it is signed.
func (t *Tenant) EventToken(eventType string, subject Claims, edit ...func(*Draft)) string {
	now := t.clock.Now().Unix()
	return t.signal("secevent+jwt", Claims{
		"iss": t.issuer, "aud": EventAudience, "iat": now, "jti": secret("event-"), "sub_id": map[string]any(subject),
		"events": map[string]any{eventType: map[string]any{"event_timestamp": now}},
	}, edit)
}

// VerificationToken returns the verification event of a stream (Shared Signals Framework 1.0 section 8.1.4.1).
func (t *Tenant) VerificationToken(streamID, state string, edit ...func(*Draft)) string {
	event := map[string]any{}
	if state != "" {
		event["state"] = state
	}
	return t.signal("secevent+jwt", Claims{
		"iss": t.issuer, "aud": EventAudience, "iat": t.clock.Now().Unix(), "jti": secret("event-"),
		"sub_id": map[string]any{"format": "opaque", "id": streamID},
		"events": map[string]any{"https://schemas.openid.net/secevent/ssf/event-type/verification": event},
	}, edit)
}

// RevocationToken returns the token by which the tenant calls a Global Token Revocation endpoint, whose URL is
// audience, as Okta's Universal Logout does.
func (t *Tenant) RevocationToken(audience string, edit ...func(*Draft)) string {
	now := t.clock.Now().Unix()
	return t.signal("global-token-revocation+jwt", Claims{
		"iss": t.issuer, "sub": "app-integration", "aud": audience, "iat": now, "nbf": now - 300, "exp": now + 300, "jti": secret("call-"),
	}, edit)
}

func (t *Tenant) signal(typ string, claims Claims, edit []func(*Draft)) string {
	d := t.draft("", typ, claims)
	for _, e := range edit {
		e(d)
	}
	return t.mint(d, ClientSecret)
}

// Push sends a Security Event Token to an endpoint (RFC 8935), through client. It returns the status of the answer, and its
// err.
func (t *Tenant) Push(ctx context.Context, client *http.Client, endpoint, token string) (status int, code string, err error) {
	return send(ctx, client, endpoint, "application/secevent+jwt", "", token, "err")
}

// SignOut calls a Global Token Revocation endpoint, through client, as Okta's Universal Logout does. It returns the status of
// the answer.
func (t *Tenant) SignOut(ctx context.Context, client *http.Client, endpoint string, subject Claims, edit ...func(*Draft)) (status int, err error) {
	status, _, err = send(ctx, client, endpoint, "application/json", "Bearer "+t.RevocationToken(endpoint, edit...),
		string(marshal(map[string]any{"sub_id": map[string]any(subject)})), "error")
	return status, err
}

// send posts a body, and returns the status of the answer and one member of it.
func send(ctx context.Context, client *http.Client, endpoint, kind, authorization, body, member string) (status int, said string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Accept", "application/json")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	var answer map[string]any
	if json.Unmarshal(b, &answer) == nil {
		said, _ = answer[member].(string)
	}
	return resp.StatusCode, said, err
}

// jtiOf returns the jti of a token, which is not verified; the token itself where it has none.
func jtiOf(token string) string {
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	b, err := base64.RawURLEncoding.DecodeString(payload)
	var claims struct {
		JTI string `json:"jti"`
	}
	if err != nil || json.Unmarshal(b, &claims) != nil || claims.JTI == "" {
		return token
	}
	return claims.JTI
}
