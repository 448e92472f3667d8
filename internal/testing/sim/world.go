package sim

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/runner"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Machine is what many runs can share, one after the other: the actor system, and keys
// that are costly to derive.
type Machine struct {
	kind    Kind
	system  *actor.ActorSystem
	codec   *store.Codec
	policy  session.Policy
	asked   []*session.TokenQuery
	held    *session.TokenQuery // that nothing else answers
	workers workers
}

// NewMachine returns a Machine. Close it when the last run is over.
func NewMachine(kind Kind) *Machine {
	sealer, err := store.NewSealer(name, nil, strings.Repeat("a secret of 32 bytes or more ", 2))
	if err != nil {
		panic(err)
	}
	m := &Machine{
		kind:   kind,
		system: actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) })),
		codec:  &store.Codec{Sealer: sealer, Domain: issuer},
		policy: session.Policy{Audience: "api"},
	}
	for _, ask := range [][2]string{{"", ""}, {"", "read"}, {"", "write read"}, {"", "read  write"}, {"other", ""}, {"other", "read"}} {
		m.asked = append(m.asked, m.policy.Query(ask[0], ask[1]))
	}
	m.held = m.policy.Query("held", "")
	return m
}

// Close ends m.
func (m *Machine) Close() {
	m.workers.close()
	m.system.Shutdown()
}

// World is one run.
type World struct {
	kind    Kind
	config  config
	stated  time.Duration // the overlap that processes are told of; a scene may have another
	choose  *choices
	random  *rand.ChaCha8 // what the product draws
	fake    *clock.Fake
	timers  []*timer
	system  *actor.ActorSystem
	workers *workers
	codec   *store.Codec
	queries []*session.TokenQuery
	store   *store.Memory

	heldQuery *session.TokenQuery

	subjects      []*subject
	byKey         map[session.Key]*subject
	families      map[string]*family
	byIncarnation map[session.Incarnation]*family
	issued        map[string]*issued
	last          map[asked]*request
	demanded      map[refusal]demanded
	early         map[earlyFor]int64 // when an early refresh was asked for
	named         map[string]bool    // tokens that a call says were refused
	wonElsewhere  int                // how often what another process got stayed
	tokens        int
	requests      int

	processes  []*process
	started    int
	calls      []*call
	made       int
	changes    []*valueChange
	answers    int
	late       []stranded
	deliveries []delivery

	step         int
	turn         *mailbox // whose turn it is
	stepping     *call    // that goes on now
	job          *job     // whose step it is
	defect       defect
	storeDown    bool
	providerDown bool
	storeTrouble int // store calls that failed
	storePanics  int // of store or provider
	draining     bool
	stuck        *job     // whose answer takes longer than everything else of a scene
	story        *story   // that is told, and decides what fails and what is held up; nil where that is drawn
	held         *subject // whose requests are held while the others go on

	opened struct {
		version session.Version
		state   *session.State
	}

	tracing bool
	trace   []string
	failure *Failure
	saw     *[coverageEnd]int64
}

// delivery is a message that brings the result of a job.
type delivery struct {
	message any
	job     *job
}

type defect uint8

const (
	noDefect defect = iota
	clockDefect
	randDefect
)

// Failure is a promise that was broken.
type Failure struct { //nolint:errname // what a run ended with, an error or not
	Check string // P1 to P12, or owner, contained
	Text  string
	Step  int
}

// Error implements error.
func (f *Failure) Error() string { return fmt.Sprintf("%s: %s (in step %d)", f.Check, f.Text, f.Step) }

// fail notes the first promise that is broken; the run ends after the present step.
func (w *World) fail(check, format string, args ...any) {
	if w.failure == nil {
		w.failure = &Failure{check, fmt.Sprintf(format, args...), w.step}
		w.note("BROKEN %s: %s", check, w.failure.Text)
	}
}

func (w *World) note(format string, args ...any) {
	if w.tracing {
		line := fmt.Sprintf(format, args...)
		if strings.HasPrefix(line, "  ") {
			line = strings.Repeat(" ", 6) + line
		} else {
			line = fmt.Sprintf("%4d  %s", w.step, line)
		}
		w.trace = append(w.trace, line)
	}
}

// config is what a seed decides once.
type config struct {
	subjects       int
	rotates        bool
	overlap        time.Duration
	permits        int
	permitQueue    int
	resident       int
	queries        int
	tokenSets      int
	passivateAfter time.Duration
	rememberEnded  time.Duration
	buffer         time.Duration
	early          time.Duration // tokens in use are refreshed so long before they expire; 0: they are not
	index          bool
	exclusive      bool
	revoke         bool
	endOnDead      bool // a session ends where its refresh token is dead
	retry          bool // requests that failed are sent again
	breaker        bool // a provider that fails is left alone
	tired          bool // the provider mostly fails in ways that pass
	paceFrom       int  // requests in a second, of which a 429 begins a pace
	tight          bool // callers may be told that there is too much to do
	storeFaults    int  // in percent
	providerFaults int
	hold           bool // a session's requests are held at the end
	close          bool // the process is closed at the end
	steps          int
	processes      int // how many live at a time, of the kind Several
	feed           bool
	intents        bool
	pauses         bool
	skew           bool // clocks differ
	weights        [actionKinds]int
}

