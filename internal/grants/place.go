package grants

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokenward/tokenward/session"
)

// key names a place: tokens of one source for one audience.
type key struct {
	Source
	Audience string
}

// place has the tokens of one key, which differ in scopes, and the flights for more.
type place struct {
	key   key
	shown atomic.Pointer[shown] // nil: no token
	used  atomic.Int64          // second of the last use
	out   atomic.Bool           // it has left its shard; set under mu

	mu       sync.Mutex // guards what follows, and who stores shown
	state    *session.State
	types    map[string]string // issued_token_type by access token; replaced, never changed
	demanded session.Demanded
	flights  []*flight
	weight   int // that its shard counts it with; guarded by the shard's lock
}

// shown is what a place shows to callers. It is not changed once it is shown.
type shown struct {
	tokens *session.TokenCache
	types  map[string]string
}

func (p *place) use(second int64) {
	if p.used.Load() != second {
		p.used.Store(second)
	}
}

// keep has the place hold the tokens of next, of which one was issued as a type. The caller holds p.mu.
func (p *place) keep(next *session.State, accessToken, issued string) {
	types := make(map[string]string, len(next.TokenSets))
	for i := range next.TokenSets {
		held := next.TokenSets[i].AccessToken
		if t := p.types[held]; t != "" {
			types[held] = t
		}
	}
	if issued != "" {
		types[accessToken] = issued
	}
	p.state, p.types = next, types
	p.shown.Store(&shown{session.NewTokenCache(next), types})
}

// shards is how many parts a Cache has, so that callers of different sessions seldom meet.
const shards = 16

// shard is a part of a Cache. Its lock is taken before that of a place, never after.
type shard struct {
	most int // tokens, but for places that have flights

	mu     sync.RWMutex
	places map[key]*place
	weight int
	holds  map[Source]hold
}

// quick leads from a query of an application to its place.
type quick struct {
	query *session.TokenQuery
	of    session.RegistrationID
	place *place
}

// mostQuick queries are found without a lock.
const mostQuick = 8

// remember adds q to those that are found without a lock, where there is room: a place may have left.
func (c *Cache) remember(q quick) {
	old := c.quick.Load()
	left := func(have quick) bool { return have.place.out.Load() }
	if len(*old) == mostQuick && !slices.ContainsFunc(*old, left) {
		return
	}
	list := append(slices.DeleteFunc(slices.Clone(*old), left), q)
	c.quick.CompareAndSwap(old, &list) // else the next hit does it
}

func (c *Cache) shard(s *Source) *shard { return &c.shards[(s.Session[0]^s.Subject[0])%shards] }

func (s *shard) find(k key) *place {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.places[k]
}

// open returns the place of k, made where it is not there, and the error that a provider wants to be given for the source
// until its Retry-After is over, else nil.
func (s *shard) open(k key, now time.Time) (*place, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.places[k]
	if p == nil {
		p = &place{key: k, state: &session.State{}, weight: 1}
		p.use(now.Unix())
		s.places[k] = p
		s.weight++
		s.shrink(p)
	}
	h, held := s.holds[k.Source]
	err := h.answer(now)
	if held && err == nil {
		delete(s.holds, k.Source)
	}
	return p, err
}

// weigh notes how many tokens p has, and makes room for them.
func (s *shard) weigh(p *place, tokens int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.out.Load() {
		return
	}
	s.weight += max(1, tokens) - p.weight
	p.weight = max(1, tokens)
	s.shrink(p)
}

func (s *shard) forget(k key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.places[k]; p != nil {
		s.remove(p)
	}
}

// shrink removes the places that were not used for longest, where there is too much; never kept, nor one that has flights.
// It makes some more room than is needed, so that not every new token sorts the list. The caller holds s.mu.
func (s *shard) shrink(kept *place) {
	if s.weight <= s.most {
		return
	}
	oldest := make([]*place, 0, len(s.places))
	for _, p := range s.places {
		if p != kept {
			oldest = append(oldest, p)
		}
	}
	slices.SortFunc(oldest, func(a, b *place) int { return cmp.Compare(a.used.Load(), b.used.Load()) })
	for _, p := range oldest {
		if s.weight <= s.most-s.most/8 {
			return
		}
		s.remove(p)
	}
}

// remove takes p out, unless it has flights: the next caller shall find them. The caller holds s.mu.
func (s *shard) remove(p *place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.flights) > 0 {
		return
	}
	p.out.Store(true)
	s.weight -= p.weight
	delete(s.places, p.key)
}

// hold is a 429 or 503 with Retry-After (RFC 9110 section 10.2.3): until then it is the answer to whatever
// would be sent with the same source.
type hold struct {
	until time.Time
	err   error
}

const (
	mostHolds = 1024        // are remembered in a shard
	maxHold   = time.Minute // is how long a provider can have a source wait
)

// note takes in that a request with a source failed.
func (s *shard) note(source Source, err error, now time.Time) {
	wait := session.RetryAfter(err)
	if wait <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for other := range s.holds {
		if len(s.holds) < mostHolds {
			break
		}
		delete(s.holds, other) // any one: that costs a request
	}
	s.holds[source] = hold{now.Add(min(wait, maxHold)), err}
}

// answer returns the error, nil once its time is over. A clock that was set back lengthens nothing.
func (h *hold) answer(now time.Time) error {
	if left := h.until.Sub(now); h.err == nil || left <= 0 || left > maxHold {
		return nil
	}
	return h.err
}
