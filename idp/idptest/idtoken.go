package idptest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// Claims are the claims of a user, of one login or of a token. Values are put into
// the token as encoding/json writes them; json.RawMessage and json.Number say
// what Go's own types cannot, such as json.Number("1e400"). Absent takes a claim
// out.
type Claims map[string]any

// Absent is the value of a claim that a token shall not have: Claims{"sid": Absent}.
var Absent any = absent{}

type absent struct{}

func (c Claims) clone() Claims { return maps.Clone(c) }

// add puts more into c. Absent removes.
func (c Claims) add(more Claims) {
	for name, v := range more {
		if v == any(absent{}) {
			delete(c, name)
		} else {
			c[name] = v
		}
	}
}

// Draft is a token before it is signed. A hook changes what it likes.
type Draft struct {
	// Kind is the request that is answered: CodeExchange, Refresh, ConnectionExchange, ClientCredentials or TokenExchange, or
	// Authorize where the ID token is all that was asked for.
	// It is empty for a logout token.
	Kind Kind
	// Header is the JOSE header. An alg of "none" leaves the token unsigned, one of
	// HS256, HS384 or HS512 signs it with the client's secret, any other with the tenant's
	// key of that kind. The set has the kind of Profile.Keys only.
	Header map[string]any
	// Claims are the claims. Deleting one leaves it out.
	Claims Claims
	// WrongKey signs with a key that the tenant does not publish, under the id of
	// the one it does.
	WrongKey bool
	// BrokenSignature alters the signature.
	BrokenSignature bool
	// Omit leaves the token out of the response.
	Omit bool
	// Raw, when not empty, is the token as it is sent.
	Raw string
}

// mint signs d. The client's secret is for the HS algorithms.
func (t *Tenant) mint(d *Draft, clientSecret string) string {
	if d.Raw != "" || d.Omit {
		return t.issue(d.Raw)
	}
	alg, _ := d.Header["alg"].(string)
	token := &jwt.Token{Header: d.Header, Claims: jwt.MapClaims(d.Claims), Method: jwt.GetSigningMethod(alg)}
	switch {
	case alg == "Ed25519": // RFC 9864: another name for EdDSA with that curve
		token.Method = jwt.SigningMethodEdDSA
	case token.Method == nil:
		token.Method = jwt.SigningMethodRS256
	}
	var key any
	switch {
	case alg == "none":
		key = jwt.UnsafeAllowNoneSignatureType
	case strings.HasPrefix(alg, "HS"):
		key = []byte(clientSecret)
	default:
		key = t.private(alg, d.WrongKey)
	}
	signed, err := token.SignedString(key)
	if err != nil {
		panic(fmt.Sprintf("idptest: token cannot be signed: %v", err))
	}
	if d.BrokenSignature {
		signed = breakSignature(signed)
	}
	return t.issue(signed)
}

// breakSignature changes the first character of the signature.
func breakSignature(token string) string {
	i := strings.LastIndexByte(token, '.') + 1
	if i == len(token) {
		return token + "AAAA"
	}
	c := byte('A')
	if token[i] == c {
		c = 'B'
	}
	return token[:i] + string(c) + token[i+1:]
}

// draft begins a token of the given JOSE type.
func (t *Tenant) draft(kind Kind, typ string, claims Claims) *Draft {
	keys := &t.profile().Keys
	d := &Draft{
		Kind:   kind,
		Header: map[string]any{"alg": keys.alg(), "typ": typ, "kid": t.signer().id},
		Claims: claims,
	}
	if keys.TokenNoKID {
		delete(d.Header, "kid")
	}
	return d
}

// idToken returns the ID token of l, or "" when it was left out.
func (t *Tenant) idToken(kind Kind, l *login) string {
	t.mu.Lock()
	p, user, edit := t.cfg.profile, t.cfg.users[l.subject], t.cfg.editIDToken
	t.mu.Unlock()
	form := &p.IDToken
	if form.NotAtRefresh && kind == Refresh {
		return ""
	}
	now := t.clock.Now()
	claims := Claims{
		"iss": t.issuer,
		"sub": l.subject,
		"aud": l.client.id,
		"iat": now.Unix(),
		"exp": now.Add(cmp.Or(form.Life, IDTokenLife)).Unix(),
	}
	form.fill(claims, l, kind)
	claims.add(p.Scopes.claims(user, l.scope, form.AnyScope, form.Thin, form.Never))
	if form.VerifiedText {
		claims.verifiedAsText()
	}
	claims.add(form.Claims)
	claims.add(l.claims)
	d := t.draft(kind, "JWT", claims)
	if edit != nil {
		edit(d)
	}
	return t.mint(d, l.client.secret)
}

// fill adds to claims those about the login rather than the user.
func (f *IDTokenForm) fill(claims Claims, l *login, kind Kind) {
	if f.NoScheme {
		_, claims["iss"], _ = strings.Cut(claims["iss"].(string), "://")
	}
	if len(f.Audiences) > 0 {
		claims["aud"], claims["azp"] = append([]string{l.client.id}, f.Audiences...), l.client.id
	}
	if f.SID {
		claims["sid"] = l.sid
	}
	if l.nonce != "" && kind != Refresh && !f.NoNonce {
		claims["nonce"] = l.nonce
	}
	if l.authTime != 0 {
		claims["auth_time"] = l.authTime
	}
	switch {
	case strings.HasPrefix(l.organization, "org_"):
		claims["org_id"] = l.organization
	case l.organization != "":
		claims["org_name"] = strings.ToLower(l.organization)
	}
}

// accessToken returns an access token for audience (RFC 9068, and azp as Auth0 has it),
// unlike any other.
func (t *Tenant) accessToken(kind Kind, l *login, audience, scope string) string {
	cfg := t.config()
	now := t.clock.Now()
	if cfg.opaque || cfg.profile.Tokens.Opaque {
		token := t.issue(secret("at_"))
		if cfg.profile.Tokens.Opaque {
			t.remember(token, access{l.subject, l.client.id, scope, now.Add(cfg.tokenLife)})
		}
		return token
	}
	claims := Claims{
		"iss":       t.issuer,
		"sub":       l.subject,
		"aud":       audience,
		"azp":       l.client.id,
		"client_id": l.client.id,
		"iat":       now.Unix(),
		"exp":       now.Add(cfg.tokenLife).Unix(),
		"scope":     scope,
		"jti":       secret(""),
	}
	d := t.draft(kind, "at+jwt", claims)
	if cfg.editAccessToken != nil {
		cfg.editAccessToken(d)
	}
	return t.mint(d, l.client.secret)
}

// marshal writes v as JSON. What cannot be written is a mistake of the test.
func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("idptest: answer cannot be written as JSON: %v", err))
	}
	return b
}
