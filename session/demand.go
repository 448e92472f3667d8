package session

import (
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"time"
)

// Demand says what a call asks of a token beyond its query. The zero value asks for nothing more: whatever the
// cache answers with will do.
type Demand struct {
	// MinRemaining is how long the token must still be good for.
	MinRemaining time.Duration

	refused [sha256.Size]byte // of the access token that a resource server refused; zero: none did
}

// NewDemand returns the demand of a call whose resource server has refused the access token refused ("" for none), and
// which wants a token that is good for longer than minRemaining. It keeps a hash of the token.
func NewDemand(refused string, minRemaining time.Duration) (d Demand) {
	d.MinRemaining = minRemaining
	if refused != "" {
		d.refused = sha256.Sum256([]byte(refused))
	}
	return d
}

// Refuses reports whether accessToken is the one that was refused.
func (d *Demand) Refuses(accessToken string) bool {
	return d.refused != [sha256.Size]byte{} && sha256.Sum256([]byte(accessToken)) == d.refused
}

// Lasts reports whether t is good for long enough, from now on.
func (d *Demand) Lasts(t *Token, now time.Time) bool {
	return d.MinRemaining <= 0 || t.ExpiresAt.Unix() > now.Add(d.MinRemaining).Unix()
}

// Format prints nothing of the token.
func (Demand) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "demand of a token") }

// MarshalJSON writes nothing of the token.
func (Demand) MarshalJSON() ([]byte, error) { return []byte(`"demand of a token"`), nil }

// WithoutRefused returns s without the token set that d says was refused; s itself where there is none, and where the
// provider has answered with the very same token, kept.
func (s *State) WithoutRefused(d *Demand, kept string) *State {
	i := slices.IndexFunc(s.TokenSets, func(t TokenSet) bool { return t.AccessToken != kept && d.Refuses(t.AccessToken) })
	if i < 0 {
		return s
	}
	c := *s
	c.TokenSets = slices.Delete(slices.Clone(s.TokenSets), i, i+1)
	return &c
}

// demandInterval is the least time between two refreshes of one session that a demand brought about, for one key: of those
// that a refused token brought about, and apart from them of those that a token's remaining life did.
const demandInterval = 30 * time.Second

// maxDemanded caps the keys that are remembered: a caller may make up any number of scopes.
const maxDemanded = 64

// Demanded remembers the refreshes of one session that demands brought about, so that a resource server which refuses
// every token, or a provider whose tokens never live as long as a call demands, does not cost a refresh for each
// call. The zero value remembers none.
type Demanded struct{ list []demanded }

type demanded struct {
	key     FlightKey
	refused bool // brought about by a refused token, else by a remaining life
	at      time.Time
	expires int64 // of the token that it brought; 0: it brought none
}

func (d *Demanded) find(key FlightKey, refused bool) int {
	return slices.IndexFunc(d.list, func(e demanded) bool { return e.key == key && e.refused == refused })
}

// Note remembers that a refresh for key ended at now: brought about by a refused token, or by a remaining life. t is
// the token that it brought, nil where it failed.
func (d *Demanded) Note(key FlightKey, refused bool, t *Token, now time.Time) {
	e := demanded{key: key, refused: refused, at: now}
	if t != nil {
		e.expires = t.ExpiresAt.Unix()
	}
	if i := d.find(key, refused); i >= 0 {
		d.list[i] = e
		return
	}
	d.list = append(d.list, e)
	if len(d.list) > maxDemanded {
		d.list = slices.Delete(d.list, 0, 1)
	}
}

// MayRefuse reports whether a refused token may bring about a refresh for key at now.
func (d *Demanded) MayRefuse(key FlightKey, now time.Time) bool {
	i := d.find(key, true)
	return i < 0 || !d.list[i].recent(now)
}

// MayRenew reports whether t, which does not live as long as a call demands, may be refreshed for key at now. A token that
// such a refresh has brought is as long-lived as the provider makes them, so it serves until half of its life is over.
func (d *Demanded) MayRenew(key FlightKey, t *Token, now time.Time) bool {
	i := d.find(key, false)
	if i < 0 {
		return true
	}
	e := &d.list[i]
	if e.recent(now) {
		return false
	}
	expires := t.ExpiresAt.Unix()
	return expires != e.expires || 2*(expires-now.Unix()) < expires-e.at.Unix()
}

// recent reports whether e was less than demandInterval ago. A clock that was set back says nothing.
func (e *demanded) recent(now time.Time) bool {
	return !now.Before(e.at) && now.Before(e.at.Add(demandInterval))
}

// Idle returns what of d still counts after now, nil where nothing does.
func (d *Demanded) Idle(now time.Time) *Demanded {
	var left []demanded
	for _, e := range d.list {
		if e.recent(now) || !e.refused && e.expires > now.Unix() {
			left = append(left, e)
		}
	}
	if left == nil {
		return nil
	}
	return &Demanded{left}
}

// Format prints nothing of the demand.
func (*Demanded) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "demanded refreshes") }
