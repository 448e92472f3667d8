package tokenward

import (
	"maps"
	"slices"
	"strings"
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
	maxQuestions = 4096
	longQuestion = 1024 // bytes of a request that is not kept
	fewQuestions = 8    // as many are found faster by comparing than by hashing
)

// questions keeps the question that each TokenRequest comes to, so that asking
// again allocates nothing. What is asked may come from a stranger: only what was answered with a
// token is kept, and when there are too many it begins anew.
type questions struct {
	policy session.Policy
	usual  *session.Question
	known  atomic.Pointer[knownQuestions]
}

// knownQuestions is not changed once it is stored.
type knownQuestions struct {
	few []asked // the first of them
	all map[TokenRequest]*session.Question
}

type asked struct {
	request  TokenRequest
	question *session.Question
}

func (qs *questions) init(p session.Policy) {
	qs.policy, qs.usual = p, p.Question("", "")
	qs.known.Store(&knownQuestions{})
}

// of returns the question of r, and whether it is one that is kept.
func (qs *questions) of(r TokenRequest) (q *session.Question, kept bool) {
	if r == (TokenRequest{}) {
		return qs.usual, true
	}
	known := qs.known.Load()
	for i := range known.few {
		if a := &known.few[i]; a.request == r {
			return a.question, true
		}
	}
	if q := known.all[r]; q != nil {
		return q, true
	}
	return qs.policy.Question(r.Audience, r.Scope), false
}

// keep keeps the question of r, which was answered with a token.
func (qs *questions) keep(r TokenRequest) {
	if len(r.Audience)+len(r.Scope) > longQuestion {
		return
	}
	r = TokenRequest{Audience: strings.Clone(r.Audience), Scope: strings.Clone(r.Scope)} // not the URL that they stood in
	q := qs.policy.Question(r.Audience, r.Scope)
	for {
		known := qs.known.Load()
		if known.all[r] != nil || qs.known.CompareAndSwap(known, known.with(r, q)) {
			return
		}
	}
}

func (k *knownQuestions) with(r TokenRequest, q *session.Question) *knownQuestions {
	if len(k.all) >= maxQuestions {
		k = &knownQuestions{}
	}
	grown := &knownQuestions{few: k.few, all: maps.Clone(k.all)}
	if grown.all == nil {
		grown.all = make(map[TokenRequest]*session.Question)
	}
	grown.all[r] = q
	if len(k.few) < fewQuestions {
		grown.few = append(slices.Clip(k.few), asked{r, q})
	}
	return grown
}
