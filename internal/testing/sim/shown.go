package sim

import (
	"math"

	"github.com/tokenward/tokenward/internal/directory"
)

// checkOwner holds that an actor that has given up its session does nothing more for it.
func (w *World) checkOwner(m *mailbox) {
	if m.entry != nil && !m.owns() {
		w.fail("owner", "%s goes on after it gave up its session", m.name)
	}
}

// checkShown holds what an actor shows of its session against P3 and P7.
func (w *World) checkShown(m *mailbox) {
	s := m.entry.Snapshot()
	if s == m.shown {
		return
	}
	if !m.owns() {
		return // the supervisor's doing
	}
	old := m.shown
	m.shown = s
	switch s.Phase {
	case directory.Ready:
		w.checkReady(m, old, s)
	case directory.Ended:
		if w.kind == Several {
			m.p.over[m.subject] = math.MaxInt
		}
		if s.State() == nil || s.State().RefreshToken != "" || s.State().User != "" || len(s.State().TokenSets) > 0 {
			w.fail("P7", "the end of %s shows more than connection tokens", m.subject.id)
		}
	default:
	}
}

func (w *World) checkReady(m *mailbox, old, s *directory.Snapshot) {
	f := w.families[s.State().Internal.SID]
	if f == nil || f.subject != m.subject {
		w.fail("P6", "%s shows %q", m.subject.id, s.State().Internal.SID)
		return
	}
	if m.p.heardEnd[f] {
		w.fail("hooks", "%s is shown, and the application was told of its end", f.name)
	}
	n := f.number(s.State().RefreshToken)
	switch asked, ok := m.p.asked[f]; {
	case f.dead && (w.kind == Alone || f.ended.by == m.p):
		w.fail("P7", "%s comes back to life", f.name)
	case n == noToken && f.refused:
		f.unusable = true
	case !ok || n > asked:
		w.fail("P3", "%s shows %s before the store was asked to keep it", f.name, f.token(n))
	case s.Ceiling != f.ceiling || s.State().Internal.Ceiling != f.ceiling:
		w.fail("P4", "%s shows a ceiling that it never had", f.name)
	case old.Phase == directory.Ready && old.Incarnation == s.Incarnation && m.p.defects == 0 && wentBack(n, f.number(old.State().RefreshToken), m.p.held[f]):
		w.fail("P3", "%s goes back to %s", f.name, f.token(n))
	}
	w.checkKept(m, old, s)
	for _, t := range s.State().TokenSets {
		w.showToken(m, f, t.AccessToken)
	}
	for _, t := range s.State().ConnectionTokenSets {
		w.showToken(m, f, t.AccessToken)
	}
}

// wentBack reports whether a session that showed the refresh token numbered old, and has learnt of held, shows an earlier one, n. One
// that was dropped, for it was refused, may be followed by one that a request brings which was on its way then.
func wentBack(n, old, held int) bool { return n < old && n < held && old != noToken }

func (w *World) showToken(m *mailbox, f *family, token string) {
	switch is := w.issued[token]; {
	case is == nil:
		w.fail("P6", "%s shows %q, which nobody issued", f.name, token)
	case is.family != f:
		w.fail("P6", "%s shows a token of %s", f.name, is.family.name)
	case !is.asked:
		w.fail("P3", "%s shows %s before the store was asked to keep it", f.name, token)
	default:
		if _, shown := is.cached[m.p]; !shown {
			if is.cached == nil {
				is.cached = make(map[*process]int, 1)
			}
			is.cached[m.p] = 0
			m.fresh = append(m.fresh, is)
		}
	}
}
