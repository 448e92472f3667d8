package crash

import (
	"fmt"
	"sync"
)

// ledger is what the provider knows of every session's refresh tokens, and the parent of what
// was acknowledged. It objects to whatever a client may not do.
type ledger struct {
	mu       sync.Mutex
	accounts []*account // by number of session
	wrong    []string

	again   int // refresh tokens that were presented once more after they had been rotated
	refused int // of those the ones that the provider refused
}

// account is one session's.
type account struct {
	number int

	newest, before string // refresh tokens; before is what newest was granted for
	grants         int    // of this login
	acknowledged   int    // number of the newest grant of which a caller was told
	byAccess       map[string]int
	audience       string // of that grant, and the digest of its access token
	access         string

	window  bool // at the last kill the store had the one before
	retried bool // that one was presented since
	lacked  bool // it was, after one of the kills since everybody was asked
	dead    bool // the provider has refused it

	presented int // since mark
}

func newLedger(n int) *ledger {
	l := &ledger{}
	for i := range n {
		l.accounts = append(l.accounts, &account{number: i})
	}
	return l
}

// object notes that something is wrong.
func (l *ledger) object(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.objectLocked(format, args...)
}

func (l *ledger) objectLocked(format string, args ...any) {
	if len(l.wrong) < 20 {
		l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
	}
}

// objections returns the violations found so far.
func (l *ledger) objections() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.wrong...)
}

// signedIn begins a session's account anew.
func (l *ledger) signedIn(number int, token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*l.accounts[number] = account{number: number, newest: token, byAccess: make(map[string]int)}
}

// presents judges a refresh token that was presented, and returns its account.
func (l *ledger) presents(token string) *account {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.findLocked(token)
	if a == nil {
		l.objectLocked("a refresh token is presented that is older than the one before the newest")
		return nil
	}
	a.presented++
	if token == a.newest {
		return a
	}
	l.again++
	switch {
	case a.acknowledged == a.grants:
		l.objectLocked("session %d was rolled back: an acknowledged refresh token is followed by the one before", a.number)
	case !a.window:
		l.objectLocked("session %d presents a rotated refresh token, and was not killed between rotation and save", a.number)
	case a.retried:
		l.objectLocked("session %d presents a rotated refresh token a second time after one kill", a.number)
	}
	a.retried, a.lacked = true, true
	return a
}

// granted notes the tokens that were granted for the refresh token spent.
func (l *ledger) granted(a *account, spent, refresh, access string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.before, a.newest = spent, refresh
	a.grants++
	a.byAccess[digest(access)] = a.grants
}

// refuses notes that the provider refused a refresh token.
func (l *ledger) refuses(a *account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.dead = true
	l.refused++
}

// acknowledges notes that a caller was told of an access token.
func (l *ledger) acknowledges(number int, audience, access string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.accounts[number]
	if n := a.byAccess[access]; n > a.acknowledged {
		a.acknowledged, a.audience, a.access = n, audience, access
	}
}

// killed compares what the store holds after a kill, and returns the sessions that seem to
// have been killed between rotation and save. Of a store with a server more may be saved
// yet, for the server had heard it.
func (l *ledger) killed(stored []string) (window []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, a := range l.accounts {
		a.window, a.retried = false, false
		switch stored[i] {
		case "":
			if !a.dead {
				l.objectLocked("session %d: the store has no refresh token, and the provider has refused none", i)
			}
		case a.newest:
		case a.before:
			a.window = true
			window = append(window, i)
			if a.acknowledged == a.grants {
				l.objectLocked("session %d: the store has lost a refresh token that was acknowledged", i)
			}
		default:
			l.objectLocked("session %d: the store holds a refresh token older than the one before the newest", i)
		}
	}
	return window
}

// find returns the account of a refresh token, nil where it is in none.
func (l *ledger) find(token string) *account {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.findLocked(token)
}

func (l *ledger) findLocked(token string) *account {
	for _, a := range l.accounts {
		if token == a.newest || token == a.before {
			return a
		}
	}
	return nil
}

// retried returns the sessions that were killed between rotation and save, as the provider
// saw it: they presented the refresh token before the newest. It forgets them.
func (l *ledger) retried() (list []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, a := range l.accounts {
		if a.lacked {
			list = append(list, i)
			a.lacked = false
		}
	}
	return list
}

// view returns a copy of an account.
func (l *ledger) view(number int) account {
	l.mu.Lock()
	defer l.mu.Unlock()
	return *l.accounts[number]
}

// mark counts presentations from here on, until the next mark, which returns the most of one
// session.
func (l *ledger) mark() (most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.accounts {
		most = max(most, a.presented)
		a.presented = 0
	}
	return most
}

// counts returns how often a rotated refresh token was presented again, and refused.
func (l *ledger) counts() (again, refused int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.again, l.refused
}
