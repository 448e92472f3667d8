package sim

import (
	"slices"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

// demandInterval is how long after a refresh that a demand brought about another one must not be, and so for early ones.
const demandInterval = 30

// refusal is a query of which a process had a refresh made on demand.
type refusal struct {
	p      *process
	family *family
	key    session.FlightKey
}

// demanded is the last request that was sent for a demand.
type demanded struct {
	flight *directory.Flight
	at     time.Time
	shown  bool // the session showed the token that was refused
}

// earlyFor is a token that a process is to refresh early.
type earlyFor struct {
	p     *process
	token string
}

// demand has a caller ask for another token than the one that p would answer with, or for one that lasts for longer.
func (w *World) demand() {
	p, s := w.process(), w.subject()
	if i := slices.IndexFunc(w.subjects, func(s *subject) bool { return s.demanded.gotToken() }); i >= 0 && w.choose.odds(50) {
		s = w.subjects[i]
	}
	q, shown := w.shown(p, s)
	switch last := s.demanded; {
	case last.gotToken() && w.choose.odds(80):
		q, shown = last.query, last.answered.token
	case w.choose.odds(20):
		shown = session.Token{}
	}
	left := one(w.choose, []time.Duration{0, 0, 0, 3 * time.Second, 30 * time.Second, 10 * time.Minute})
	for range 1 + w.choose.pick(3) {
		w.askDemanding(p, s, q, shown.AccessToken, left)
	}
}

// gotToken reports whether c is over, and was answered with an access token.
func (c *call) gotToken() bool { return c != nil && c.done && c.answered.token.AccessToken != "" }

// shown returns a query that p can answer now, and the token; any query where there is none.
func (w *World) shown(p *process, s *subject) (q *session.TokenQuery, shown session.Token) {
	e, first := p.lookup.Directory.Lookup(s.id), w.choose.pick(len(w.queries))
	for i := range w.queries {
		q = w.queries[(first+i)%len(w.queries)]
		if e != nil && e.Snapshot().Tokens.Lookup(q, p.now(), w.config.buffer, &shown) {
			return q, shown
		}
	}
	return q, shown
}

// use lets time pass until a token that is shown is near its end, and has two callers ask for it.
func (w *World) use() {
	p, s := w.process(), w.subject()
	q, shown := w.shown(p, s)
	if shown.AccessToken == "" {
		return
	}
	left := min(shown.ExpiresAt.Sub(p.now())-w.config.buffer, 5*time.Minute)
	if keep := one(w.choose, []time.Duration{left / 4, left / 2, time.Second, left}); keep < left {
		w.pass(left - keep)
	}
	for range 2 {
		w.askToken(p, s, q)
		w.calls[len(w.calls)-1].stepAndForget()
	}
}

// askDemanding is askToken for another token than refused, unless that is empty, which is good for left.
func (w *World) askDemanding(p *process, s *subject, q *session.TokenQuery, refused string, left time.Duration) {
	name := "a token " + queryName(q.Key)
	if refused != "" {
		name += " in place of " + refused
	}
	if left > 0 {
		name += " for " + left.String()
	}
	c := w.call(p, s, name, tokenCall, func(c *call) {
		caller := c.caller()
		caller.Demand = session.NewDemand(refused, left)
		c.answered.err = p.lookup.Token(caller, q, &c.answered.token)
	})
	c.query, c.refused = q, refused
	w.named[refused], s.demanded = true, c
}

// moment is when p decides now, at the latest: a decision from before its clock was set back still goes on.
func (p *process) moment() time.Time {
	now := p.now()
	if p.w.step-p.setBack < 50 && now.Before(p.setBackFrom) {
		now = p.setBackFrom
	}
	return now
}

// remembers reports whether p must remember what it did half a minute ago.
func (p *process) remembers() bool {
	c := &p.w.config
	return p.defects == 0 && p.setBack == 0 && c.resident >= 100 && c.passivateAfter > demandInterval*time.Second
}

// checkDemanded holds a request against what its flight demands, where the session shows tokens that answer its query: one of them
// was refused, or is near its end (P2).
func (w *World) checkDemanded(j *job, r *request, shown *session.State) {
	p, f := j.p, j.flight(r.key)
	covered, met := w.meets(f, r.key, shown, j.decided)
	if covered && met {
		w.fail("P2", "a token %s is asked for, and there is one", queryName(r.key))
	}
	if f == nil || f.Demand == (session.Demand{}) || f.Demand.MinRemaining > 0 {
		return
	}
	last := w.demanded[refusal{p, r.family, r.key}]
	if ago := p.now().Sub(last.at); covered && last.shown && last.flight != f && r.family.subject.asked == r.key && p.remembers() &&
		w.wonElsewhere == 0 && ago < demandInterval*time.Second {
		w.fail("P2", "a token %s is asked for on demand, and was %v ago", queryName(r.key), ago)
	}
}

// meets reports whether tokens in shown answer key at now, and whether each of them meets what f, the flight, demands.
func (w *World) meets(f *directory.Flight, key session.FlightKey, shown *session.State, now time.Time) (covered, met bool) {
	met = true
	for i := range shown.TokenSets {
		t := &shown.TokenSets[i]
		if !w.covers(t, key, now) {
			continue
		}
		covered = true
		token := session.Token{AccessToken: t.AccessToken, ExpiresAt: time.Unix(t.ExpiresAt, 0)}
		if f != nil {
			met = met && !f.Demand.Refuses(t.AccessToken) && f.Demand.Lasts(&token, now)
			met = met && (!f.Early() || token.ExpiresAt.Sub(now) > w.config.early+w.config.buffer)
		}
	}
	return covered, met
}

// flight returns the flight for key that could be joined when the session started j, nil where there was none.
func (j *job) flight(key session.FlightKey) *directory.Flight {
	i := slices.IndexFunc(j.flights, func(f *directory.Flight) bool { return f.Query.Key == key })
	if i < 0 {
		return nil
	}
	return j.flights[i]
}

// noteDemanded notes that a request was sent for a demand, or early.
func (w *World) noteDemanded(j *job, r *request) {
	switch f := j.flight(r.key); {
	case f == nil:
	case f.Early():
		w.saw[earlySent]++
	case f.Demand != (session.Demand{}):
		w.saw[demandSent]++
		shown := false
		if j.snapshot.Phase == directory.Ready {
			for _, t := range j.snapshot.State().TokenSets {
				shown = shown || f.Demand.Refuses(t.AccessToken)
			}
		}
		w.demanded[refusal{j.p, r.family, r.key}] = demanded{f, j.p.now(), shown}
	}
}

// checkAsked holds what a call of p asks the session for: an early refresh of a token is asked for once in half a minute (P2).
func (p *process) checkAsked(m any) {
	w := p.w
	ask, ok := m.(*messages.NeedToken)
	if !ok || ask.Flight.Query == nil || !ask.Flight.Early() {
		return
	}
	w.saw[earlyAsked]++
	s := ask.Entry.Snapshot()
	var token session.Token
	if s.Phase != directory.Ready || !s.Tokens.Lookup(ask.Flight.Query, p.now(), w.config.buffer, &token) {
		return // it has been replaced, or has ended, since
	}
	at, now := earlyFor{p, token.AccessToken}, p.now().Unix()
	if last, ok := w.early[at]; ok && now-last < demandInterval && p.remembers() {
		w.fail("P2", "an early refresh of %s is asked for, and one was %d s ago", token.AccessToken, now-last)
	}
	w.early[at] = now
	if left := token.ExpiresAt.Sub(p.now()); left > w.config.early+w.config.buffer {
		w.fail("P2", "an early refresh of %s is asked for, and %v are left", token.AccessToken, left)
	}
	if f := w.families[s.State().Internal.SID]; f != nil && f.ceiling != 0 && int64(f.ceiling)-30 <= token.ExpiresAt.Add(-w.config.buffer).Unix() {
		w.fail("P2", "an early refresh of %s is asked for, and %s ends before it", token.AccessToken, f.name)
	}
}

// judgeDemand holds that a call is not answered with the token that it names, unless a refresh was made for such a call (P6).
func (w *World) judgeDemand(c *call, is *issued) {
	if c.refused == "" {
		return
	}
	if c.answered.token.AccessToken != c.refused {
		w.saw[refusedReplaced]++
		return
	}
	w.saw[refusedKept]++
	if _, ok := w.demanded[refusal{c.p, is.family, c.query.Key}]; !ok {
		w.fail("P6", "call %d got the token that it says was refused, and no refresh was made for that", c.n)
	}
}

// checkKept holds that what a session shows leaves out no token that it had, and that is good still, but for one of the same
// query or one that was refused (P2).
func (w *World) checkKept(m *mailbox, old, s *directory.Snapshot) {
	if old.Phase != directory.Ready || old.Incarnation != s.Incarnation || m.p.defects > 0 || w.config.tokenSets != 0 {
		return
	}
	now, was, is := m.p.moment().Unix(), old.State(), s.State()
	for _, t := range was.TokenSets {
		same := func(n session.TokenSet) bool {
			return n.Audience == t.Audience && (n.AccessToken == t.AccessToken || session.ParseScope(n.Scope).Equal(session.ParseScope(t.Scope)))
		}
		if t.ExpiresAt > now && !w.named[t.AccessToken] && !slices.ContainsFunc(is.TokenSets, same) {
			w.fail("P2", "%s shows %s no more, which is good for another %d s", m.subject.id, t.AccessToken, t.ExpiresAt-now)
		}
	}
	for _, t := range was.ConnectionTokenSets {
		same := func(n session.ConnectionTokenSet) bool {
			return n.Connection == t.Connection && n.LoginHint == t.LoginHint
		}
		if t.ExpiresAt > now && !slices.ContainsFunc(is.ConnectionTokenSets, same) {
			w.fail("P2", "%s shows %s no more, which is good for another %d s", m.subject.id, t.AccessToken, t.ExpiresAt-now)
		}
	}
}
