package session

import "time"

// Limits are tokenward.Limits with their defaults filled in.
type Limits struct {
	FlightTimeout    time.Duration
	StoreTimeout     time.Duration
	ProviderRequests int
	QueuedFlights    int
	QueuedQueries    int
	Resident         int
	PassivateAfter   time.Duration
	RememberEnded    time.Duration
	RememberMissing  time.Duration
	TokenSets        int
	GrantedTokens    int
	RetryFirst       time.Duration
	RetryMost        time.Duration
	Lease            time.Duration
	SnapshotAge      time.Duration
	Outage           time.Duration
	ArgumentBytes    int
	SessionDataBytes int
	IdleConnTimeout  time.Duration
}
