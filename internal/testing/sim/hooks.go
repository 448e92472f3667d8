package sim

import (
	"sync/atomic"

	"github.com/tokenward/tokenward/internal/hooks"
)

// newHooks returns a queue whose events are looked at when they are told.
func (p *process) newHooks() *hooks.Queue {
	return hooks.New(func(job func()) { job() }, p.checkEvent, func(int64) {}, new(atomic.Int64))
}

// checkEvent holds that the end of a login is told once in a process. That it is not shown afterwards is for checkReady to say.
func (p *process) checkEvent(e hooks.Event) {
	w := p.w
	switch e.Kind {
	case hooks.Ended:
		if e.Named == nil {
			return
		}
		f := w.families[e.Named.Internal.SID]
		w.saw[endHeard]++
		switch {
		case f == nil || f.subject.key != e.Key:
			w.fail("hooks", "the end of %q is told, of which there was none", e.Named.Internal.SID)
		case p.heardEnd[f] && w.storeTrouble == 0: // else its record may have stayed, and was read again past its ceiling
			w.fail("hooks", "the end of %s is told twice", f.name)
		}
		p.heardEnd[f] = true
	case hooks.Refreshed:
		w.saw[refreshHeard]++
	case hooks.RefreshFailed:
		if w.saw[failureHeard]++; e.Err == nil {
			w.fail("hooks", "a refresh has failed for no reason")
		}
	}
}
