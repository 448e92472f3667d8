package actors

import (
	"errors"
	"time"

	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/store"
)

// outcome says how store work goes.
type outcome int

var errStore = errors.New("the store is down")

// finish carries out the store operation that is running.
func (w *world) finish(how outcome) {
	job := w.writing
	w.writing = nil
	m := &opDone{op: job, at: w.now}
	if isRead(job) {
		m.grace = w.grace
	}
	if o, ok := job.(stamped); ok {
		o.stamp(w.version())
	}
	_, begins := job.(*beginOp)
	_, releases := job.(*releaseOp)
	saving, saves := job.(*saveOp)
	w.unheard = w.unheard || how != storeDoes && (begins || releases || saves && w.rules.Leases && saving.epoch == 0)
	_, deletes := job.(*deleteOp)
	if _, reads := job.(*readOp); !deletes && !releases {
		w.unreadable = how != storeDoes && (w.unreadable || reads)
	}
	if how == storeFails {
		m.err = errStore
		w.answer(m)
		return
	}
	switch o := job.(type) {
	case *beginOp:
		w.begin(o, m)
	case *readOp, *reloadOp:
		if m.err = w.absent(); m.err == nil {
			m.found = *w.record
		}
	case *releaseOp:
		if o.intent != nil && w.intent != nil && o.intent.Matches(*w.intent) {
			w.intent = nil
		}
		if w.holder == self && w.epoch == o.epoch {
			w.holder = unheld
		}
	case *saveOp:
		w.update(o, m)
	case *loginOp:
		w.record, w.gone, w.intent = &record{o.version, o.incarnation, o.state}, "", nil
		w.tell()
	case *deleteOp:
		if w.record != nil && (o.only.IsZero() || o.only == w.record.incarnation) {
			w.record, w.gone, w.intent = nil, o.why, nil
			w.tell()
		}
	}
	if how == storeLies {
		m.err = errStore
	}
	w.answer(m)
}

// begin is what a store does whose Begin is one operation.
func (w *world) begin(o *beginOp, m *opDone) {
	switch m.err = w.absent(); {
	case m.err != nil:
		return
	case w.record.version != o.version:
		m.found = *w.record
		return
	}
	if o.owned {
		if m.epoch, m.err = w.take(self); m.err != nil {
			return
		}
		m.lapses = m.at.Add(leaseTTL)
	}
	if o.intent == nil {
		return
	}
	in, before := *o.intent, w.intent
	in.Epoch = m.epoch
	next, again, err := in.Over(before)
	if again {
		m.prior = before
	}
	m.grace, m.err = w.grace, err
	if err == nil {
		w.intent = &next
	}
	m.intent = &next
}

const leaseTTL = 15 * time.Second

func (w *world) update(o *saveOp, m *opDone) {
	epoch := o.epoch
	if w.rules.Leases && epoch == 0 {
		if m.epoch, m.err = w.take(self); m.err != nil {
			return
		}
		epoch, m.lapses = m.epoch, m.at.Add(leaseTTL)
	}
	switch {
	case w.rules.Leases && epoch < w.epoch:
		m.err = store.ErrConflict
	case w.record == nil:
		m.err = w.absent()
	case w.record.version != o.prev || w.record.incarnation != o.incarnation:
		m.err = store.ErrConflict
	default:
		w.record = &record{o.version, o.incarnation, o.state}
		if !o.keeps {
			w.intent = nil
		}
		if o.free && w.holder == self && w.epoch == epoch {
			w.holder = unheld
		}
		w.updates++
		w.tell()
	}
}

// answer brings what the store said, now or later.
func (w *world) answer(m *opDone) {
	if w.late {
		w.reply = m
		return
	}
	w.post(m)
}

// answerNow brings the answer that was held back.
func (w *world) answerNow() {
	m := w.reply
	w.reply, w.late = nil, false
	w.post(m)
}

// tell has the store tell of what it holds now.
func (w *world) tell() {
	m := &messages.ReadRecord{}
	if w.record != nil {
		m.Version = w.record.version
	}
	if w.tells {
		w.notices = append(w.notices, m)
	}
}

// hear passes the oldest notice on, as the supervisor does.
func (w *world) hear() {
	m := w.notices[0]
	w.notices = w.notices[1:]
	w.note("hears of %v", m.Version)
	if w.core != nil {
		w.command(m)
	} else if !m.Version.IsZero() {
		w.marker = false
	}
}

// hearAll has every notice told and handled.
func (w *world) hearAll() {
	for len(w.notices) > 0 {
		w.hear()
	}
	w.deliverAll()
}

// Who may hold the lease.
const unheld, self, other = "", "self", "other"

// take takes or renews the lease for owner.
func (w *world) take(owner string) (int64, error) {
	switch w.holder {
	case unheld:
		w.holder = owner
		w.epoch++
	case owner:
	default:
		return 0, store.ErrLeased
	}
	return w.epoch, nil
}

// renewNow carries out a renewal of the lease.
func (w *world) renewNow(how outcome) {
	m := &renewedLease{epoch: w.renewal, at: w.now, lapses: w.now.Add(leaseTTL)}
	w.unheard = w.unheard || how != storeDoes
	switch {
	case how != storeDoes:
		m.err = errStore
	case w.holder != self || w.epoch != w.renewal:
		m.err = store.ErrConflict
	}
	w.renewal = 0
	w.post(m)
}

func (w *world) absent() error {
	switch {
	case w.record != nil:
		return nil
	case w.gone != "":
		return &store.GoneError{Reason: w.gone}
	}
	return store.ErrNotFound
}

func (w *world) retryNow() {
	w.retry = false
	w.post(&retryDue{})
}

func (w *world) pollNow() {
	w.poll = false
	w.post(&pollDue{})
}

func (w *world) renewalDue() {
	w.renew = false
	w.post(&renewDue{})
}
