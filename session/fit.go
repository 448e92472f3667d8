package session

import (
	"slices"
	"time"
)

// FitLogin returns s if AppendState writes it in at most limit bytes; else without its access token, which a refresh gets
// again, and then without its ID token, which a logout may do without. It reports whether that is enough.
func (s *State) FitLogin(limit int) (*State, bool) {
	if s.fits(limit) {
		return s, true
	}
	c := *s
	c.TokenSets = nil
	if !c.fits(limit) {
		c.IDToken = ""
	}
	return &c, c.fits(limit)
}

// fits reports whether AppendState writes s in at most limit bytes, of which 0 is any number.
func (s *State) fits(limit int) bool {
	if limit <= 0 {
		return true
	}
	b, err := AppendState(nil, s)
	return err != nil || len(b) <= limit // what cannot be written is said when it is to be
}

// fit takes token sets out of s until it fits: first those that no lookup can choose again, then those that expire first. That
// of the access token fresh stays. It reports whether that was enough. s is a copy that is not published yet.
func (s *State) fit(fresh string, now time.Time, o ApplyOptions) bool {
	for !s.fits(o.MaxBytes) {
		const nothing, access, connection = 0, 1, 2
		first, kind, useful, expires := 0, nothing, false, int64(0)
		consider := func(i, k int, u bool, token string, e int64) {
			if token != fresh && (kind == nothing || useful && !u || useful == u && e < expires) {
				first, kind, useful, expires = i, k, u, e
			}
		}
		tokens, connections := o.tokenShelf(now), o.connectionShelf(now)
		for i, u := range tokens.useful(s.TokenSets) {
			consider(i, access, u, s.TokenSets[i].AccessToken, s.TokenSets[i].ExpiresAt)
		}
		for i, u := range connections.useful(s.ConnectionTokenSets) {
			consider(i, connection, u, s.ConnectionTokenSets[i].AccessToken, s.ConnectionTokenSets[i].ExpiresAt)
		}
		switch kind {
		case access:
			s.TokenSets = slices.Delete(slices.Clone(s.TokenSets), first, first+1)
		case connection:
			s.ConnectionTokenSets = slices.Delete(slices.Clone(s.ConnectionTokenSets), first, first+1)
		default:
			return false
		}
	}
	return true
}

const tooLarge = "the token does not fit into a session in cookies; keep sessions in a state store, or allow more Cookies.Chunks"
