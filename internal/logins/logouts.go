package logins

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

const (
	logoutLife  = 2 * time.Minute
	handledLife = time.Hour
	maxLogouts  = 100_000
	maxFramed   = 1000
)

// Logouts remembers logout tokens for a while, so that a login that was under
// way when one came does not outlive it.
type Logouts struct {
	most int // are remembered

	mu   sync.Mutex
	seen map[logoutName]remembered
	old  []noted // in the order they came

	handled map[tokenName]time.Time
	order   []tokenName
}

// tokenName names one logout token.
type tokenName struct {
	of  session.RegistrationID
	jti string
}

// Ended names the sessions that were ended: the sessions of a sid, and of a sub where that is said too, else of a sub, else of a verified
// email, else all of the issuer.
type Ended struct {
	SID, Subject, Email string
	// Until is the last second, since the Unix epoch, of which an ID token may be whose login is refused.
	Until int64
}

// Values returns the index values, made by s, that find the fewest of the sessions among which those of e are.
func (e Ended) Values(s *store.Sealer, issuer string) []store.IndexValue {
	switch {
	case e.SID != "":
		return s.LookupSID(issuer, e.SID)
	case e.Subject != "":
		return s.LookupSub(issuer, e.Subject)
	case e.Email != "":
		return s.LookupEmail(issuer, e.Email)
	}
	return s.LookupIssuer(issuer)
}

// Login is one that is being completed: to which application, and what its ID token says.
type Login struct {
	Of           session.RegistrationID
	SID, Subject string
	Email        string // if it is verified
	IssuedAt     int64  // in seconds since the Unix epoch
}

// values returns the index values of all that may name who.
func (who Login) values(s *store.Sealer) []store.IndexValue {
	issuer := who.Of.Issuer
	return slices.Concat(s.LookupSID(issuer, who.SID), s.LookupSub(issuer, who.Subject), s.LookupEmail(issuer, who.Email), s.LookupIssuer(issuer))
}

// EndedBy returns what a logout token ends. A sid is of one session at the provider, which is over.
func EndedBy(t idp.LogoutToken) Ended {
	if t.SID != "" {
		return Ended{SID: t.SID, Until: math.MaxInt64}
	}
	return Ended{Subject: t.Subject, Until: t.IssuedAt}
}

// logoutName is whom a logout names: at each application a user may have another sub (OpenID Connect Core
// section 8.1). Without a client id it is for all applications of the issuer.
type logoutName struct {
	of              session.RegistrationID
	sid, sub, email string
}

// normal returns of in the form in which registrations are compared.
func normal(of session.RegistrationID) session.RegistrationID {
	of.Issuer = session.NormalIssuer(of.Issuer)
	return of
}

type remembered struct {
	at    time.Time
	until int64 // of the youngest logout
}

type noted struct {
	name logoutName
	at   time.Time
}

func (l *Logouts) init(most int) {
	l.most = most
	l.seen, l.handled = make(map[logoutName]remembered), make(map[tokenName]time.Time)
}

// Repeated reports whether t was dealt with already, for all owners.
func (l *Logouts) Repeated(now time.Time, owners []session.RegistrationID, t idp.LogoutToken) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, of := range owners {
		if at, ok := l.handled[tokenName{normal(of), t.JTI}]; !ok || now.Sub(at) >= handledLife {
			return false
		}
	}
	return true
}

// Done notes that what t names has ended.
func (l *Logouts) Done(now time.Time, owners []session.RegistrationID, t idp.LogoutToken) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.order) > 0 && (len(l.order) >= l.most || now.Sub(l.handled[l.order[0]]) >= handledLife) {
		delete(l.handled, l.order[0])
		l.order = l.order[1:]
	}
	for _, of := range owners {
		name := tokenName{normal(of), t.JTI}
		if _, again := l.handled[name]; !again {
			l.order = append(l.order, name)
		}
		l.handled[name] = now
	}
}

// Remember notes that e was ended at the applications of owners: it may be that a login which it names is under way.
func (l *Logouts) Remember(now time.Time, owners []session.RegistrationID, e Ended) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.old) > 0 && (len(l.old) >= l.most || now.Sub(l.old[0].at) >= logoutLife) {
		first := l.old[0]
		l.old = l.old[1:]
		if l.seen[first.name].at.Equal(first.at) { // not noted again since
			delete(l.seen, first.name)
		}
	}
	for _, of := range owners {
		l.old = append(l.old, noted{nameOf(of, e), now})
	}
	l.put(now, owners, e)
}

// put has l know of e, that came at some time: they may come in any order.
func (l *Logouts) put(at time.Time, owners []session.RegistrationID, e Ended) {
	for _, of := range owners {
		name := nameOf(of, e)
		known := remembered{at, max(l.seen[name].until, e.Until)}
		if was := l.seen[name].at; was.After(at) {
			known.at = was
		}
		l.seen[name] = known
	}
}

func nameOf(of session.RegistrationID, e Ended) logoutName {
	name := logoutName{of: normal(of)}
	switch {
	case e.SID != "":
		name.sid, name.sub = e.SID, e.Subject
	case e.Subject != "":
		name.sub = e.Subject
	default:
		name.email = session.NormalEmail(e.Email)
	}
	return name
}

// Refuses reports whether this process knows that who has been ended already.
func (l *Logins) Refuses(now time.Time, who Login) bool {
	return l.Logouts.Refuses(now, who) || l.Framed.Refuses(now, who)
}

// Refuses reports whether who has been ended already.
func (l *Logouts) Refuses(now time.Time, who Login) bool {
	until, ok := l.Latest(now, who)
	return ok && who.IssuedAt <= until
}

// Latest returns the latest Ended.Until of those that name who, and false where none does.
func (l *Logouts) Latest(now time.Time, who Login) (until int64, ok bool) {
	of, sid, sub, email := normal(who.Of), who.SID, who.Subject, session.NormalEmail(who.Email)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, of := range []session.RegistrationID{of, {Issuer: of.Issuer}} {
		for _, name := range []logoutName{{of: of, sid: sid}, {of: of, sid: sid, sub: sub}, {of: of, sub: sub}, {of: of, email: email}, {of: of}} {
			if m, named := l.seen[name]; named && now.Sub(m.at) < logoutLife && (!ok || m.until > until) {
				until, ok = m.until, true
			}
		}
	}
	return until, ok
}
