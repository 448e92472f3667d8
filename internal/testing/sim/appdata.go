package sim

import (
	"encoding/json"
	"slices"

	"github.com/tokenward/tokenward/session"
)

// valueChange is an update of the values that the application keeps in a session: each adds its number to a list.
type valueChange struct {
	family *family // whose session it was made for; nil: it was made for none
	step   int     // in which its caller was told that the store has it; 0: it was not told so
	p      *process
}

const valuesName = "updates"

// numbers returns the updates in d, nil where there are none.
func numbers(d session.RawData) (list []int) {
	_, _ = d.Data().Get(valuesName, &list)
	return list
}

// update has the application change the values in s.
func (w *World) update(p *process, s *subject) {
	n := len(w.changes)
	made := &valueChange{p: p}
	w.changes = append(w.changes, made)
	c := w.call(p, s, "an update", updateCall, func(c *call) {
		c.answered.err = p.lookup.Update(c.caller(), func(from session.RawData) (session.RawData, error) {
			if made.family == nil {
				made.family = w.families[p.lookup.Directory.Lookup(s.id).Snapshot().State().Internal.SID]
			} else {
				w.saw[updatedAgain]++
			}
			list, err := json.Marshal(append(numbers(from), n))
			if err != nil {
				return "", err
			}
			return session.Data{valuesName: list}.Raw()
		})
	})
	c.made = made
}

// judgeUpdate holds the answer of an update against the truth.
func (w *World) judgeUpdate(c *call, err error) {
	made := c.made
	f := made.family
	switch {
	case err != nil:
		w.judgeError(c, err, false)
		return
	case f == nil:
		w.fail("P6", "call %d has updated nothing, and is told that it has", c.n)
	case w.overFor(c, f):
		w.fail("P7", "call %d has updated %s, which is over", c.n, f.name)
	case f.over(c.time) && f.over(c.p.now()):
		w.fail("P4", "call %d has updated %s past its ceiling", c.n, f.name)
	case c.lifetimeOver(f):
		w.fail("P4", "call %d has updated %s, which has outlived its lifetime", c.n, f.name)
	}
	made.step = w.step
	w.saw[updated]++
	w.observe(c.subject)
	if v := c.subject.stored; v.family == f && !v.unreadable {
		w.checkValues(f, v.values)
	}
}

// checkValues holds that the store has each update of f that a caller was told it has, and none of another login.
func (w *World) checkValues(f *family, have []int) {
	for n, made := range w.changes {
		has := slices.Contains(have, n)
		switch {
		case has && made.family != f:
			w.fail("P6", "%s has an update of another login", f.name)
		case !has && made.family == f && made.step != 0:
			w.fail("P3", "update %d of %s is lost", n, f.name)
		}
	}
}

// judgeValues holds what c reads of f against what the same process was told before.
func (w *World) judgeValues(c *call, f *family, have []int) {
	for n, made := range w.changes {
		has := slices.Contains(have, n)
		switch {
		case has && made.family != f:
			w.fail("P6", "call %d reads an update of another login than %s", c.n, f.name)
		case !has && made.family == f && made.p == c.p && made.step != 0 && made.step < c.begin:
			w.fail("P3", "call %d reads %s without update %d, which was there before", c.n, f.name, n)
		}
	}
}
