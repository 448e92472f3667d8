package idptest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// A tenant is a transmitter of the Shared Signals Framework 1.0, too: its metadata is at
// /.well-known/ssf-configuration, and has a configuration endpoint for streams and a verification
// endpoint. Transmit puts a token on the stream, which is polled (RFC 8936) until it was acknowledged.

// The paths of a transmitter.
const (
	pathStreams      = "/ssf/streams"
	pathVerification = "/ssf/verification"
	pathPoll         = "/ssf/poll"
)

// EventAudience is the aud of the tenant's Security Event Tokens.
const EventAudience = "https://receiver.example/events"

// transmitter is what a tenant knows as one. The tenant's lock guards it.
type transmitter struct {
	streams map[string]map[string]any // configurations by id
	queue   []queued                  // not acknowledged, in the order they were transmitted
	changed chan struct{}             // closed when queue changes; nil where no poll waits
	acked   map[string]int            // how often, by jti
	refused map[string]string         // err, by jti
}

type queued struct{ jti, token string }

// PollEndpoint returns the endpoint_url of streams that are polled.
func (t *Tenant) PollEndpoint() string { return t.URL(pathPoll) }

// Transmit puts tokens on the stream, in this order, under the jti that each has. One that is there already is there
// twice, as one.
func (t *Tenant) Transmit(tokens ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, token := range tokens {
		t.signals.queue = append(t.signals.queue, queued{jtiOf(token), token})
	}
	t.signals.change()
}

// change wakes the polls that wait.
func (s *transmitter) change() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// Unacknowledged returns how many tokens of the stream were neither acknowledged nor refused.
func (t *Tenant) Unacknowledged() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.signals.queue)
}

// Acknowledged returns the jti of all tokens of the stream that were acknowledged, and how often each was.
func (t *Tenant) Acknowledged() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.signals.acked)
}

// RefusedEvents returns the jti of all tokens of the stream that a poll refused, with the code of RFC 8935 section 2.4.
func (t *Tenant) RefusedEvents() map[string]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.signals.refused)
}

// transmit serves a request to the transmitter.
func (t *Tenant) transmit(c *call) *reply {
	switch c.kind {
	case Streams:
		return t.streams(c)
	case Verification:
		return t.verification(c)
	case Poll:
		return t.poll(c)
	}
	return t.transmitterMetadata()
}

// transmitterMetadata answers the metadata (Shared Signals Framework 1.0 section 7.1).
func (t *Tenant) transmitterMetadata() *reply {
	return jsonReply(http.StatusOK, map[string]any{
		"spec_version": "1_0", "issuer": t.issuer, "jwks_uri": t.place(t.config().profile.Location.JWKS),
		"delivery_methods_supported": []string{"urn:ietf:rfc:8935", "urn:ietf:rfc:8936"},
		"configuration_endpoint":     t.URL(pathStreams),
		"verification_endpoint":      t.URL(pathVerification),
	})
}

// streams answers the configuration endpoint (section 8.1.1).
func (t *Tenant) streams(c *call) *reply {
	var said map[string]any
	if len(c.json) > 0 && json.Unmarshal(c.json, &said) != nil {
		return jsonReply(http.StatusBadRequest, map[string]any{})
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.req.Method == http.MethodPost {
		return jsonReply(http.StatusCreated, t.newStream(said))
	}
	id := c.req.URL.Query().Get("stream_id")
	if c.req.Method == http.MethodPatch {
		id, _ = said["stream_id"].(string)
	}
	s, ok := t.signals.streams[id]
	switch {
	case !ok:
		return jsonReply(http.StatusNotFound, map[string]any{})
	case c.req.Method == http.MethodGet:
	case c.req.Method == http.MethodPatch:
		maps.Copy(s, said)
	case c.req.Method == http.MethodDelete:
		delete(t.signals.streams, id)
		return &reply{status: http.StatusNoContent}
	default:
		return jsonReply(http.StatusMethodNotAllowed, map[string]any{})
	}
	return jsonReply(http.StatusOK, s)
}

// newStream keeps a new stream. The caller holds t.mu.
func (t *Tenant) newStream(said map[string]any) map[string]any {
	s := map[string]any{"stream_id": secret("stream-"), "iss": t.issuer, "aud": EventAudience, "events_delivered": said["events_requested"]}
	maps.Copy(s, said)
	if delivery, _ := s["delivery"].(map[string]any); delivery["method"] != "urn:ietf:rfc:8935" {
		s["delivery"] = map[string]any{"method": "urn:ietf:rfc:8936", "endpoint_url": t.URL(pathPoll)}
	}
	if t.signals.streams == nil {
		t.signals.streams = map[string]map[string]any{}
	}
	t.signals.streams[s["stream_id"].(string)] = s
	return s
}

// verification answers the verification endpoint (section 8.1.4): the event is put on the stream.
func (t *Tenant) verification(c *call) *reply {
	var said struct {
		StreamID string `json:"stream_id"`
		State    string `json:"state"`
	}
	if json.Unmarshal(c.json, &said) != nil {
		return jsonReply(http.StatusBadRequest, map[string]any{})
	}
	t.Transmit(t.VerificationToken(said.StreamID, said.State))
	return &reply{status: http.StatusNoContent}
}

// poll answers a poll (RFC 8936 section 2). It waits for a token where there is none and the request allows it.
func (t *Tenant) poll(c *call) *reply {
	var said struct {
		MaxEvents         *int                         `json:"maxEvents"`
		ReturnImmediately bool                         `json:"returnImmediately"`
		Ack               []string                     `json:"ack"`
		SetErrs           map[string]map[string]string `json:"setErrs"`
	}
	if json.Unmarshal(c.json, &said) != nil || len(said.SetErrs) > 0 && c.req.Header.Get("Content-Language") == "" { // RFC 8936 section 2.6
		return jsonReply(http.StatusBadRequest, map[string]any{})
	}
	t.acknowledge(said.Ack, said.SetErrs)
	for {
		sets, more, changed := t.deliver(said.MaxEvents)
		if len(sets) > 0 || said.ReturnImmediately || !t.await(c.req.Context(), changed) {
			return jsonReply(http.StatusOK, map[string]any{"sets": sets, "moreAvailable": more})
		}
	}
}

// acknowledge takes tokens off the stream.
func (t *Tenant) acknowledge(ack []string, errs map[string]map[string]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.signals.acked == nil {
		t.signals.acked, t.signals.refused = map[string]int{}, map[string]string{}
	}
	gone := map[string]bool{}
	for _, jti := range ack {
		t.signals.acked[jti]++
		gone[jti] = true
	}
	for jti, e := range errs {
		t.signals.refused[jti] = e["err"]
		gone[jti] = true
	}
	t.signals.queue = slices.DeleteFunc(t.signals.queue, func(q queued) bool { return gone[q.jti] })
}

// deliver returns the next tokens of the stream, and a channel that is closed when there is another one.
func (t *Tenant) deliver(limit *int) (sets map[string]string, more bool, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sets = map[string]string{}
	for _, q := range t.signals.queue {
		if limit != nil && len(sets) >= *limit {
			more = true
			break
		}
		sets[q.jti] = q.token
	}
	if t.signals.changed == nil {
		t.signals.changed = make(chan struct{})
	}
	return sets, more, t.signals.changed
}

// transmitterAt returns where the metadata of a transmitter is: the path of the issuer comes last.
func (t *Tenant) transmitterAt() string {
	path := strings.TrimRight(t.base.EscapedPath(), "/")
	return t.base.Scheme + "://" + t.base.Host + pathTransmitter + path
}
