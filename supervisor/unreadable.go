package supervisor

import (
	"go.uber.org/zap"

	"github.com/tokenward/tokenward/session"
)

// unreadable counts records that cannot be read: no configured secret opens them. They count as no session and are left
// as they are, since during a rolling deploy they are living sessions of the processes with the newer secret. One line
// of the log a minute tells of all of them.
//
// Example: half of the servers have a new secret, and a user's requests go to both halves. Deleting the record here would sign the user
// out there. One line for each such request would fill the log of the whole deploy.
type unreadable struct {
	untold int  // unreadable records since the last line
	armed  bool // a timer for another line is set
}

const unreadableEvery = 60 // seconds between two lines

// cannotRead notes such a record, and logs it unless a line is due soon anyway.
func (s *Supervisor) cannotRead(key session.Key, err error) {
	s.env.Stats.Unreadable.Add(1)
	s.env.Stats.UnreadableAt.Store(s.now().Unix())
	s.skipIntent(key)
	u := &s.unreadable
	u.untold++
	if u.armed {
		return
	}
	u.armed = true
	s.due.add(&timer{kind: unreadableTimer}, s.now().Unix()+unreadableEvery)
	s.env.Log.Warn("session records cannot be read; they count as no session and are left as they are",
		zap.Int("count", u.untold), zap.Stringer("session", key), zap.Error(err))
	u.untold = 0
}

// sayUnreadable logs how many more there were since the last line.
func (s *Supervisor) sayUnreadable() {
	u := &s.unreadable
	u.armed = false
	if u.untold == 0 || s.closing {
		return
	}
	u.armed = true
	s.due.add(&timer{kind: unreadableTimer}, s.now().Unix()+unreadableEvery)
	s.env.Log.Warn("more session records cannot be read; they count as no session and are left as they are", zap.Int("count", u.untold))
	u.untold = 0
}
