package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/session"
)

// story tells one interleaving by a script: what callers, provider, store, clock and processes do, one
// thing a line, and what must be seen then. See stories/README.txt for the words.
//
// After each line everything goes on that can, in one fixed order, except for time and for what the
// story holds up. At its end everything comes to rest. All along, the promises are held as in any other run.
type story struct {
	machine *Machine
	w       *World
	line    int
	given   []func(*config)
	living  int // processes that are there at the start

	calls    map[string]*call
	logins   map[string]*family
	held     map[string]bool // nouns, "requests" or "answers to requests", of all processes or of one
	provider []faultKind     // how the next requests go
	store    map[string][]storeFault
	cut      *process       // that was closed without waiting
	asked    map[string]int // calls of provider and store, by noun, since it was last looked at
}

// TellStory runs a script. It returns what happened, step by step, and why the story went another way than
// the script says, nil where it did not.
func TellStory(script string) (trace []string, err error) {
	t := &story{
		living: 1, calls: make(map[string]*call), logins: make(map[string]*family), held: make(map[string]bool),
		store: make(map[string][]storeFault), asked: make(map[string]int),
	}
	defer t.close()
	for i, line := range strings.Split(script, "\n") {
		t.line = i + 1
		if line, _, _ = strings.Cut(line, "#"); strings.TrimSpace(line) == "" {
			continue
		}
		if err := t.tell(strings.TrimSpace(line)); err != nil {
			return t.trace(), fmt.Errorf("line %d: %w", t.line, err)
		}
	}
	if t.w == nil {
		return nil, errors.New("nothing happens")
	}
	return t.trace(), t.end()
}

func (t *story) trace() []string {
	if t.w == nil {
		return nil
	}
	return t.w.trace
}

// begin makes the world, once all that is given has been said.
func (t *story) begin() {
	kind := Alone
	if t.living > 1 {
		kind = Several
	}
	t.given = append(t.given, func(c *config) { c.processes, c.pauses, c.tight = t.living, true, true })
	t.machine = NewMachine(kind)
	t.w = newWorld(t.machine, 1, replay(nil), new([coverageEnd]int64), t.given...)
	t.w.story, t.w.tracing, t.w.draining = t, true, false
	for range t.living {
		p := t.w.start()
		if kind == Several && t.w.config.feed {
			p.feedBegins()
		}
	}
	t.goOn()
}

// end lets everything come to rest, and holds the promises for the end.
func (t *story) end() error {
	w := t.w
	clear(t.held)
	for _, p := range w.processes {
		p.heldUp = false
	}
	w.story = nil
	w.drain()
	if failure := w.failure; failure != nil {
		return fmt.Errorf("as everything comes to rest: %w", failure)
	}
	return nil
}

func (t *story) close() {
	if t.w == nil {
		return
	}
	t.w.story = nil
	t.w.finish()
	t.machine.Close()
}

// goOn lets everything go on that can, but no time pass.
func (t *story) goOn() { t.w.settle(0) }

// tell does what a line says.
func (t *story) tell(line string) error {
	for _, v := range vocabulary {
		m := v.form.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if v.given != nil {
			if t.w != nil {
				return errors.New("what is given comes before what happens")
			}
			return v.given(t, m[1:])
		}
		if t.w == nil {
			t.begin()
		}
		t.w.note("--- %s", line)
		err := v.does(t, m[1:])
		if err == nil && !strings.HasPrefix(line, "expect ") {
			t.goOn()
		}
		if t.w.failure != nil {
			return t.w.failure
		}
		return err
	}
	return fmt.Errorf("it cannot be told: %q", line)
}

// expectAnswer holds the answer to a call against what a line says of it.
func (t *story) expectAnswer(name, want string) error {
	c := t.calls[name]
	if c == nil {
		return fmt.Errorf("there was no call %s", name)
	}
	kind, text := c.answer()
	if other, same := strings.CutPrefix(want, "the same token as "); same {
		if o := t.calls[other]; o == nil || kind != "a token" || text != second(o.answer()) {
			return fmt.Errorf("%s got %s %s, want that of %s", name, kind, text, other)
		}
		return nil
	}
	if other, different := strings.CutPrefix(want, "another token than "); different {
		if o := t.calls[other]; o == nil || kind != "a token" || text == second(o.answer()) {
			return fmt.Errorf("%s got %s %s, want another than %s", name, kind, text, other)
		}
		return nil
	}
	if kind != want {
		return fmt.Errorf("%s got %s %s, want %s", name, kind, text, want)
	}
	return nil
}

func second(_, text string) string { return text }

// answer says what a call was answered, in a word and at length.
func (c *call) answer() (kind, text string) {
	if !c.done {
		return "nothing yet", ""
	}
	err := c.answered.err
	switch a := &c.answered; {
	case err != nil:
	case c.kind == tokenCall:
		return "a token", a.token.AccessToken
	case c.kind == connectionCall:
		return "a token", a.connection.AccessToken
	case c.kind == orderCall, c.kind == updateCall:
		return "done", ""
	case a.state == nil:
		return "no session", ""
	default:
		return "the session", a.state.Internal.SID
	}
	switch {
	case errors.Is(err, context.Canceled):
		return "cancelled", ""
	case errors.Is(err, errStore): // as Client says it
		return string(session.CodeStoreError), err.Error()
	}
	return string(session.CodeOf(err)), err.Error()
}

// holds reports whether the story holds a job up.
func (t *story) holds(j *job) bool {
	noun := ""
	switch {
	case j.stage == atRest || j.parked.Err() != nil: // its caller gives up in time
		return false
	case j.kind == actors.ProviderWork && j.request != nil:
		noun = "requests"
	default:
		for n, calls := range storeNouns {
			if slices.Contains(calls, j.call) {
				noun = n
			}
		}
	}
	if j.stage == acted {
		noun = "answers to " + noun
	}
	return t.held[noun+" "] || t.held[noun+" "+strconv.Itoa(j.p.n)]
}

// providerFault says how the next request goes.
func (t *story) providerFault() faultKind {
	t.asked["requests"]++
	switch {
	case t.w.providerDown:
		return faultUnreachable
	case len(t.provider) == 0:
		return faultNone
	}
	next := t.provider[0]
	t.provider = t.provider[1:]
	return next
}

// storeFault says how a call of the store goes.
func (t *story) storeFault(call string) storeFault {
	for noun, calls := range storeNouns {
		if slices.Contains(calls, call) {
			t.asked[noun]++
		}
	}
	faults := t.store[call]
	if len(faults) == 0 {
		return storeFine
	}
	t.store[call] = faults[1:]
	return faults[0]
}
