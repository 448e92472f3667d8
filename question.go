package tokenward

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tokenward/tokenward/session"
)

// TokenRequest says which access token is wanted. The zero value is the configured
// audience with its scopes.
type TokenRequest struct {
	Audience string // empty: Config.Audience
	Scope    string // added to the scopes configured for the audience, separated by spaces
}

// ConnectionRequest says of which connection a token is wanted.
type ConnectionRequest struct {
	Connection string // such as google-oauth2; required
	LoginHint  string // which account, where a user has several
}

const (
	fewQuestions = 8    // as many are found faster by comparing than by hashing
	questionSets = 1024 // of the others, each with
	questionWays = 8    // places
	longQuestion = 2048 // bytes of a request that is not kept
)

// questions keeps the question that each TokenRequest comes to, so that asking
// again allocates nothing. What is asked may come from a stranger: only what was answered with a
// token is kept, and what is new takes the place of something old.
type questions struct {
	policy session.Policy
	usual  *session.Question

	few  atomic.Pointer[[]*asked] // the first of them
	seed maphash.Seed
	sets [questionSets]questionSet

	keeping sync.Mutex // for whoever keeps one
}

type questionSet struct {
	places [questionWays]atomic.Pointer[asked]
	next   uint32 // the place that is taken next
}

// asked is not changed once it is stored.
type asked struct {
	request  TokenRequest
	question *session.Question
}

func (qs *questions) init(p session.Policy) {
	qs.policy, qs.usual = p, p.Question("", "")
	qs.few.Store(new([]*asked))
	qs.seed = maphash.MakeSeed()
}

// find returns the question of r, nil where it is not kept.
func (qs *questions) find(r TokenRequest) *session.Question {
	if r == (TokenRequest{}) {
		return qs.usual
	}
	for _, a := range *qs.few.Load() {
		if a.request == r {
			return a.question
		}
	}
	set := qs.set(r)
	for i := range set.places {
		if a := set.places[i].Load(); a != nil && a.request == r {
			return a.question
		}
	}
	return nil
}

func (qs *questions) set(r TokenRequest) *questionSet {
	h := maphash.String(qs.seed, r.Audience) + 31*maphash.String(qs.seed, r.Scope)
	return &qs.sets[h%questionSets]
}

// keep keeps the question of r, which was answered with a token.
func (qs *questions) keep(r TokenRequest) {
	if len(r.Audience)+len(r.Scope) > longQuestion || qs.find(r) != nil {
		return
	}
	r = TokenRequest{Audience: strings.Clone(r.Audience), Scope: strings.Clone(r.Scope)} // not the URL that they stood in
	a := &asked{r, qs.policy.Question(r.Audience, r.Scope)}
	qs.keeping.Lock()
	defer qs.keeping.Unlock()
	if qs.find(r) != nil {
		return
	}
	if few := *qs.few.Load(); len(few) < fewQuestions {
		grown := append(slices.Clip(few), a)
		qs.few.Store(&grown)
		return
	}
	set := qs.set(r)
	set.places[set.next%questionWays].Store(a)
	set.next++
}
