package signals

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
)

// The methods of delivery (Shared Signals Framework 1.0 section 6.1).
const (
	DeliverPush = "urn:ietf:rfc:8935"
	DeliverPoll = "urn:ietf:rfc:8936"
)

// Delivery is how a stream is delivered.
type Delivery struct {
	Method              string `json:"method"`
	EndpointURL         string `json:"endpoint_url,omitempty"`         // DeliverPush: of the receiver; DeliverPoll: the transmitter says it
	AuthorizationHeader string `json:"authorization_header,omitempty"` // DeliverPush: the receiver's PushAuthorization
}

// Stream is the configuration of a stream (Shared Signals Framework 1.0 section 8.1.1). The receiver says EventsRequested,
// Delivery and Description; the transmitter the rest.
type Stream struct {
	ID              string   `json:"stream_id,omitempty"`
	Issuer          string   `json:"iss,omitempty"`
	Audience        Audience `json:"aud,omitempty"`
	EventsSupported []string `json:"events_supported,omitempty"`
	EventsRequested []string `json:"events_requested,omitempty"`
	EventsDelivered []string `json:"events_delivered,omitempty"`
	Delivery        Delivery `json:"delivery"`
	Description     string   `json:"description,omitempty"`
}

// Audience is an aud: in JSON a string or a list.
type Audience []string

