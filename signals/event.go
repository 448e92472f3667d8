package signals

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/tokenward/tokenward/idp"
)

// Types of events that sessions are about: of the Continuous Access Evaluation Profile 1.0, and of RISC 1.0.
const (
	SessionRevoked       = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
	CredentialChange     = "https://schemas.openid.net/secevent/caep/event-type/credential-change"
	AssuranceLevelChange = "https://schemas.openid.net/secevent/caep/event-type/assurance-level-change"
	AccountDisabled      = "https://schemas.openid.net/secevent/risc/event-type/account-disabled"
	AccountPurged        = "https://schemas.openid.net/secevent/risc/event-type/account-purged"
	SessionsRevoked      = "https://schemas.openid.net/secevent/risc/event-type/sessions-revoked"
)

// Types of events that are about a stream (Shared Signals Framework 1.0 sections 8.1.4 and 8.1.5).
const (
	verification = "https://schemas.openid.net/secevent/ssf/event-type/verification"

	// StreamUpdated says that the transmitter has paused, disabled or enabled a stream. The host is told.
	StreamUpdated = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated"
)

// Reaction is what an event does: [Tell], the zero value, [StepUp] or [End].
type Reaction int

// The reactions. After each of them [Config.Tell] is called.
const (
	// Tell does nothing more than to tell the host.
	Tell Reaction = iota
	// StepUp wants the user to sign in again before the next action that matters: later than the event, in each session that
	// began by its time and 30 seconds (tokenward.Client.AskStepUp). The sessions go on. What httpauth's RequireStepUp or the
	// client's CheckStepUp guards asks for it.
	StepUp
	// End ends the sessions that began by the event's time and 30 seconds.
	End
)

// String returns tell, step_up or end.
func (r Reaction) String() string {
	if r < Tell || r > End {
		return "unknown"
	}
	return []string{"tell", "step_up", "end"}[r]
}

// defaultReaction returns what an event of a type does where the host has not chosen. See Config.Reactions.
func defaultReaction(eventType string, members map[string]any) Reaction {
	switch eventType {
	case SessionRevoked, AccountDisabled, AccountPurged, SessionsRevoked:
		return End
	case CredentialChange:
		return StepUp
	case AssuranceLevelChange:
		if members["change_direction"] != "increase" {
			return StepUp
		}
	}
	return Tell
}

// Event is a security event that was received.
type Event struct {
	Issuer  string         // of the transmitter
	ID      string         // jti of its token: the same where the event comes again
	Type    string         // a URI
	Subject Subject        // the zero Subject where an event of a type that is not known here names none
	At      time.Time      // when it happened: event_timestamp, else iat
	Members map[string]any // all that it says, numbers as json.Number

	Reaction Reaction
	Ended    int // sessions that it ended
	Asked    int // sessions whose user has to sign in again because of it, as was not so before

	// Unresolved says that Subject could not be matched with sessions: it is of a form that neither the package nor
	// Config.Resolve knows, is narrower than sessions can be told apart, such as one device, or is of an issuer
	// that the transmitter may not speak of. Nothing was done for that part.
	Unresolved bool
}

// set is what a Security Event Token says.
type set struct {
	issuer, jti string
	issuedAt    int64
	events      []Event // in the order of their types, so that a token that comes again does the same
}

var errSET = errors.New("the token is no Security Event Token: it needs jti, iat and events")

const maxEvents = 10 // in one token; they should be one

// readSET reads a token that was verified.
func readSET(t idp.SignedToken) (set, error) {
	s := set{issuer: t.Issuer, jti: t.JTI, issuedAt: t.IssuedAt}
	events, ok := t.Claims["events"].(map[string]any)
	if !ok || len(events) == 0 || len(events) > maxEvents || s.jti == "" || len(s.jti) > maxName {
		return set{}, errSET
	}
	types := make([]string, 0, len(events))
	for eventType := range events {
		types = append(types, eventType)
	}
	slices.Sort(types)
	for _, eventType := range types {
		members, ok := events[eventType].(map[string]any)
		if !ok {
			return set{}, errSET
		}
		subject, err := subjectOf(t.Claims["sub_id"], eventType, members)
		if err != nil {
			return set{}, err
		}
		e := Event{Issuer: s.issuer, ID: s.jti, Type: eventType, Subject: subject, Members: members, At: s.when(members)}
		s.events = append(s.events, e)
	}
	return s, nil
}

// subjectOf returns whom an event is about: sub_id, else its member subject, of drafts and of events of RISC and CAEP that were defined before.
// In an event of a type that is not known here, subject may be anything.
func subjectOf(subID any, eventType string, members map[string]any) (Subject, error) {
	if subID != nil {
		return readSubject(subID)
	}
	s, err := readSubject(members["subject"])
	if !slices.Contains(sessionEvents(), eventType) {
		err = nil
	}
	return s, err
}

// when returns when an event happened, in whole seconds: event_timestamp, else iat. It cannot be later than
// iat. Drafts counted it in milliseconds.
func (s set) when(members map[string]any) time.Time {
	const endOfSeconds = 10_000_000_000 // in the year 2286; as milliseconds, in 1970
	at := s.issuedAt
	if n, ok := members["event_timestamp"].(json.Number); ok {
		f, err := n.Float64()
		if f >= endOfSeconds {
			f /= 1000
		}
		if err == nil && f > 0 && f < float64(at) {
			at = int64(math.Floor(f))
		}
	}
	return time.Unix(at, 0)
}
