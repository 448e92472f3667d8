package session

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// ApplyOptions says how the provider's answers are judged and kept.
type ApplyOptions struct {
	ClientID string // which an ID token must be for, where the session has none of its own
	// Issuer is the issuer that the request was sent to. An ID token must come from it
	// where the session's user has no iss, and a session without a domain gets its.
	Issuer string
	// StrictAudience refuses an access token that is readably for another audience
	// than the one asked for. Without it the token is kept, with ActualAudience.
	StrictAudience bool
	// UpdateUser lets the claims of a refreshed ID token replace those of the user,
	// all but session_expiry and iat. Claims that it lacks stay: what a refresh asks for one
	// API may hold fewer than the login asked for.
	UpdateUser bool
	// MaxTokenSets caps the token sets, and apart from them the connection token
	// sets; 0 means 64.
	MaxTokenSets int
	// MaxBytes is what AppendState may write of a state; 0 is any number. Token sets leave for that
	// as they do at the cap.
	MaxBytes int
	// Buffer is how long before its expiry a token set is looked up no more; see
	// TokenCache.Lookup. It says which sets leave first at the cap.
	Buffer time.Duration
	// DefaultLifetime is how long an access token is good for where neither expires_in
	// nor the token itself says: in whole seconds, or AsLongAsTheSession; 0 means an hour.
	DefaultLifetime time.Duration
	// KeepIssuedAt notes in an access token's set when it came, for early refreshes.
	KeepIssuedAt bool
}

// defaultMaxTokenSets is the cap where ApplyOptions has none.
const defaultMaxTokenSets = 64

// expiredFor is how many seconds after its expiry a token set is dropped.
const expiredFor = 24 * 60 * 60

// WithRefreshToken returns s with the refresh token rt, or s itself where rt is empty
// or the one it has.
func (s *State) WithRefreshToken(rt string) *State {
	if rt == "" || rt == s.RefreshToken {
		return s
	}
	c := *s
	c.RefreshToken = rt
	return &c
}

// ApplyRefresh returns the state after the provider answered q with r at now, and
// the token for those who asked.
//
// The state it returns is to be kept whatever the error: a rotated refresh token
// is in it always, and with an error nothing else has changed (it is s itself
// where nothing did). Errors are an *AccessTokenError with CodeRefreshTokenError
// (no access token; an ID token for another user), CodeIncorrectAudience or
// CodeSessionTooLarge (the token alone is more than MaxBytes allow).
//
// It touches token sets, refresh token and ID token only (and the user, where
// ApplyOptions say so, and a domain that was missing), so applying r to a state that was
// read anew after a conflict is how to merge the two.
func (s *State) ApplyRefresh(q *TokenQuery, r TokenResponse, now time.Time, o ApplyOptions) (*State, Token, error) {
	kept := s.WithRefreshToken(r.RefreshToken)
	if err := s.judge(&r, o); err != nil {
		return kept, Token{}, err
	}
	set := TokenSet{
		Audience:       q.Key.Audience,
		AccessToken:    r.AccessToken,
		Scope:          r.granted(s.grantOf(q)),
		RequestedScope: q.Scope,
		ExpiresAt:      r.accessExpiresAt(now, o.DefaultLifetime, &s.Internal),
		IssuedAt:       issuedAt(now, o.KeepIssuedAt),
		ActualAudience: OtherAudience(q.Audience, r.TokenAudience),
	}
	if set.ActualAudience != "" && o.StrictAudience {
		return kept, Token{}, &AccessTokenError{
			Code:    CodeIncorrectAudience,
			Message: "the provider answered with a token for " + Scrub(set.ActualAudience, r.AccessToken, r.RefreshToken, s.RefreshToken) + "; allow this client to refresh for the audience it asked for",
		}
	}

	next := *kept
	next.TokenSets = putTokenSet(s.TokenSets, set, now, o)
	if s.Domain == "" {
		next.Domain = s.SessionDomain(DomainOf(o.Issuer))
	}
	if r.IDToken != "" {
		next.IDToken = r.IDToken
		if o.UpdateUser {
			next.User = s.User.Claims().updated(r.IDClaims.All).Raw()
		}
	}
	if !next.fit(set.AccessToken, now, o) {
		return kept, Token{}, &AccessTokenError{Code: CodeSessionTooLarge, Message: tooLarge}
	}
	return &next, set.token(), nil
}

