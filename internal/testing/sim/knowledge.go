package sim

import (
	"slices"

	"github.com/tokenward/tokenward/internal/directory"
)

// knowledge is how much a process can know of a session when a call begins.
type knowledge struct {
	noticed int  // the last write that it was told of, and has had time for
	behind  bool // it will be told of more, or never, and does not know
	gap     int  // the step in which it last found a gap in its feed
}

func (p *process) knowledgeOf(s *subject) (at knowledge) {
	if p.fresh == nil || !p.w.config.feed {
		return at
	}
	at.gap = p.gap
	is := func(n notice) bool { return n.of == s }
	at.behind = p.dropped[s] || slices.ContainsFunc(p.notices, is) || !p.settled(s)
	if !at.behind && p.believed && p.unread[s] == 0 {
		at.noticed = p.noticed[s]
	}
	return at
}

// settled reports whether nothing of p can go on by itself that is about s, now or after a pause.
func (p *process) settled(s *subject) bool {
	for _, m := range p.mailboxes {
		if (m.subject == s || m.subject == nil) && m.pending() {
			return false
		}
	}
	return !slices.ContainsFunc(p.jobs, func(j *job) bool { return j.about == s || j.about == nil })
}

// knew reports whether the process of c had to know of a change when c began. It had if it
// made it, or started since; if it was told, and has read the session since; if it found a gap in its feed since; and in any
// case once the snapshot age has passed, unless it is told of writes and that notice is still
// on its way, or the store does not answer, or a defect was met in reading. A change is in the store from the step inStore
// on.
func (c *call) knew(of change, inStore int) bool {
	p, w := c.p, c.w
	if w.kind == Alone || of.by == p || p.born > of.step {
		return true
	}
	since := c.at.Sub(of.at)
	switch {
	case inStore > 0 && inStore < c.knowledge.gap && p.failed < c.knowledge.gap && p.defects == 0:
		return true // nothing read before a gap is shown without a read
	case (!p.trouble.IsZero() || p.defects > 0) && since < outage:
		return false
	case inStore > 0 && c.knowledge.noticed >= inStore:
		return true
	case c.knowledge.behind:
		w.saw[notKnownYet]++
		return false
	case w.config.skew:
		since -= 2 * maxSkew
	}
	return since >= snapshotAge
}

// owed reports whether another process is still to do a logout of s that was asked of it
// before: it ends whatever login there is then.
func (s *subject) owed() bool {
	for p := range s.owing {
		e := p.lookup.Directory.Lookup(s.id)
		switch {
		case p.w.kind == Alone || !p.alive || p.settled(s) && (e == nil || e.Unsaved() == directory.Saved):
			delete(s.owing, p) // it is done
		default:
			return true
		}
	}
	return false
}

// afterAll notes that a login or logout was done of which its caller was told that it failed.
func (s *subject) afterAll() {
	w := s.w
	if w.kind == Several {
		s.certain = false
		s.touched, s.lastEnd = w.step, w.step
	}
}

// ending reports whether the process of c had still to do with the end of an earlier login when
// c began: until that is done it is what it says.
func (c *call) ending() bool { return c.w.kind == Several && c.p.over[c.subject] >= c.begin }
