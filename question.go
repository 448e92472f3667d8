package tokenward

import (
	"maps"
	"slices"
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

const maxQuestions = 4096

// fewQuestions is how many are found faster by comparing than by hashing.
const fewQuestions = 8

// questions keeps the question that each TokenRequest comes to, so that asking
// again allocates nothing. Beyond a number of different requests it keeps no more.
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

func (qs *questions) of(r TokenRequest) *session.Question {
	if r == (TokenRequest{}) {
		return qs.usual
	}
	for {
		known := qs.known.Load()
		for i := range known.few {
			if a := &known.few[i]; a.request == r {
				return a.question
			}
		}
		if q := known.all[r]; q != nil {
			return q
		}
		q := qs.policy.Question(r.Audience, r.Scope)
		if len(known.all) >= maxQuestions {
			return q
		}
		if qs.known.CompareAndSwap(known, known.with(r, q)) {
			return q
		}
	}
}

func (k *knownQuestions) with(r TokenRequest, q *session.Question) *knownQuestions {
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