// judge returns why r cannot be kept in s, nil when it can.
func (s *State) judge(r *TokenResponse, o ApplyOptions) error {
	refused := func(why string) error {
		return &AccessTokenError{Code: CodeRefreshTokenError, Message: why}
	}
	if r.AccessToken == "" {
		return refused("the provider's answer has no access token")
	}
	if r.IDToken == "" {
		return nil
	}
	if r.IDClaims == nil {
		return refused("the ID token in the provider's answer cannot be read")
	}
	// What the session does not know, nothing can differ from.
	issuer := cmp.Or(s.User.text("iss"), o.Issuer, s.Domain)
	subject := s.User.Sub()
	switch {
	case issuer != "" && !SameIssuer(r.IDClaims.Issuer, issuer):
		return refused("the ID token in the provider's answer is from another issuer than the session's")
	case subject != "" && r.IDClaims.Subject != subject:
		return refused("the ID token in the provider's answer is for another user than the session's")
	case !slices.Contains(r.IDClaims.Audience, s.SessionClient(o.ClientID)):
		return refused("the ID token in the provider's answer is for another client")
	}
	return nil
}

// OtherAudience returns what a token is for, joined by spaces, if that is known and
// lacks the audience it was asked for; else "".
func OtherAudience(asked string, actual []string) string {
	if asked == "" || slices.Contains(actual, asked) {
		return ""
	}
	return strings.Join(actual, " ")
}

// updated returns u with the claims of a refreshed ID token laid over it. What says how long
// the login lives and when it was stays as it was: session_expiry and iat.
func (u User) updated(claims map[string]any) User {
	if len(claims) == 0 {
		return u
	}
	next := u.Clone()
	if next == nil {
		next = User{}
	}
	for claim, v := range claims {
		if claim != claimSessionExpiry && claim != claimIssuedAt {
			next[claim] = cloneJSON(v)
		}
	}
	return next
}

// ApplyConnection returns the state after the provider answered the exchange for k
// with r at now, and the token for those who asked. The state is to be kept whatever
// the error, as with ApplyRefresh, and it merges in the same way. The error is a
// *ConnectionTokenError with CodeRetrievalError or CodeSessionTooLarge.
func (s *State) ApplyConnection(k FlightKey, r TokenResponse, now time.Time, o ApplyOptions) (*State, ConnectionToken, error) {
	kept := s.WithRefreshToken(r.RefreshToken)
	if r.AccessToken == "" {
		return kept, ConnectionToken{}, &ConnectionTokenError{
			Code:    CodeRetrievalError,
			Message: "the provider's answer has no access token",
		}
	}
	set := ConnectionTokenSet{
		Connection:  k.Connection,
		LoginHint:   k.LoginHint,
		AccessToken: r.AccessToken,
		Scope:       r.granted(""),
		ExpiresAt:   r.expiresAt(now, defaultLife),
	}

	next := *kept
	next.ConnectionTokenSets = put(s.ConnectionTokenSets, set.place(s.ConnectionTokenSets), set, o.connectionShelf(now))
	if !next.fit(set.AccessToken, now, o) {
		return kept, ConnectionToken{}, &ConnectionTokenError{Code: CodeSessionTooLarge, Message: tooLarge}
	}
	return &next, set.token(), nil
}

// putTokenSet returns sets with set in the place of the one that it renews, else at
// the end.
func putTokenSet(sets []TokenSet, set TokenSet, now time.Time, o ApplyOptions) []TokenSet {
	return put(sets, set.place(sets), set, o.tokenShelf(now))
}

