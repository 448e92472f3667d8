package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// login signs s in.
func (w *World) login(p *process, s *subject) {
	ceiling, lifetime := int64(0), int64(0)
	switch ceiling = one(w.choose, []int64{0, 0, 0, 0, 0, 0, 3600, 300, 90, 32}); {
	case ceiling != 0:
	case w.choose.odds(20):
		lifetime = one(w.choose, []int64{120, 30, 5})
	}
	w.signIn(p, s, ceiling, lifetime)
}

// signIn signs s in, with a ceiling and an absolute lifetime in so many seconds; 0 is none.
func (w *World) signIn(p *process, s *subject, ceiling, lifetime int64) {
	now := w.fake.Now()
	f := &family{subject: s, name: fmt.Sprintf("%s.%d", s.id, len(s.families)+1), incarnation: session.NewIncarnation(w.random)}
	if ceiling != 0 {
		f.ceiling = session.Ceiling(now.Unix() + ceiling)
	}
	if lifetime != 0 {
		f.endsAt = now.Unix() + lifetime
	}
	s.families = append(s.families, f)
	w.families[f.name], w.byIncarnation[f.incarnation] = f, f
	q := w.queries[w.choose.pick(len(w.queries))]
	w.tokens++
	access := fmt.Sprintf("at/%s/%s/%s/%d", f.name, q.Key.Audience, q.Key.Scopes, w.tokens)
	life := one(w.choose, []int64{300, 20, 5, 1})
	state := session.NewState(session.Login{
		Claims: map[string]any{"sub": "user of " + f.name, "sid": f.name, "iss": issuer, "iat": json.Number(fmt.Sprint(now.Unix()))},
		Response: session.TokenResponse{
			AccessToken: access, RefreshToken: f.token(0), ExpiresIn: life, HasExpiresIn: true,
		},
		Audience: q.Key.Audience, Scope: q.Scope, Domain: session.DomainOf(issuer), Now: now, Random: w.random,
	})
	state.Internal.Ceiling, state.Internal.EndsAt = f.ceiling, f.endsAt
	set := session.ParseScope(q.Scope)
	w.issued[access] = &issued{
		family: f, audience: q.Key.Audience, requested: set, granted: set, expires: time.Unix(now.Unix()+life, 0),
	}
	c := w.order(p, s, "login "+f.name, func(lent *directory.Call) messages.Awaited {
		return &messages.ReplaceSession{ID: s.id, Key: s.key, State: state, Incarnation: f.incarnation, Call: lent}
	})
	c.opens(opLogin, f)
	f.login = c.op
}

// logout signs s out, of whichever login.
func (w *World) logout(p *process, s *subject) {
	c := w.order(p, s, "logout", func(lent *directory.Call) messages.Awaited {
		return &messages.EndSession{ID: s.id, Key: s.key, Why: session.ReasonLogout, Call: lent}
	})
	c.opens(opLogout, nil)
}

// end ends one login of s, as a logout token does.
func (w *World) end(p *process, s *subject, f *family) {
	c := w.order(p, s, "back-channel logout of "+f.name, func(lent *directory.Call) messages.Awaited {
		return &messages.EndSession{Key: s.key, Only: f.incarnation, Why: session.ReasonBackchannelLogout, Call: lent}
	})
	c.opens(opEnd, f)
}

// signOut ends one login of s as signing a user out everywhere does: the store ends all of the user's sessions in one call, and then
// this process is told of each.
func (w *World) signOut(p *process, s *subject, f *family) {
	f.endTried = true
	_, had := w.store.Load(context.Background(), s.key, store.Options{})
	left, err := w.store.EndAll(context.Background(), []store.Ref{{Key: s.key, Incarnation: f.incarnation}},
		store.Ending{Reason: session.ReasonBackchannelLogout}, store.Options{})
	if err != nil || len(left) > 0 {
		panic("sim: the store leaves a session that it can end")
	}
	if _, has := w.store.Load(context.Background(), s.key, store.Options{}); had == nil && has != nil {
		w.tell(s, session.Version{})
	}
	w.observe(s)
	c := w.order(p, s, "sign-out everywhere of "+f.name, func(lent *directory.Call) messages.Awaited {
		return &messages.EndSession{Key: s.key, Only: f.incarnation, Why: session.ReasonBackchannelLogout, InStore: true, Call: lent}
	})
	c.opens(opEnd, f)
}
