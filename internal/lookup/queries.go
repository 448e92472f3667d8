package lookup

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tokenward/tokenward/session"
)

// TokenRequest says which access token a call wants, as its caller wrote it.
type TokenRequest struct{ Audience, Scope string }

const (
	fewQueries = 8    // as many are found faster by comparing than by hashing
	querySets  = 1024 // sets of the others
	queryWays  = 8    // places in each set
	longQuery  = 2048 // a request of more bytes is not kept
)

// Queries keeps the query of each TokenRequest, so that asking again allocates nothing. A request may
// come from a stranger: its query is kept only after it was answered with a token, and takes the
// place of an older one.
type Queries struct {
	policy session.Policy
	// Default is the query of the zero request.
	Default *session.TokenQuery

	few  atomic.Pointer[[]*asked] // the first of them
	seed maphash.Seed
	sets [querySets]querySet

	keeping sync.Mutex // held while one is kept
}

// querySet is one set of a cache: a few places, filled in turn.
type querySet struct {
	places [queryWays]atomic.Pointer[asked]
	next   uint32 // the place that is taken next
}

// asked is not changed once it is stored.
type asked struct {
	request TokenRequest
	query   *session.TokenQuery
}

// Init makes qs ready, for a policy.
func (qs *Queries) Init(p session.Policy) {
	qs.policy, qs.Default = p, p.Query("", "")
	qs.few.Store(new([]*asked))
	qs.seed = maphash.MakeSeed()
}

// Find returns the query of r, nil where it is not kept.
func (qs *Queries) Find(r TokenRequest) *session.TokenQuery {
	if r == (TokenRequest{}) {
		return qs.Default
	}
	for _, a := range *qs.few.Load() {
		if a.request == r {
			return a.query
		}
	}
	set := qs.set(r)
	for i := range set.places {
		if a := set.places[i].Load(); a != nil && a.request == r {
			return a.query
		}
	}
	return nil
}

// set returns the places that r may be kept in. A stranger's many requests can push it out of these, and out of no others.
func (qs *Queries) set(r TokenRequest) *querySet {
	h := maphash.String(qs.seed, r.Audience) + 31*maphash.String(qs.seed, r.Scope)
	return &qs.sets[h%querySets]
}

// Keep keeps the query of r, which was answered with a token.
func (qs *Queries) Keep(r TokenRequest) {
	if len(r.Audience)+len(r.Scope) > longQuery || qs.Find(r) != nil {
		return
	}
	r = TokenRequest{Audience: strings.Clone(r.Audience), Scope: strings.Clone(r.Scope)} // not the URL that they stood in
	a := &asked{r, qs.policy.Query(r.Audience, r.Scope)}
	qs.keeping.Lock()
	defer qs.keeping.Unlock()
	if qs.Find(r) != nil {
		return
	}
	if few := *qs.few.Load(); len(few) < fewQueries {
		grown := append(slices.Clip(few), a)
		qs.few.Store(&grown)
		return
	}
	set := qs.set(r)
	set.places[set.next%queryWays].Store(a)
	set.next++
}
