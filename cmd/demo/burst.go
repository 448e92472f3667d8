package main

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/tokenward/tokenward"
)

// maxBurst is the largest burst.
const maxBurst = 100_000

type burstAnswer struct {
	Calls          int                    `json:"calls"`
	OK             int                    `json:"ok"`
	Failed         int                    `json:"failed"`
	DistinctTokens int                    `json:"distinct_tokens"`
	Errors         map[tokenward.Code]int `json:"errors"`
	WallMS         int64                  `json:"wall_ms"` // from the first call to the last answer
}

// burst makes n calls for this session at once, inside the process: what n requests of
// one browser would do, without what they cost.
func (a *app) burst(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	n, err := strconv.Atoi(query.Get("n"))
	if err != nil || n < 1 || n > maxBurst {
		writeProblem(w, http.StatusBadRequest, "invalid_argument", "n must be a number from 1 to "+strconv.Itoa(maxBurst))
		return
	}
	whose := tokenward.HTTP(w, r)
	user, err := a.client.GetUser(r.Context(), whose)
	session, _ := a.client.SessionOf(r.Context(), whose) // nil where there is none
	switch {
	case err != nil:
		a.fail(w, r, err)
		return
	case user == nil || session == nil:
		noSession(w)
		return
	}
	audiences := query["audience"]
	if len(audiences) == 0 {
		audiences = []string{""}
	}
	if err := a.bursts.Acquire(r.Context(), int64(n)); err != nil {
		a.fail(w, r, err)
		return
	}
	defer a.bursts.Release(int64(n))
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // it takes as long as the calls do
	answer := callAtOnce(r.Context(), session, n, audiences, query.Get("scope"))
	a.counts.burstCalls.Add(float64(n))
	// What the calls changed goes to the browser with the answer, where sessions are kept there.
	_, _ = a.client.GetUser(r.Context(), whose)
	writeJSON(w, http.StatusOK, answer)
}

// callAtOnce starts n calls, spread over audiences, and waits for all of them.
func callAtOnce(ctx context.Context, session *tokenward.Handle, n int, audiences []string, scope string) burstAnswer {
	tokens, failures := make([]string, n), make([]error, n)
	var done sync.WaitGroup
	at := make(chan struct{})
	for i := range n {
		done.Go(func() {
			<-at
			t, err := session.GetAccessToken(ctx, tokenward.TokenRequest{Audience: audiences[i%len(audiences)], Scope: scope})
			tokens[i], failures[i] = t.AccessToken, err
		})
	}
	began := time.Now()
	close(at)
	done.Wait()
	answer := burstAnswer{Calls: n, Errors: map[tokenward.Code]int{}, WallMS: time.Since(began).Milliseconds()}
	distinct := map[string]bool{}
	for i, err := range failures {
		if err != nil {
			answer.Failed++
			answer.Errors[cmp.Or(tokenward.CodeOf(err), "internal_error")]++
			continue
		}
		answer.OK++
		distinct[tokens[i]] = true
	}
	answer.DistinctTokens = len(distinct)
	return answer
}
