package idptest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// family is one login's refresh tokens: each rotation makes a child of the token
// that was presented. The tenant's lock guards it.
type family struct {
	id      int
	login   *login
	next    int            // serial of the next token
	tokens  map[int]*token // those that may still be presented
	revoked bool

	throttled int // refreshes that Refusals.Throttled answered
	flights   load
	seen      []Presentation
	reuses    int
}

// token is a refresh token that is good, or was until the overlap ends. One that
// is older still is in no map.
type token struct {
	parent int // serial, -1 for the login's own
	spent  bool
	at     time.Time // when it was spent
}

// maxSeen bounds the presentations that a family remembers: a benchmark makes many.
const maxSeen = 10_000

// newFamily begins a family and returns its first token. The caller holds t.mu.
func (t *Tenant) newFamily(l *login) string {
	f := &family{id: len(t.families), login: l, tokens: map[int]*token{}}
	t.families = append(t.families, f)
	t.bySubject[l.subject] = f
	t.bySID[l.sid] = f
	return t.grow(f, -1)
}

// grow adds a child of the token parent to f. The caller holds t.mu.
func (t *Tenant) grow(f *family, parent int) string {
	serial := f.next
	f.next++
	f.tokens[serial] = &token{parent: parent}
	return t.issued.note(t.tokenText(f.id, serial))
}

// tokenText writes a refresh token. It says which it is, so that the tenant need
// not remember every one, and carries a seal so that none can be made up.
func (t *Tenant) tokenText(family, serial int) string {
	name := fmt.Sprintf("rt_%d_%d", family, serial)
	m := hmac.New(sha256.New, t.seal)
	m.Write([]byte(name))
	return name + "_" + hex.EncodeToString(m.Sum(nil)[:16])
}

// familyOf returns the family and the serial number of a refresh token, or nil
// when this tenant did not make it. The caller holds t.mu.
func (t *Tenant) familyOf(text string) (*family, int) {
	parts := strings.Split(text, "_")
	if len(parts) != 4 {
		return nil, 0
	}
	id, err1 := strconv.Atoi(parts[1])
	serial, err2 := strconv.Atoi(parts[2])
	if err1 != nil || err2 != nil || id < 0 || id >= len(t.families) || text != t.tokenText(id, serial) {
		return nil, 0
	}
	return t.families[id], serial
}

// present presents a refresh token, and rotates it where rotate says so: then it
// returns the new one. Presenting a token that was rotated before revokes its
// family, unless it is the previous one and the overlap has not passed.
func (t *Tenant) present(c *call, text string, clientID string, rotate bool) (*login, string, *oauthError) {
	now := t.clock.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	f, serial := t.familyOf(text)
	if f == nil || f.login.client.id != clientID {
		return nil, "", &oauthError{"invalid_grant", "Unknown or invalid refresh token."}
	}
	p := Presentation{Kind: c.kind, Serial: serial}
	defer func() {
		if f.seen = append(f.seen, p); len(f.seen) == 2*maxSeen {
			f.seen = slices.Clone(f.seen[maxSeen:])
		}
	}()
	tok := f.tokens[serial]
	switch {
	case tok == nil, tok.spent && !now.Before(tok.at.Add(t.cfg.overlap)):
		p.Reused = true
		f.reuses++ // also when the family is revoked already
		t.counters.reuses++
		if t.cfg.profile.Refresh.KeepFamily {
			return nil, "", &oauthError{"invalid_grant", "Unknown or invalid refresh token."}
		}
		t.kill(f)
		return nil, "", &oauthError{"invalid_grant", "Refresh token reuse was detected: the token family is revoked."}
	case f.revoked:
		return nil, "", &oauthError{"invalid_grant", "Unknown or invalid refresh token."}
	}
	p.Accepted = true
	if !rotate {
		return f.login, "", nil
	}
	if !tok.spent && t.cfg.profile.Refresh.Rotation != RotateKeepOld {
		tok.spent, tok.at = true, now
		delete(f.tokens, tok.parent) // now older than the previous one
	}
	return f.login, t.grow(f, serial), nil
}

// kill revokes f. The caller holds t.mu.
func (t *Tenant) kill(f *family) {
	if !f.revoked {
		f.revoked = true
		t.counters.revoked++
	}
}

// Revoke revokes the refresh tokens of the newest login of a user, or of the login
// with that sid, as an administrator would. It fails where no such login has one: none asked for offline_access.
func (t *Tenant) Revoke(who string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.newest(who)
	if f == nil {
		return fmt.Errorf("idptest: no login of %q has a refresh token", who)
	}
	t.kill(f)
	return nil
}

// newest returns the family of a sid, or of a user's newest login, or nil. The
// caller holds t.mu.
func (t *Tenant) newest(who string) *family {
	if f := t.bySID[who]; f != nil {
		return f
	}
	return t.bySubject[who]
}

// Presentation is one refresh token as a client presented it.
type Presentation struct {
	Kind     Kind // Refresh or ConnectionExchange
	Serial   int  // 0 for the token of the login, 1 for what it was rotated to, and so on
	Accepted bool
	Reused   bool // it had been rotated before, outside the overlap
}

// Family tells what became of the refresh tokens of one login.
type Family struct {
	Subject  string
	SID      string
	Alive    bool           // not revoked
	Seen     []Presentation // in the order they came; the latest 10,000
	Reuses   int
	InFlight int // requests that present one of them, now
	Peak     int // the most at once
}

// Serials returns the serial numbers of the presented tokens, in the order they
// came. Where each was what the previous answer returned, they are 0, 1, 2 and so on.
func (f Family) Serials() []int {
	serials := []int{}
	for _, p := range f.Seen {
		serials = append(serials, p.Serial)
	}
	return serials
}

// Family returns the family of the login with that sid, or of a user's newest
// login. It is zero when there is none: no login asked for offline_access.
func (t *Tenant) Family(who string) Family {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.newest(who)
	if f == nil {
		return Family{}
	}
	return f.snapshot()
}

// Families returns every family, the oldest first.
func (t *Tenant) Families() []Family {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Family, len(t.families))
	for i, f := range t.families {
		all[i] = f.snapshot()
	}
	return all
}

// FamilyAlive reports whether Family(who) exists and is not revoked.
func (t *Tenant) FamilyAlive(who string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.newest(who)
	return f != nil && !f.revoked
}

func (f *family) snapshot() Family {
	return Family{
		Subject:  f.login.subject,
		SID:      f.login.sid,
		Alive:    !f.revoked,
		Seen:     slices.Clone(f.seen[max(0, len(f.seen)-maxSeen):]),
		Reuses:   f.reuses,
		InFlight: f.flights.inFlight,
		Peak:     f.flights.peak,
	}
}