// place returns the place in sets of the one that t renews; -1 where there is none.
func (t *TokenSet) place(sets []TokenSet) int {
	granted, requested := ParseScope(t.Scope), ParseScope(t.RequestedScope)
	// Two queries that were narrowed to one grant keep a set each, else each
	// answer would throw the other's away, and both would refresh for ever.
	place := -1
	for i, have := range sets {
		if have.Audience != t.Audience || !granted.Equal(ParseScope(have.Scope)) {
			continue
		}
		asked := ParseScope(have.RequestedScope)
		if asked.Equal(requested) {
			return i
		}
		if place < 0 && (len(asked) == 0 || len(requested) == 0) {
			place = i
		}
	}
	return place
}

// place returns the place in sets of the one that t renews: for its connection and login hint; -1 where there is none.
func (t *ConnectionTokenSet) place(sets []ConnectionTokenSet) int {
	return slices.IndexFunc(sets, func(have ConnectionTokenSet) bool {
		return have.Connection == t.Connection && have.LoginHint == t.LoginHint
	})
}

// shelf says how a list of token sets is kept.
type shelf[T any] struct {
	now    time.Time
	limit  int
	expiry func(T) int64
	// useful reports of each set whether a lookup can ever choose it again.
	useful func([]T) []bool
}

func (o *ApplyOptions) limit() int {
	if o.MaxTokenSets > 0 {
		return o.MaxTokenSets
	}
	return defaultMaxTokenSets
}

func (o *ApplyOptions) tokenShelf(now time.Time) shelf[TokenSet] {
	return shelf[TokenSet]{
		now: now, limit: o.limit(),
		expiry: func(set TokenSet) int64 { return set.ExpiresAt },
		useful: func(sets []TokenSet) []bool { return usefulTokenSets(sets, now, o.Buffer) },
	}
}

// connectionShelf is for connection tokens, each of which is asked for by its own name.
func (o *ApplyOptions) connectionShelf(now time.Time) shelf[ConnectionTokenSet] {
	expiry := func(set ConnectionTokenSet) int64 { return set.ExpiresAt }
	return shelf[ConnectionTokenSet]{
		now: now, limit: o.limit(), expiry: expiry,
		useful: func(sets []ConnectionTokenSet) []bool {
			useful := make([]bool, len(sets))
			for i, set := range sets {
				useful[i] = expiry(set) > now.Unix()
			}
			return useful
		},
	}
}

// put returns a copy of sets with set at place, or appended where that is negative,
// without those that expired long ago, and no longer than the cap. First those leave that
// no lookup can choose again, then those that expire first; set itself leaves only where it
// was of no use from the start.
func put[T any](sets []T, place int, set T, s shelf[T]) []T {
	if place < 0 {
		place = len(sets)
	}
	next := make([]T, 0, len(sets)+1)
	fresh := 0 // where set is in next
	for i := 0; i <= len(sets); i++ {
		switch {
		case i == place:
			fresh = len(next)
			next = append(next, set)
		case i < len(sets) && s.now.Unix()-s.expiry(sets[i]) <= expiredFor:
			next = append(next, sets[i])
		}
	}
	for len(next) > s.limit {
		i := s.first(next, fresh)
		next = slices.Delete(next, i, i+1)
		switch {
		case i < fresh:
			fresh--
		case i == fresh:
			fresh = -1
		}
	}
	return next
}

// first returns the place of the set that leaves sets first; the one at fresh stays while
// it is useful.
func (s *shelf[T]) first(sets []T, fresh int) int {
	useful := s.useful(sets)
	first := -1
	for i := range sets {
		switch {
		case i == fresh && useful[i]:
		case first < 0, useful[first] && !useful[i],
			useful[first] == useful[i] && s.expiry(sets[i]) < s.expiry(sets[first]):
			first = i
		}
	}
	return first
}
