package session

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

type unsentError struct{ error }

func (unsentError) Unsent() bool { return true }

func TestRetryable(t *testing.T) {
	broken := errors.New("connection reset")
	for name, tt := range map[string]struct {
		err          error
		again, acted bool
		outcome      Outcome
	}{
		"nothing was sent":        {&APIError{Code: CodeTokenError, Err: unsentError{broken}}, true, false, Fails},
		"no metadata":             {&APIError{Code: CodeMetadataError, Err: broken}, true, false, Fails},
		"no answer":               {&APIError{Code: CodeTokenError, Err: broken}, true, true, Fails},
		"too late":                {&APIError{Code: CodeTokenError, Err: context.DeadlineExceeded}, true, true, Fails},
		"429":                     {&APIError{Code: "too_many_requests", Status: 429}, true, false, SlowDown},
		"503":                     {&APIError{Code: CodeTokenError, Status: 503}, true, false, Fails},
		"500":                     {&APIError{Code: "server_error", Status: 500}, true, true, Fails},
		"502":                     {&APIError{Code: CodeTokenError, Status: 502}, true, true, Fails},
		"500 and invalid_grant":   {&APIError{Code: CodeInvalidGrant, Status: 500}, false, false, Fails},
		"invalid_grant":           {&APIError{Code: CodeInvalidGrant, Status: 403}, false, false, Works},
		"invalid_client":          {&APIError{Code: CodeInvalidClient, Status: 401}, false, false, Works},
		"408":                     {&APIError{Code: CodeTokenError, Status: 408}, false, false, Works},
		"a broken answer":         {&APIError{Code: CodeInvalidResponse, Status: 200}, false, false, Works},
		"no token endpoint":       {&APIError{Code: CodeConfiguration}, false, false, NoOutcome},
		"a secret cannot be had":  {&ConfigurationError{Message: "no secret"}, false, false, NoOutcome},
		"a second factor":         {&MFARequiredError{AccessTokenError: AccessTokenError{Err: &APIError{Code: CodeMFARequired, Status: 403}}}, false, false, Works},
		"the client closes":       {&APIError{Code: CodeTokenError, Err: fmt.Errorf("cut off: %w", context.Canceled)}, false, false, NoOutcome},
		"the breaker is open":     {&BreakerOpenError{}, false, false, NoOutcome},
		"an answer that succeeds": {nil, false, false, Works},
	} {
		again, acted := Retryable(tt.err)
		if o := OutcomeOf(tt.err); again != tt.again || acted != tt.acted || o != tt.outcome {
			t.Errorf("%s: again %v, acted %v, outcome %v, want %v, %v, %v", name, again, acted, o, tt.again, tt.acted, tt.outcome)
		}
	}
}

func TestRetryPolicy_wait(t *testing.T) {
	p := RetryPolicy{First: 200 * time.Millisecond, Most: time.Second}
	for n, want := range map[int]time.Duration{1: 200 * time.Millisecond, 2: 400 * time.Millisecond, 3: 800 * time.Millisecond, 4: time.Second, 1000: time.Second} {
		if got := p.Backoff(n); got != want {
			t.Errorf("after %d: %v, want %v", n, got, want)
		}
	}
}
