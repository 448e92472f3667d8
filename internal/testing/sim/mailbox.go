package sim

import (
	"fmt"
	"math"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
)

// mailbox is the mailbox of an actor. It handles one message a turn, when the world says
// so: the library's handles all there are, and nothing would come between.
type mailbox struct {
	w       *World
	p       *process
	name    string
	invoker actor.MessageInvoker

	system, user []any
	suspended    bool
	stopped      bool

	// Of a session's actor, from Adopt on.
	pid     *actor.PID
	entry   *directory.Entry
	subject *subject
	shown   *directory.Snapshot
	fresh   []*issued // shown, while their flights can still be joined
}

var _ actor.Mailbox = (*mailbox)(nil)

// newMailbox makes the mailboxes of p's actors. The first is the supervisor's.
func (p *process) newMailbox() actor.Mailbox {
	p.spawned++
	m := &mailbox{w: p.w, p: p, name: "supervisor"}
	if p.spawned > 1 {
		m.name = fmt.Sprintf("actor %d", p.spawned-1)
	}
	p.mailboxes = append(p.mailboxes, m)
	return m
}

// PostUserMessage implements actor.Mailbox.
func (m *mailbox) PostUserMessage(message any) {
	if m.p.alive && !m.stopped {
		m.user = append(m.user, message)
	}
}

// PostSystemMessage implements actor.Mailbox.
func (m *mailbox) PostSystemMessage(message any) {
	if m.p.alive && !m.stopped {
		m.system = append(m.system, message)
	}
}

// RegisterHandlers implements actor.Mailbox.
func (m *mailbox) RegisterHandlers(invoker actor.MessageInvoker, _ actor.Dispatcher) {
	m.invoker = invoker
}

// Start implements actor.Mailbox.
func (*mailbox) Start() {}

// UserMessageCount implements actor.Mailbox.
func (m *mailbox) UserMessageCount() int { return len(m.user) }

func (m *mailbox) runnable() bool { return !m.p.paused && m.pending() }

// pending reports whether there is a message to handle, if only once the process goes on.
func (m *mailbox) pending() bool { return len(m.system) > 0 || len(m.user) > 0 && !m.suspended }

// turn handles the next message.
func (m *mailbox) turn() {
	w := m.w
	w.turn = m
	defer func() {
		w.turn = nil
		if r := recover(); r != nil {
			w.fail("contained", "a panic escaped an actor: %v", r)
		}
	}()
	if len(m.system) > 0 {
		msg := m.system[0]
		m.system = m.system[1:]
		m.handleSystem(msg)
		return
	}
	msg := m.user[0]
	m.user = m.user[1:]
	if w.tracing {
		w.note("%s%s handles %s", m.p.prefix(), m.name, describe(msg))
	}
	if a, ok := msg.(*messages.Adopt); ok {
		m.adopt(a)
	}
	w.handled(m, msg)
	m.invoker.InvokeUserMessage(msg)
	if m.entry != nil {
		w.checkShown(m)
		w.checkDelivered(m)
	} else {
		m.p.checkSupervised()
	}
}

func (m *mailbox) handleSystem(msg any) {
	m.w.note("%s%s: %T", m.p.prefix(), m.name, msg)
	switch msg.(type) {
	case *actor.SuspendMailbox:
		m.suspended = true
	case *actor.ResumeMailbox:
		m.suspended = false
	default:
		m.invoker.InvokeSystemMessage(msg)
	}
	if _, ok := msg.(*actor.Stop); ok {
		m.stopped, m.system, m.user = true, nil, nil
		m.p.forget(m)
		if m.subject != nil && m.w.kind == Several && m.p.over[m.subject] == math.MaxInt {
			m.p.over[m.subject] = m.w.step
		}
	}
}

// adopt notes whose actor this is.
func (m *mailbox) adopt(a *messages.Adopt) {
	m.pid, m.entry, m.subject = a.Entry.PID(), a.Entry, m.w.byKey[a.Entry.Key]
	m.shown = a.Entry.Snapshot()
	if m.shown.Phase == directory.Ready {
		if f := m.w.families[m.shown.State().Internal.SID]; f != nil {
			m.p.read(f, a.Version, f.number(m.shown.State().RefreshToken))
		}
	}
	if m.subject != nil {
		m.name = fmt.Sprintf("%s (of %s)", m.name, m.subject.id)
	}
	for _, other := range m.p.mailboxes {
		if other != m && other.entry != nil && other.entry.Key == a.Entry.Key && other.owns() {
			m.w.fail("owner", "%s is adopted by %s while %s owns it", m.subject.id, m.name, other.name)
		}
	}
}

// owns reports whether m is the actor that owns its entry.
func (m *mailbox) owns() bool { return !gone(m.entry) && m.entry.PID() == m.pid }

func gone(e *directory.Entry) bool {
	select {
	case <-e.Gone():
		return true
	default:
		return false
	}
}

func describe(msg any) string {
	switch m := msg.(type) {
	case *messages.NeedToken:
		if m.Flight.Query == nil {
			return "a message that no core can handle"
		}
		return fmt.Sprintf("NeedToken %s", queryName(m.Flight.Query.Key))
	case *messages.EndSession:
		return fmt.Sprintf("EndSession, %s", m.Why)
	}
	return fmt.Sprintf("%T", msg)
}
