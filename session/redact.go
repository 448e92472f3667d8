package session

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
)

// Values that hold tokens show a Fingerprint in their place, whatever prints them:
// fmt, log/slog, encoding/json. Each does so through a view: the same fields without
// the methods, and without what others wrote.
//
// fmt cannot call methods on what it reaches through an unexported field, so a type
// that keeps one of these values in such a field needs a Format of its own. Nor does
// it call them for a verb that it refuses before it looks: %p for a value that is no
// pointer, which go vet finds, and %s or %q for a list or struct of pointers to structs
// that have no Format, which it then shows with all that is in them.

// Fingerprint returns what stands for a secret in a log: "sha256:" and the first 16
// hexadecimal digits of its SHA-256. It is "" for "".
func Fingerprint(secret string) string {
	if secret == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(secret))
	return "sha256:" + hex.EncodeToString(sum[:8])
}

// show prints a view. Verbs that make no sense for it print it plainly.
func show(f fmt.State, verb rune, view any) {
	format := "%v"
	if verb == 'v' {
		format = fmt.FormatString(f, verb)
	}
	fmt.Fprintf(f, format, view)
}

type tokenView Token

func (t Token) view() tokenView {
	t.AccessToken = Fingerprint(t.AccessToken)
	return tokenView(t)
}

// Format prints t without its secret.
func (t Token) Format(f fmt.State, verb rune) { show(f, verb, t.view()) }

// LogValue returns t without its secret.
func (t Token) LogValue() slog.Value { return slog.AnyValue(t.view()) }

// MarshalJSON returns t without its secret.
func (t Token) MarshalJSON() ([]byte, error) { return json.Marshal(t.view()) }

type connectionTokenView ConnectionToken

func (t ConnectionToken) view() connectionTokenView {
	t.AccessToken = Fingerprint(t.AccessToken)
	return connectionTokenView(t)
}

// Format prints t without its secret.
func (t ConnectionToken) Format(f fmt.State, verb rune) { show(f, verb, t.view()) }

// LogValue returns t without its secret.
func (t ConnectionToken) LogValue() slog.Value { return slog.AnyValue(t.view()) }

// MarshalJSON returns t without its secret.
func (t ConnectionToken) MarshalJSON() ([]byte, error) { return json.Marshal(t.view()) }

type tokenSetView TokenSet

func (t TokenSet) view() tokenSetView {
	t.AccessToken = Fingerprint(t.AccessToken)
	t.extra = nil
	return tokenSetView(t)
}

// Format prints t without its secret.
func (t TokenSet) Format(f fmt.State, verb rune) { show(f, verb, t.view()) }

// LogValue returns t without its secret.
func (t TokenSet) LogValue() slog.Value { return slog.AnyValue(t.view()) }

// MarshalJSON returns t without its secret. See EncodeState for the stored form.
func (t TokenSet) MarshalJSON() ([]byte, error) { return json.Marshal(t.view()) }

type connectionTokenSetView ConnectionTokenSet

func (t ConnectionTokenSet) view() connectionTokenSetView {
	t.AccessToken = Fingerprint(t.AccessToken)
	t.extra = nil
	return connectionTokenSetView(t)
}

// Format prints t without its secret.
func (t ConnectionTokenSet) Format(f fmt.State, verb rune) { show(f, verb, t.view()) }

// LogValue returns t without its secret.
func (t ConnectionTokenSet) LogValue() slog.Value { return slog.AnyValue(t.view()) }

// MarshalJSON returns t without its secret. See EncodeState for the stored form.
func (t ConnectionTokenSet) MarshalJSON() ([]byte, error) { return json.Marshal(t.view()) }

type internalView Internal

func (i Internal) view() internalView {
	i.extra = nil
	return internalView(i)
}

// Format prints i without what others wrote into it.
func (i Internal) Format(f fmt.State, verb rune) { show(f, verb, i.view()) }

// LogValue returns i without what others wrote into it.
func (i Internal) LogValue() slog.Value { return slog.AnyValue(i.view()) }

// MarshalJSON returns i without what others wrote into it.
func (i Internal) MarshalJSON() ([]byte, error) { return json.Marshal(i.view()) }

// list returns s, and an empty list for none, which JSON tells apart.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

type stateView State

func (s State) view() stateView {
	s.IDToken = Fingerprint(s.IDToken)
	s.RefreshToken = Fingerprint(s.RefreshToken)
	s.TokenSets, s.ConnectionTokenSets = list(s.TokenSets), list(s.ConnectionTokenSets)
	s.extra, s.Data = nil, "" // the application's values may be secret, too
	return stateView(s)
}

// Format prints s without its secrets.
func (s State) Format(f fmt.State, verb rune) { show(f, verb, s.view()) }

// LogValue returns s without its secrets.
func (s State) LogValue() slog.Value { return slog.AnyValue(s.view()) }

// MarshalJSON returns s without its secrets. See EncodeState for the stored form.
func (s State) MarshalJSON() ([]byte, error) { return json.Marshal(s.view()) }

// Format prints l without its secrets.
func (l Login) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "session.Login{Audience: %q, Scope: %q, Domain: %q, ClientID: %q}", l.Audience, l.Scope, l.Domain, l.ClientID)
}

type sessionView Session

func (s Session) view() sessionView {
	s.IDToken = Fingerprint(s.IDToken)
	s.RefreshToken = Fingerprint(s.RefreshToken)
	s.TokenSets, s.ConnectionTokenSets = list(s.TokenSets), list(s.ConnectionTokenSets)
	s.Data = nil // the application's values may be secret, too
	return sessionView(s)
}

// Format prints s without its secrets and the application's values.
func (s Session) Format(f fmt.State, verb rune) { show(f, verb, s.view()) }

// LogValue returns s without its secrets.
func (s Session) LogValue() slog.Value { return slog.AnyValue(s.view()) }

// MarshalJSON returns s without its secrets and the application's values.
func (s Session) MarshalJSON() ([]byte, error) { return json.Marshal(s.view()) }

type tokenResponseView TokenResponse

func (r TokenResponse) view() tokenResponseView {
	r.AccessToken = Fingerprint(r.AccessToken)
	r.RefreshToken = Fingerprint(r.RefreshToken)
	r.IDToken = Fingerprint(r.IDToken)
	return tokenResponseView(r)
}

// Format prints r without its secrets.
func (r TokenResponse) Format(f fmt.State, verb rune) { show(f, verb, r.view()) }

// LogValue returns r without its secrets.
func (r TokenResponse) LogValue() slog.Value { return slog.AnyValue(r.view()) }

// MarshalJSON returns r without its secrets.
func (r TokenResponse) MarshalJSON() ([]byte, error) { return json.Marshal(r.view()) }
