package grants

import (
	"container/list"
	"hash/maphash"
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
	used  atomic.Bool           // since its last turn to leave
	out   atomic.Bool           // it has left its shard; set under mu

	mu       sync.Mutex // guards what follows, and who stores shown
	state    *session.State
	types    map[string]string // issued_token_type by access token; replaced, never changed
	demanded session.Demanded
	flights  []*flight

	weight int           // that its shard counts it with; guarded by the shard's lock
	turn   *list.Element // in the order of its shard, nil where it may not leave; the same
}

// shown is what a place shows to callers. It is not changed once it is shown.
type shown struct {
	tokens *session.TokenCache
	types  map[string]string
}

func (p *place) use() {
	if !p.used.Load() {
		p.used.Store(true)
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

// shard is a part of a Cache, so that callers who want different tokens seldom meet. Its lock is taken before that of a
// place, never after.
type shard struct {
	most int // tokens, but for places that have flights

	mu     sync.RWMutex
	places map[key]*place
	weight int
	order  list.List // of places that may leave, the next one first
}

const (
	mostShards  = 16
	shardTokens = 512 // at least, where there is more than one: fewer would not spread evenly
)

// newShards returns shards for that many tokens.
func newShards(tokens int) []shard {
	all := make([]shard, max(1, min(mostShards, tokens/shardTokens)))
	for i := range all {
		all[i].places, all[i].most = make(map[key]*place), max(1, tokens/len(all))
	}
	return all
}

// shard returns the part that has the place of k. The places of one source are in many of them: an application has one
// source for all of its audiences.
func (c *Cache) shard(k *key) *shard {
	return &c.shards[maphash.Comparable(c.seed, *k)%uint64(len(c.shards))]
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
	next := append(slices.DeleteFunc(slices.Clone(*old), left), q)
	c.quick.CompareAndSwap(old, &next) // else the next hit does it
}

func (s *shard) find(k key) *place {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.places[k]
}

// open returns the place of k, made where it is not there.
func (s *shard) open(k key) *place {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.places[k]
	if p == nil {
		p = &place{key: k, state: &session.State{}, weight: 1}
		s.places[k] = p
		s.weight++
		s.mayLeave(p)
		s.shrink(p)
	}
	return p
}

// weigh notes how many tokens p has after a flight, and makes room for them.
func (s *shard) weigh(p *place, tokens int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.out.Load() {
		return
	}
	s.weight += max(1, tokens) - p.weight
	p.weight = max(1, tokens)
	s.mayLeave(p)
	s.shrink(p)
}

func (s *shard) forget(k key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.places[k]; p != nil {
		s.remove(p)
	}
}

// mayLeave puts p last among the places that may leave, if it is not there yet. The caller holds s.mu.
func (s *shard) mayLeave(p *place) {
	if p.turn == nil {
		p.turn = s.order.PushBack(p)
	}
}

// shrink removes places where there is too much, in the order in which they came; never kept. One that was used since its
// last turn stays and gets another. One that has flights stays too, and gets a turn after the next of them (weigh). So each
// turn follows a new place, a use or a flight, and what that costs does not grow with the number of places. The caller
// holds s.mu.
func (s *shard) shrink(kept *place) {
	for turns := s.order.Len(); s.weight > s.most && turns > 0; {
		p, _ := s.order.Remove(s.order.Front()).(*place)
		p.turn = nil
		switch used := p.used.Swap(false); {
		case p == kept:
			turns--
			s.mayLeave(p)
		case used:
			s.mayLeave(p)
		default:
			turns--
			s.remove(p)
		}
	}
}

// remove takes p out, unless it has flights: the next caller shall find them. The caller holds s.mu.
func (s *shard) remove(p *place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.flights) > 0 {
		return
	}
	if p.turn != nil {
		s.order.Remove(p.turn)
		p.turn = nil
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
	mostHolds = 16_384      // are remembered
	maxHold   = time.Minute // is how long a provider can have a source wait
)

// holds are the sources that a provider has asked to wait. The zero value has none.
type holds struct {
	mu   sync.Mutex
	list map[Source]hold
}

// note takes in that a request with a source failed.
func (h *holds) note(source Source, err error, now time.Time) {
	wait := session.RetryAfter(err)
	if wait <= 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for other := range h.list {
		if len(h.list) < mostHolds {
			break
		}
		delete(h.list, other) // any one: that costs a request
	}
	if h.list == nil {
		h.list = make(map[Source]hold)
	}
	h.list[source] = hold{now.Add(min(wait, maxHold)), err}
}

// of returns the error that a provider wants to be given for a source until its Retry-After is over, else nil.
func (h *holds) of(source *Source, now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	held, is := h.list[*source]
	if !is {
		return nil
	}
	err := held.answer(now)
	if err == nil {
		delete(h.list, *source)
	}
	return err
}

// answer returns the error, nil once its time is over. A clock that was set back lengthens nothing.
func (h *hold) answer(now time.Time) error {
	if left := h.until.Sub(now); h.err == nil || left <= 0 || left > maxHold {
		return nil
	}
	return h.err
}