// UnmarshalJSON implements json.Unmarshaler.
func (a *Audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = Audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// sessionEvents are the types of events that a stream is asked for where the host says nothing.
func sessionEvents() []string {
	return []string{SessionRevoked, CredentialChange, AssuranceLevelChange, AccountDisabled, AccountPurged, SessionsRevoked}
}

// CreateStream has the transmitter create a stream, by default of the types that are not Tell by default (Config.Reactions), to be polled, and returns its
// configuration. Configure a Receiver whose Audience is the stream's aud.
//
// It fails with a *tokenward.APIError: of the code metadata_error where the transmitter's metadata cannot be had,
// configuration_error where that names no such endpoint, else invalid_response, with the transmitter's HTTP status.
func (r *Receiver) CreateStream(ctx context.Context, s Stream) (Stream, error) {
	if len(s.EventsRequested) == 0 {
		s.EventsRequested = sessionEvents()
	}
	if s.Delivery.Method == "" {
		s.Delivery.Method = DeliverPoll
	}
	if s.Delivery.Method == DeliverPush && s.Delivery.AuthorizationHeader == "" {
		s.Delivery.AuthorizationHeader = r.cfg.PushAuthorization
	}
	return r.stream(ctx, http.MethodPost, "", s)
}

// ReadStream returns the configuration of a stream.
func (r *Receiver) ReadStream(ctx context.Context, id string) (Stream, error) {
	return r.stream(ctx, http.MethodGet, id, nil)
}

// UpdateStream changes what s says of EventsRequested, Delivery and Description; s.ID names the stream. What s leaves out stays.
func (r *Receiver) UpdateStream(ctx context.Context, s Stream) (Stream, error) {
	change := map[string]any{"stream_id": s.ID}
	if len(s.EventsRequested) > 0 {
		change["events_requested"] = s.EventsRequested
	}
	if s.Delivery.Method != "" {
		change["delivery"] = s.Delivery
	}
	if s.Description != "" {
		change["description"] = s.Description
	}
	return r.stream(ctx, http.MethodPatch, "", change)
}

// DeleteStream has the transmitter delete a stream.
func (r *Receiver) DeleteStream(ctx context.Context, id string) error {
	at, err := r.configurationEndpoint(ctx, id)
	if err != nil {
		return err
	}
	return r.within(ctx, http.MethodDelete, at, nil, nil)
}

func (r *Receiver) stream(ctx context.Context, method, id string, body any) (s Stream, err error) {
	at, err := r.configurationEndpoint(ctx, id)
	if err == nil {
		err = r.within(ctx, method, at, body, &s)
	}
	switch {
	case err != nil:
		return Stream{}, err
	case !session.SameIssuer(s.Issuer, r.cfg.Issuer) || s.ID == "":
		return Stream{}, &tokenward.APIError{Code: session.CodeInvalidResponse, Description: "the stream is of another issuer, or has no stream_id"}
	}
	return s, nil
}

func (r *Receiver) configurationEndpoint(ctx context.Context, id string) (string, error) {
	e, err := r.idp.StreamEndpoints(ctx, r.cfg.Issuer)
	switch {
	case err != nil:
		return "", err
	case e.Configuration == "":
		return "", noEndpoint("configuration_endpoint")
	case id == "":
		return e.Configuration, nil
	}
	separator := "?"
	if strings.Contains(e.Configuration, "?") {
		separator = "&"
	}
	return e.Configuration + separator + url.Values{"stream_id": {id}}.Encode(), nil
}

func noEndpoint(name string) error {
	return &tokenward.APIError{Code: session.CodeConfiguration, Description: "the transmitter's metadata has no usable " + name}
}

// Verify asks the transmitter for a verification event (Shared Signals Framework 1.0 section 8.1.4), and waits until it has
// come to this Receiver, by Push or by Poll, or ctx ends. Where several processes take the pushes it may come to another one, which
// accepts it; then Verify waits in vain.
func (r *Receiver) Verify(ctx context.Context, streamID string) error {
	e, err := r.idp.StreamEndpoints(ctx, r.cfg.Issuer)
	switch {
	case err != nil:
		return err
	case e.Verification == "":
		return noEndpoint("verification_endpoint")
	}
	state := session.RandomString(rand.Reader, 32)
	came := make(chan struct{})
	r.mu.Lock()
	r.awaited[state] = came
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.awaited, state)
	}()
	if err := r.within(ctx, http.MethodPost, e.Verification, map[string]string{"stream_id": streamID, "state": state}, nil); err != nil {
		return err
	}
	select {
	case <-came:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// verified takes a verification event. One without state was not asked for.
func (r *Receiver) verified(e Event) error {
	state, _ := e.Members["state"].(string)
	r.mu.Lock()
	defer r.mu.Unlock()
	came, ok := r.awaited[state]
	switch {
	case ok:
		close(came)
		delete(r.awaited, state)
	case state != "" && len(r.awaited) > 0:
		return &refusal{code: invalidState, text: "the state is not the one that was sent"}
	}
	return nil
}

const (
	callTimeout       = 10 * time.Second
	maxAnswer         = 16 << 20 // bytes; a poll brings many tokens
	longestRetryAfter = time.Hour
)

// answerError is an answer of the transmitter that is no success.
type answerError struct {
	status     int
	retryAfter time.Duration
}

func (e *answerError) Error() string {
	return fmt.Sprintf("the transmitter answered HTTP status %d", e.status)
}

// within is call with a time limit.
func (r *Receiver) within(ctx context.Context, method, to string, body, answer any) error {
	limited, cancel := clock.WithTimeout(ctx, r.clock, callTimeout)
	defer cancel()
	err := r.call(limited, method, to, body, answer)
	var said *answerError
	if errors.As(err, &said) {
		return &tokenward.APIError{Code: session.CodeInvalidResponse, Status: said.status, Err: err}
	}
	if err != nil && ctx.Err() == nil {
		return &tokenward.APIError{Code: session.CodeInvalidResponse, Err: err}
	}
	return err
}

// call makes a request to the transmitter, with JSON there and back. Its errors quote neither.
func (r *Receiver) call(ctx context.Context, method, to string, body, answer any) error {
	var sent io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return errors.New("the request cannot be written as JSON")
		}
		sent = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, to, sent)
	if err != nil {
		return errors.New("the URL cannot be used")
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if poll, ok := body.(pollRequest); ok && len(poll.SetErrs) > 0 {
		req.Header.Set("Content-Language", "en") // of the descriptions (RFC 8936 section 2.6)
	}
	if r.cfg.Authorization != nil {
		value, err := r.cfg.Authorization(ctx)
		if err != nil {
			return errors.Join(errors.New("the host has no authorization for the transmitter"), err)
		}
		req.Header.Set("Authorization", value)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for u := (*url.Error)(nil); errors.As(err, &u); {
			err = u.Err // without the URL
		}
		return fmt.Errorf("the transmitter cannot be reached: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return &answerError{resp.StatusCode, retryAfter(resp.Header.Get("Retry-After"), r.clock.Now())}
	}
	return read(ctx, resp, answer)
}

// read reads the answer to a request. One without a body says nothing.
func read(ctx context.Context, resp *http.Response, answer any) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil || len(b) > maxAnswer:
		return errors.New("the transmitter's answer is too long, or breaks off")
	case answer == nil || len(bytes.TrimSpace(b)) == 0:
		return nil
	case json.Unmarshal(b, answer) != nil:
		return errors.New("the transmitter's answer is no JSON of the form that was expected")
	}
	return nil
}

// retryAfter reads a Retry-After header (RFC 9110 section 10.2.3).
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil && seconds >= 0 {
		return min(time.Duration(seconds)*time.Second, longestRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// checkEndpoint checks an address that tokens are taken from, and the Authorization header is sent to.
func checkEndpoint(endpoint, issuer string) error {
	u, err := url.Parse(endpoint)
	if err == nil && u.User == nil {
		bare := url.URL{Scheme: u.Scheme, Host: u.Host}
		secure := strings.HasPrefix(session.IssuerOf(issuer), "https:")
		if session.CheckIssuer(bare.String()) == nil && (u.Scheme == "https" || !secure) {
			return nil
		}
	}
	return &tokenward.ConfigurationError{Message: "signals: the endpoint must be an https URL (http is accepted for loopback hosts only)"}
}
