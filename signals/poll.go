package signals

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
)

const (
	pollBatch    = 100              // events that one poll asks for
	pollAtOnce   = 16               // events dealt with at the same time
	pollTimeout  = 2 * time.Minute  // of a poll that waits for events
	pollPause    = 10 * time.Second // after an empty answer that came at once
	pollSoon     = time.Second      // an answer that came sooner did not wait for events
	firstBackOff = time.Second
	longestPause = time.Minute
	keyPatience  = 90 * time.Second // with a token whose key may not be asked for yet: keys are fetched again within 30 seconds
)

// pollRequest is the body of a poll (RFC 8936 section 2.2).
type pollRequest struct {
	MaxEvents         int                 `json:"maxEvents"`
	ReturnImmediately bool                `json:"returnImmediately"`
	Ack               []string            `json:"ack,omitempty"`
	SetErrs           map[string]setError `json:"setErrs,omitempty"`
}

type setError struct {
	Err         string `json:"err"`
	Description string `json:"description"`
}

// pollAnswer is the answer to a poll (RFC 8936 section 2.3).
type pollAnswer struct {
	Sets          map[string]json.RawMessage `json:"sets"` // strings; another value is refused alone
	MoreAvailable bool                       `json:"moreAvailable"`
}

// Poll receives events by polling endpoint (RFC 8936), the endpoint_url of the stream's delivery, until ctx ends; it returns the
// context's error then. Each poll waits for events, as far as the transmitter does. An event is acknowledged by the next poll
// after its sessions were ended; one whose sessions could not be ended is not, and comes again. When the
// transmitter fails, polls back off to one a minute, or as its Retry-After says; where events cannot be dealt with, to one in ten seconds.
//
// Run it in one process, or in several: what each of them receives ends once. It fails at once with a
// *tokenward.ConfigurationError where endpoint cannot be used.
func (r *Receiver) Poll(ctx context.Context, endpoint string) error {
	if err := checkEndpoint(endpoint, r.cfg.Issuer); err != nil {
		return err
	}
	p := poller{r: r, endpoint: endpoint, unknownKeys: make(map[string]time.Duration)}
	for {
		pause, err := p.once(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			pause = p.backOff(err)
			r.log.WarnContext(ctx, "security events could not be polled; it is tried again", "error", err, "in", pause)
		} else {
			p.failures = 0
		}
		if err := wait(ctx, r.clock, pause); err != nil {
			return err
		}
	}
}

// poller is the state of one Poll.
type poller struct {
	r           *Receiver
	endpoint    string
	next        pollRequest
	failures    int
	unknownKeys map[string]time.Duration // when tokens whose key may not be asked for yet came first, by the monotonic clock
}

// once polls once and deals with what comes. It returns how long to wait before the next poll.
func (p *poller) once(ctx context.Context) (pause time.Duration, err error) {
	r := p.r
	asked := p.next
	asked.MaxEvents = pollBatch
	asked.ReturnImmediately = len(asked.Ack)+len(asked.SetErrs) > 0 // acknowledgements do not wait for the next event
	began := r.clock.Mono()
	var answer pollAnswer
	limited, cancel := clock.WithTimeout(ctx, r.clock, pollTimeout)
	err = r.call(limited, http.MethodPost, p.endpoint, asked, &answer)
	cancel()
	if err != nil {
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) && !asked.ReturnImmediately {
			return 0, nil // nothing came
		}
		return 0, err
	}
	p.next = pollRequest{}
	failed := p.deal(ctx, answer.Sets)
	switch {
	case failed != nil:
		return 0, &eventError{failed}
	case len(answer.Sets) == 0 && answer.MoreAvailable:
		return pollSoon, nil
	case len(answer.Sets) == 0 && !asked.ReturnImmediately && r.clock.Mono()-began < pollSoon:
		return pollPause, nil // the transmitter does not wait
	}
	return 0, nil
}

// deal deals with the tokens of one answer, and notes what the next poll says of them. It returns the first error of those
// that should come again.
func (p *poller) deal(ctx context.Context, sets map[string]json.RawMessage) (failed error) {
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(pollAtOnce)
	for jti, value := range sets {
		group.Go(func() error {
			var raw string
			_ = json.Unmarshal(value, &raw) // another value is no token
			err := p.r.take(ctx, raw)
			mu.Lock()
			defer mu.Unlock()
			if again := p.note(jti, err); again != nil && failed == nil {
				failed = again
			}
			return nil
		})
	}
	_ = group.Wait()
	return failed
}

// note notes what became of a token. It returns an error where it should come again.
func (p *poller) note(jti string, err error) error {
	var no *refusal
	if !errors.As(err, &no) && tokenward.CodeOf(err) == session.CodeJWKSKeyNotFound {
		now := p.r.clock.Mono()
		first, known := p.unknownKeys[jti]
		if !known && len(p.unknownKeys) < maxSeen {
			p.unknownKeys[jti] = now
		}
		if !known || now-first < keyPatience {
			return err
		}
		no = &refusal{code: invalidKey, text: "the token was not signed by a key of the transmitter"}
	}
	delete(p.unknownKeys, jti)
	switch {
	case err == nil:
		p.next.Ack = append(p.next.Ack, jti)
	case no != nil:
		if p.next.SetErrs == nil {
			p.next.SetErrs = make(map[string]setError)
		}
		p.next.SetErrs[jti] = setError{no.code, no.text}
	default:
		return err
	}
	return nil
}

// eventError says that an event could not be dealt with, and why.
type eventError struct{ error }

func (e *eventError) Unwrap() error { return e.error }

// backOff returns how long to wait after a failure: longer each time, or what the transmitter says. Where the transmitter works, others of
// its events may be dealt with: one that always fails does not hold them up.
func (p *poller) backOff(err error) time.Duration {
	longest := longestPause
	if errors.As(err, new(*eventError)) {
		longest = pollPause
	}
	pause := min(firstBackOff<<min(p.failures, 6), longest)
	p.failures++
	var said *answerError
	if errors.As(err, &said) && said.retryAfter > pause {
		pause = min(said.retryAfter, longestRetryAfter)
	}
	return pause
}

// wait waits by the clock, or until ctx ends.
func wait(ctx context.Context, c clock.Clock, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	passed := make(chan struct{})
	timer := c.AfterFunc(d, func() { close(passed) })
	defer timer.Stop()
	select {
	case <-passed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
