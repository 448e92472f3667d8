package logins

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// A mark is a short-lived record of a shared state store. It tells logins that other processes are completing that sessions
// were ended, or asked for a step-up. No login escapes both the sign-out and its mark, in whichever process each of them runs:
//
//	sign-out:  write the mark,     then find sessions
//	login:     store the session,  then find marks
//
// If the sign-out does not find the session, the session was stored after the sign-out began to look, and so after the mark
// was written: the login finds the mark.
//
// A mark is found by an index value, as sessions are: so a login asks one question, whatever may name it, and each sign-out
// writes a record of its own. One record for each user would have to be read, merged and written back, by processes that may
// do that at the same moment.
type mark struct {
	Owners  []session.RegistrationID `json:"owners"`
	Ended   Ended                    `json:"ended"`
	StepUp  bool                     `json:"step_up,omitempty"` // not ended, but asked to sign in later than Ended.Until
	Written time.Time                `json:"written,omitzero"`
}

// MarkIncarnation is that of every mark, and of no session: so a listing tells them apart.
var MarkIncarnation = session.Incarnation([]byte("sign-out's mark."))

// Marks is how marks are kept.
type Marks struct {
	Index  store.Index   // nil: no other process signs users in, or none can be signed out
	Sealer *store.Sealer // not that of sessions: a mark is found by none of their index values
}

// End has logins refused that e names and that are under way, here and in processes that share the store. It comes before the store is asked for
// sessions. It fails as the store does.
func (l *Logins) End(ctx context.Context, owners []session.RegistrationID, e Ended, o store.Options) error {
	l.Logouts.Remember(l.Env.Clock.Now(), owners, e)
	return l.write(ctx, mark{Owners: owners, Ended: e}, o)
}

// AskStepUp is End for logins whose users are to sign in later than e.Until.
func (l *Logins) AskStepUp(ctx context.Context, owners []session.RegistrationID, e Ended, o store.Options) error {
	l.StepUps.Remember(l.Env.Clock.Now(), owners, e)
	return l.write(ctx, mark{Owners: owners, Ended: e, StepUp: true}, o)
}

// write tells other processes of m.
func (l *Logins) write(ctx context.Context, m mark, o store.Options) error {
	if l.Marks.Index == nil {
		return nil
	}
	said, err := asJSON(m)
	if err != nil {
		return err
	}
	issuer, s := m.Owners[0].Issuer, l.Marks.Sealer
	name := s.LookupSID(issuer, string(said))[0] // the same sign-out, when it comes again, has the same mark
	key := session.KeyOf("ended "+l.Name, string(name[:]))
	m.Written = l.Env.Clock.Now()
	if said, err = asJSON(m); err != nil {
		return err
	}
	r := store.Record{
		Version: session.NewVersion(l.Env.Rand), Incarnation: MarkIncarnation, Index: m.Ended.Values(s, issuer)[:1],
		Sealed: s.Seal(markBinding(key), said), TTL: logoutLife,
	}
	return lookup.Attempt(ctx, l.Env, func(ctx context.Context) error { return l.Env.Store.Replace(ctx, key, r, o) })
}

// Marked returns the sign-outs and step-ups that are marked for who, whose session is stored. With the store's error the login may have been ended.
func (l *Logins) Marked(ctx context.Context, who Login, o store.Options) (ended, stepUps *Logouts, err error) {
	ended, stepUps = new(Logouts), new(Logouts)
	ended.init(maxLogouts)
	stepUps.init(maxLogouts)
	if l.Marks.Index == nil {
		return ended, stepUps, nil
	}
	marks, err := l.marks(ctx, who, o)
	now := l.Env.Clock.Now()
	for _, m := range marks {
		to := ended
		if m.StepUp {
			to = stepUps
		}
		if now.Sub(m.Written) < logoutLife { // else the store has kept it for longer than it was asked to
			to.put(m.Written, m.Owners, m.Ended)
		}
	}
	return ended, stepUps, err
}

// marks reads the marks that may name who.
func (l *Logins) marks(ctx context.Context, who Login, o store.Options) ([]mark, error) {
	var refs []store.Ref
	if err := lookup.Attempt(ctx, l.Env, func(ctx context.Context) (err error) {
		refs, err = l.Marks.Index.Find(ctx, who.values(l.Marks.Sealer), o)
		return err
	}); err != nil {
		return nil, err
	}
	marks := make([]mark, len(refs))
	var reads errgroup.Group
	reads.SetLimit(16)
	for i, r := range refs {
		if r.Incarnation != MarkIncarnation { // an index may be wrong
			continue
		}
		reads.Go(func() (err error) {
			if marks[i], err = l.mark(ctx, r.Key, o); errors.Is(err, store.ErrNotFound) { // it lapsed
				return nil
			}
			return err
		})
	}
	return marks, reads.Wait()
}

// mark reads one.
func (l *Logins) mark(ctx context.Context, key session.Key, o store.Options) (m mark, err error) {
	var r store.Record
	if err = lookup.Attempt(ctx, l.Env, func(ctx context.Context) (err error) {
		r, err = l.Env.Store.Load(ctx, key, o)
		return err
	}); err != nil {
		return m, err
	}
	plain, err := l.Marks.Sealer.Open(markBinding(key), r.Sealed)
	if err == nil {
		err = json.Unmarshal(plain, &m)
	}
	return m, err
}

func markBinding(key session.Key) string { return "ended:" + key.String() }
