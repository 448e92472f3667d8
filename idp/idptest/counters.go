package idptest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

// load counts the requests of one kind.
type load struct{ total, inFlight, peak int }

func (n *load) in() {
	n.total++
	n.inFlight++
	n.peak = max(n.peak, n.inFlight)
}

// counters is everything that a tenant counts. Its tenant's lock guards it.
type counters struct {
	byKind  map[Kind]*load
	forms   map[Kind]url.Values
	auths   map[Kind]AuthMethod
	spilled []string
	more    chan struct{} // closed when a request arrives or a connection changes; nil while nobody waits
	conns   int           // open
	reuses  int
	revoked int
}

func newCounters() counters {
	return counters{byKind: map[Kind]*load{}, forms: map[Kind]url.Values{}, auths: map[Kind]AuthMethod{}}
}

// wake has everyone who waits look again.
func (n *counters) wake() {
	if n.more != nil {
		close(n.more)
		n.more = nil
	}
}

// in counts c under every kind that it is of, and remembers what it said.
func (n *counters) in(c *call) []*load {
	n.wake()
	var loads []*load
	count := func(k Kind) {
		if n.byKind[k] == nil {
			n.byKind[k] = &load{}
		}
		n.byKind[k].in()
		loads = append(loads, n.byKind[k])
	}
	for _, k := range c.kinds() {
		count(k)
		n.forms[k] = c.form
		n.auths[k] = authMethod(c)
		if c.subject != "" {
			count(k.Of(c.subject))
		}
	}
	if c.family != nil && c.kind != Revocation {
		c.family.flights.in()
		loads = append(loads, &c.family.flights)
	}
	if c.kind == Trap {
		n.spilled = append(n.spilled, spilled(c)...)
	}
	return loads
}

// spilled names the secrets that c carries.
func spilled(c *call) []string {
	var names []string
	if c.req.Header.Get("Authorization") != "" {
		names = append(names, "Authorization")
	}
	for _, name := range []string{"client_secret", "client_assertion", "code", "code_verifier", "refresh_token", "subject_token", "actor_token", "assertion", "token"} {
		if c.form.Get(name) != "" || c.req.URL.Query().Get(name) != "" {
			names = append(names, name)
		}
	}
	return names
}

// Requests returns how many requests of kind k have arrived, good or bad.
func (t *Tenant) Requests(k Kind) int { return t.load(k).total }

// Refreshes returns Requests(Refresh).
func (t *Tenant) Refreshes() int { return t.Requests(Refresh) }

// WaitRequests waits until at least n requests of kind k have arrived. If ctx ends
// first, it says how many there were, and wraps ctx.Err(). Where they shall stay
// with the tenant, use a Hold and its Wait.
func (t *Tenant) WaitRequests(ctx context.Context, k Kind, n int) error {
	return t.wait(ctx, func() (int, bool) {
		have := 0
		if of := t.counters.byKind[k]; of != nil {
			have = of.total
		}
		return have, have >= n
	}, n, fmt.Sprintf("requests (%s)", k))
}

// wait waits until there are n of what, as enough says under the lock.
func (t *Tenant) wait(ctx context.Context, enough func() (int, bool), n int, what string) error {
	for {
		t.mu.Lock()
		have, ok := enough()
		if t.counters.more == nil {
			t.counters.more = make(chan struct{})
		}
		more := t.counters.more
		t.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("idptest: %d of %d %s: %w", have, n, what, ctx.Err())
		}
	}
}

// InFlight returns how many requests of kind k are with the tenant now.
func (t *Tenant) InFlight(k Kind) int { return t.load(k).inFlight }

// Peak returns the most requests of kind k that were with the tenant at once.
func (t *Tenant) Peak(k Kind) int { return t.load(k).peak }

func (t *Tenant) load(k Kind) load {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.counters.byKind[k]; n != nil {
		return *n
	}
	return load{}
}

// PeakPerFamily returns the most requests that presented refresh tokens of one
// family at once. A client that spends them one at a time never exceeds 1.
func (t *Tenant) PeakPerFamily() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	peak := 0
	for _, f := range t.families {
		peak = max(peak, f.flights.peak)
	}
	return peak
}

// Reuses returns how often a refresh token was presented that had been rotated
// before, outside the overlap.
func (t *Tenant) Reuses() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counters.reuses
}

// RevokedFamilies returns how many families were revoked, for whatever reason.
func (t *Tenant) RevokedFamilies() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counters.revoked
}

// LastForm returns the parameters of the last request of kind k: of the body, or
// of the query where the browser brings them. It is nil when there was none.
func (t *Tenant) LastForm(k Kind) url.Values {
	t.mu.Lock()
	defer t.mu.Unlock()
	return url.Values(http.Header(t.counters.forms[k]).Clone()) // they are one type underneath
}

// LastAuth returns how the client authenticated in the last request of kind k.
func (t *Tenant) LastAuth(k Kind) AuthMethod {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counters.auths[k]
}

// Spilled names the secrets that followed a Redirect to where they do not belong:
// form parameters, or "Authorization".
func (t *Tenant) Spilled() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.counters.spilled)
}

// Reset sets every counter to zero and forgets the requests that were seen. Users, logins,
// tokens, scripted faults and held requests stay.
func (t *Tenant) Reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.counters
	t.counters = newCounters()
	t.counters.more, t.counters.conns = old.more, old.conns
	for k, n := range old.byKind {
		if n.inFlight > 0 { // they end later
			n.total, n.peak = 0, n.inFlight
			t.counters.byKind[k] = n
		}
	}
	for _, f := range t.families {
		f.flights.total, f.flights.peak = 0, f.flights.inFlight
		f.seen, f.reuses = nil, 0
	}
}
