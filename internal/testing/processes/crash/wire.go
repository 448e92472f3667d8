package crash

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"sync"
	"time"
)

// childEnv names the variable of the environment that makes a program a child. Its value
// is a setup.
const childEnv = "TOKENWARD_CRASH_CHILD"

// setup is what a child is told when it starts.
type setup struct {
	Home   home
	Issuer string
	Life   string // sent with each request to the provider: who is dead does not count any more
	Fault  Fault
}

// Fault makes a child's store break its word, so that a test can see that it is noticed.
type Fault string

// Forgets acknowledges every eighth save and does not write it.
const Forgets Fault = "forgets"

// order is what a child is asked to do.
type order struct {
	ID       int
	Do       deed
	Session  int
	Audience string
	Trap     trap
}

type deed string

const (
	signIn       deed = "sign in"
	ask          deed = "ask"           // for a token of Audience
	setTrap      deed = "set trap"      // tell when Trap has come, and wait there
	staleIntents deed = "stale intents" // counts the intents that no process follows up
	howIsIt      deed = "how is it"
	sayReady          = -1 // the id of the report that it serves
)

// report is what a child says: the answer to an order, or that something has come.
type report struct {
	ID    int    // of the order; sayReady
	At    moment // where a trap has sprung
	Wrong string // what the child found to be wrong

	Token     string // digest of the access token
	Code      string // of the error, empty without one
	Cause     string // the provider's
	Text      string // of the error
	Number    int    // stale intents; sessions that are not saved
	ReadyText string // why it is not ready
}

// digest stands for a token where the token itself is not wanted.
func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:12])
}

// lines writes one JSON value a line, each by one write.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) put(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err = l.w.Write(append(b, '\n'))
	return err
}

// What both sides know.
const (
	clientID        = "crash"
	clientSecret    = "the-client-secret-of-the-crashes"
	sealingSecret   = "what seals the sessions that survive"
	identifier      = "_a0_session" // as by default
	lifeHeader      = "Crash-Life"
	defaultAudience = "https://usual.example"
)

// The child's limits. They are short so that a round is quick; all others, the five seconds
// of a store call and the ten of a request among them, are the defaults. On a busy machine the
// lease often lapses under its owner, which must do no harm.
const (
	leaseTTL       = 200 * time.Millisecond // in place of 5 s
	retryFirst     = 20 * time.Millisecond  // 50 ms
	retryMost      = 250 * time.Millisecond // 5 s
	tokensPerState = 8                      // 64
)
