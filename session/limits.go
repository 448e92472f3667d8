package session

import "time"

// Limits bound what a client does and keeps. The zero value of a field means its default.
type Limits struct {
	FlightTimeout    time.Duration // of a request to the provider, from sending: 10 s
	StoreTimeout     time.Duration // of each attempt at store work: 5 s
	ProviderRequests int           // at the provider at once, a quarter of them for strangers: 1,024
	QueuedFlights    int           // sessions that wait for the provider, then overloaded: 100,000
	QueuedQuestions  int           // different questions queued in one session, then overloaded: 64
	Resident         int           // sessions in memory; twice that while none can go, then overloaded: 100,000
	PassivateAfter   time.Duration // out of memory when unused for: 15 min
	RememberEnded    time.Duration // session_expired is answered for that long after a ceiling, by default Cookies.Absolute: 4320 min
	RememberMissing  time.Duration // the store is not asked again for a session it lacks for: 1 s
	TokenSets        int           // access tokens kept in one session, and connection tokens apart: 64
	GrantedTokens    int           // of MachineToken and ExchangeToken in memory, about; the least used leave first: 10,000
	RetryFirst       time.Duration // wait before a failed save is tried again, doubling: 50 ms
	RetryMost        time.Duration // up to: 5 s
	Lease            time.Duration // of a session while its refresh token is spent, renewed at a third: 5 s
	SnapshotAge      time.Duration // a session is read again after, where a shared store tells of no writes: 30 s
	Outage           time.Duration // a session in memory is served while a shared store is down: 5 min
	ArgumentBytes    int           // of an audience, scope, connection or login hint of a call, not of the Config: 2,048
	SessionDataBytes int           // of what UpdateSession keeps in one session, as JSON: 4,096
}
