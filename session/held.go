package session

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// Held remembers secrets that a session no longer has, so that no error shows them: providers
// quote the refresh token that was spent before, for one. It keeps the latest ones. The
// zero Held is ready for use, by one goroutine at a time.
type Held struct{ gone []string }

// maxHeld bounds what Held keeps. A JWT is known by its looks and needs no keeping.
const maxHeld = 16

// shortestHeld is the length from which a session's token counts as a secret.
const shortestHeld = 8

// Note takes in the secrets that before has and after has not.
func (h *Held) Note(before, after *State) {
	now := after.secrets()
	for i, s := range slices.Backward(before.secrets()) { // the refresh token comes last, and stays longest
		switch {
		case i < len(now) && now[i] == s, len(s) < shortestHeld, jwt.MatchString(s):
		case slices.Contains(now, s), slices.Contains(h.gone, s):
		default:
			if len(h.gone) == maxHeld {
				h.gone = slices.Delete(h.gone, 0, 1)
			}
			h.gone = append(h.gone, s)
		}
	}
}

// idleHeld is how many secrets an idle session goes on holding.
const idleHeld = 4

// Idle returns the secrets that h keeps while the session is idle, the newest of them; nil where there are none.
func (h *Held) Idle() *Held {
	if len(h.gone) == 0 {
		return nil
	}
	return &Held{slices.Clone(h.gone[max(0, len(h.gone)-idleHeld):])}
}

// Redact returns err without the secrets of h and of states (nil ones have none), and without
// anything that looks like a JWT; err itself where it shows none. Types and codes stay, also of
// what err wraps.
func (h *Held) Redact(err error, states ...*State) error {
	if err == nil {
		return nil
	}
	r := redaction(slices.Clone(h.gone))
	for _, s := range states {
		for _, secret := range s.secrets() {
			if len(secret) >= shortestHeld {
				r = append(r, secret)
			}
		}
	}
	return r.of(err)
}

// Later is Redact, to be called from elsewhere and later.
func (h *Held) Later(states ...*State) func(error) error {
	own := Held{slices.Clone(h.gone)}
	return func(err error) error { return own.Redact(err, states...) }
}

// Format prints h without its secrets.
func (h Held) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%d secrets", len(h.gone)) }

// secrets returns every token of s; those that are most likely the same in the next state stand
// in the same place there.
func (s *State) secrets() []string {
	if s == nil {
		return nil
	}
	all := make([]string, 0, 2+len(s.TokenSets)+len(s.ConnectionTokenSets))
	all = append(all, s.RefreshToken, s.IDToken)
	for i := range s.ConnectionTokenSets {
		all = append(all, s.ConnectionTokenSets[i].AccessToken)
	}
	for i := range s.TokenSets {
		all = append(all, s.TokenSets[i].AccessToken)
	}
	return all
}

// redaction is the secrets that an error must not show.
type redaction []string

func (r redaction) text(s string) string { return Scrub(s, r...) }

// of returns err without the secrets.
func (r redaction) of(err error) error {
	switch e := err.(type) { //nolint:errorlint // what is wrapped is looked at one by one
	case nil:
		return nil
	case *APIError:
		c := *e
		c.Code, c.Description, c.Err = Code(r.text(string(e.Code))), r.text(e.Description), r.of(e.Err)
		return &c
	case *AccessTokenError:
		return r.accessTokenError(e)
	case *MFARequiredError:
		c := *e
		c.AccessTokenError, c.Requirements = *r.accessTokenError(&e.AccessTokenError), ScrubJSON(e.Requirements, r.text)
		return &c
	case *ConfigurationError:
		return &ConfigurationError{Message: r.text(e.Message), Err: r.of(e.Err)}
	case *ConnectionTokenError:
		return &ConnectionTokenError{Code: e.Code, Message: r.text(e.Message), Err: r.of(e.Err)}
	case *TokenExchangeError:
		return &TokenExchangeError{Code: e.Code, Message: r.text(e.Message), Err: r.of(e.Err)}
	}
	for shown := err; shown != nil; shown = errors.Unwrap(shown) {
		if text := shown.Error(); r.text(text) != text {
			return &redactedError{text: r.text(err.Error()), err: err, inner: r.of(errors.Unwrap(err))}
		}
	}
	return err
}

func (r redaction) accessTokenError(e *AccessTokenError) *AccessTokenError {
	return &AccessTokenError{Code: e.Code, Message: r.text(e.Message), Err: r.of(e.Err), lives: e.lives}
}

// redactedError stands for an error whose text had a secret in it. errors.Is and errors.As see
// that error, but first what it wraps, without the secret.
type redactedError struct {
	text       string
	err, inner error
}

func (e *redactedError) Error() string        { return e.text }
func (e *redactedError) Is(target error) bool { return errors.Is(e.err, target) }
func (e *redactedError) As(target any) bool {
	return e.inner != nil && errors.As(e.inner, target) || errors.As(e.err, target)
}
func (e *redactedError) Format(f fmt.State, _ rune) { io.WriteString(f, e.text) } //nolint:errcheck // fmt.State keeps it