func (w *World) configure() {
	w.choose.begin()
	c, pick := &w.config, w.choose
	c.subjects = one(pick, []int{1, 2, 2, 3})
	c.rotates = !pick.odds(15)
	c.overlap = one(pick, []time.Duration{0, 5 * time.Second, time.Minute})
	c.permits = one(pick, []int{8, 2, 1, 1})
	c.permitQueue = one(pick, []int{100, 1, 0})
	c.resident = one(pick, []int{100, 100, 2, 1})
	c.queries = one(pick, []int{64, 64, 2, 1})
	c.tokenSets = one(pick, []int{0, 0, 0, 2})
	c.passivateAfter = one(pick, []time.Duration{15 * time.Minute, time.Minute, 15 * time.Second})
	c.rememberEnded = one(pick, []time.Duration{10 * time.Minute, 20 * time.Second})
	c.buffer = one(pick, []time.Duration{0, 0, 2 * time.Second})
	c.index = !pick.odds(25)
	c.exclusive = !pick.odds(25)
	c.revoke = pick.odds(45)
	c.storeFaults = one(pick, []int{0, 0, 5, 20})
	c.providerFaults = one(pick, []int{0, 25, 60, 80})
	c.hold = pick.odds(80)
	c.close = pick.odds(40)
	c.steps = one(pick, []int{400, 800, 1100})
	c.tight = c.permitQueue < 100 || c.resident < 100 || c.queries < 64
	kinds := aloneKinds
	if w.kind == Several {
		kinds = actionKinds
	}
	for i := range kinds {
		c.weights[i] = actions[i].weight * one(pick, []int{2, 2, 1, 1, 0, 4})
	}
	for i := range 3 { // what goes on by itself always may
		c.weights[i] = max(c.weights[i], actions[i].weight)
	}
	if w.kind == Several {
		c.exclusive = false
		c.subjects = min(c.subjects, 2)
		for i := range 3 { // a request takes more steps
			c.weights[i] *= 3
		}
		c.processes = one(pick, []int{2, 2, 3})
		c.feed = !pick.odds(30)
		c.intents = !pick.odds(20)
		c.pauses = pick.odds(60)
		c.skew = pick.odds(30)
	}
	c.endOnDead = pick.odds(20)
	c.early = one(pick, []time.Duration{0, 0, 3 * time.Second, 2 * time.Minute})
	c.retry = pick.odds(50)
	c.breaker = pick.odds(30)
	if c.tired = pick.odds(35); c.tired {
		c.providerFaults = max(c.providerFaults, 60)
	}
	c.paceFrom = one(pick, []int{1, 1, runner.PaceFrom})
}

// newWorld returns a run that has not begun. given changes the configuration that was drawn.
func newWorld(m *Machine, seed uint64, c *choices, saw *[coverageEnd]int64, given ...func(*config)) *World {
	fake := clock.NewFake(t0)
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	w := &World{
		kind: m.kind, choose: c, random: rand.NewChaCha8(key), fake: fake, system: m.system, workers: &m.workers, codec: m.codec, queries: m.asked, heldQuery: m.held, saw: saw,
		byKey: make(map[session.Key]*subject), families: make(map[string]*family),
		byIncarnation: make(map[session.Incarnation]*family), issued: make(map[string]*issued), last: make(map[asked]*request),
		demanded: make(map[refusal]demanded), early: make(map[earlyFor]int64), named: make(map[string]bool),
	}
	w.configure()
	for _, change := range given {
		change(&w.config)
	}
	w.stated = w.config.overlap
	var options []store.MemoryOption
	if !w.config.exclusive {
		options = append(options, store.Shared())
	}
	w.store = store.NewMemory(fake, options...)
	for i := range w.config.subjects {
		s := &subject{w: w, id: fmt.Sprintf("s%d", i), n: i, certain: true, onWire: make(map[*process]int), leases: make(map[*process]*lease), owing: make(map[*process]bool)}
		s.key = session.KeyOf(name, s.id)
		w.subjects = append(w.subjects, s)
		w.byKey[s.key] = s
	}
	return w
}

// run is the whole run. It returns what went wrong, nil when nothing did.
func (w *World) run() *Failure {
	w.start()
	for len(w.processes) < w.config.processes {
		w.start()
	}
	w.prelude()
	until := w.step + w.config.steps
	for w.failure == nil && w.step < until && w.choose.begin() {
		w.step++
		w.act()
	}
	if w.failure == nil {
		w.drain()
	}
	w.finish()
	return w.failure
}

// prelude signs users in, so that there is something to ask for.
func (w *World) prelude() {
	w.draining = true
	for _, s := range w.subjects {
		if !w.choose.odds(15) {
			w.login(w.processes[0], s)
		}
	}
	w.rest(time.Second)
	w.draining = false
	w.step++
	if w.kind == Several && w.failure == nil {
		w.scene()
	}
}

// finish ends whatever is left of the run, so that the next finds nothing of it.
func (w *World) finish() {
	w.draining = true
	for _, p := range w.processes {
		p.paused = false
	}
	for len(w.processes) > 0 {
		p := w.processes[0]
		for _, j := range p.jobs {
			if !j.over && j.worker != nil {
				j.killed = true
				for !j.over {
					j.advance()
				}
			}
		}
		p.bury()
	}
}
