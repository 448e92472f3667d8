package sim

import (
	"fmt"

	"github.com/tokenward/tokenward/actors"
)

// coverage is a case that runs must meet now and then, or they prove little.
type coverage int

// What must be met.
const (
	providerFaults = coverage(0) // one for each faultKind
	storeFaults    = coverage(int(providerFaults) + int(faultKinds))
	crashes        = coverage(int(storeFaults) + int(storeFaultKinds))
)

const (
	crashRequestSent = crashes + iota
	crashRequestActed
	crashLoadSent
	crashLoadActed
	crashReplaceSent
	crashReplaceActed
	crashUpdateSent
	crashUpdateActed
	crashDeleteSent
	crashDeleteActed
	crashOther
	crashAtRest
	crashLostToken

	requestTimedOut
	storeTimedOut
	storeConflicts
	storeNotFound
	lateArrivals
	arrivedLate
	torn
	storedStays
	mergedOnTop

	overlapAccepted
	overlapRefused
	spentRevoked
	notRotated
	narrowed
	expiresAtOnce
	expiryNotSaid
	revokedAfterLogout

	permitWaitedFor
	permitsOverloaded
	queuedBehind
	queuedBeside
	answeredFromCache
	failureShared
	heldUp

	earlyAsked
	earlySent
	noneSpare
	demandSent
	refusedReplaced
	refusedKept
	sentAgain
	breakerOpen
	pacedFlight

	atRestSaid
	busySaid
	failureSaid
	recoverSaid
	ceilingSaid

	expiredSaid
	overloadedSaid
	storeErrorSaid
	internalErrorSaid
	cancelledSaid

	defectInClock
	defectInRand
	poisoned
	closed
	closeCutOff
	heldAtProvider
	endHeard
	refreshHeard
	failureHeard
	updated
	updatedAgain

	leaseDenied // the first that is met where processes live beside each other
	leaseRenewed
	leaseLapsed
	leaseTakenAnew
	twoOnTheWire
	writeFenced
	presentedAgain
	intentStood
	beginMoved
	staleIntentFound
	recovered
	notRecovered
	endedElsewhere
	paused
	pausedOnTheWire
	pausedLong
	resumed
	clockStepped
	noticeCame
	noticeLate
	noticeOutOfOrder
	noticeLost
	notKnownYet
	feedBroke
	feedFoundBroken
	feedGap

	coverageEnd
)

var coverageNames = map[coverage]string{
	crashRequestSent: "crash while a request is on its way", crashRequestActed: "crash while an answer of the provider is on its way",
	crashLoadSent: "crash while a load is on its way", crashLoadActed: "crash after a load",
	crashReplaceSent: "crash while a login is being written", crashReplaceActed: "crash after a login was written",
	crashUpdateSent: "crash while an update is on its way", crashUpdateActed: "crash after an update, before its answer",
	crashDeleteSent: "crash while a deletion is on its way", crashDeleteActed: "crash after a deletion, before its answer",
	crashOther: "crash in other work", crashAtRest: "crash while nothing is on its way",
	crashLostToken:  "crash between rotation and save",
	requestTimedOut: "a request takes too long", storeTimedOut: "a store call takes too long",
	storeConflicts: "store: conflict", storeNotFound: "store: not found", lateArrivals: "given up, and still on its way",
	arrivedLate: "arrives late", torn: "a write is torn",
	storedStays: "a conflict: the other process's token stays", mergedOnTop: "a conflict: this process's token is merged in",
	overlapAccepted: "overlap: the token before is accepted", overlapRefused: "reuse: the family is revoked", spentRevoked: "a token of a revoked family is spent",
	notRotated: "answer without a new refresh token", narrowed: "fewer scopes granted", expiresAtOnce: "expires_in 0", expiryNotSaid: "no expires_in",
	revokedAfterLogout: "a logout revokes",
	permitWaitedFor:    "a flight waits for a permit", permitsOverloaded: "too many wait for a permit", queuedBehind: "a query queues behind a request",
	queuedBeside: "a query queues beside another", answeredFromCache: "a query that the cache can answer now", failureShared: "a failed request is told to a caller",
	sentAgain: "a request that failed is sent again", breakerOpen: "a call is answered by an open breaker", pacedFlight: "a flight gets its permit at a pace that its provider has asked for",
	earlyAsked: "an early refresh is asked for", earlySent: "an early refresh is sent", noneSpare: "an early refresh finds no permit",
	demandSent: "a request for a demand", refusedReplaced: "a refused token is replaced", refusedKept: "a refused token is the answer within half a minute",
	heldUp: "a call is answered by a request that was told to wait", presentedAgain: "a token is presented again, after its wait",
	atRestSaid: "a session is at rest", busySaid: "a session will not be passivated", failureSaid: "a defect is reported",
	recoverSaid: "a session recovers", ceilingSaid: "a ceiling is announced",
	expiredSaid: "a caller gets session_expired", overloadedSaid: "a caller is told overloaded", storeErrorSaid: "a caller is told store_error",
	internalErrorSaid: "a caller is told internal_error", cancelledSaid: "a caller has left",
	defectInClock: "a defect at the clock", defectInRand: "a defect at the randomness", poisoned: "a defect in the core",
	endHeard: "the application is told of an end", refreshHeard: "the application is told of a refresh",
	failureHeard: "the application is told of a refresh that failed",
	updated:      "the application changed its values", updatedAgain: "an update that another one overtook",
	closed: "a process closes", closeCutOff: "closing is cut off", heldAtProvider: "a request is held while others go on",
	leaseDenied: "a lease: another process has it", leaseRenewed: "a lease is renewed while a request is on the wire",
	leaseLapsed: "a lease is taken that had lapsed", leaseTakenAnew: "a lease is taken again that had lapsed",
	twoOnTheWire: "two requests on the wire, the lease of the first having lapsed", writeFenced: "a write under an overtaken lease is refused",
	intentStood: "an intent of the same token stood", beginMoved: "a request is to begin, and its record has moved",
	staleIntentFound: "a request that was cut off is found", recovered: "a request that was cut off is recovered",
	notRecovered: "a request that was cut off, and refused without an overlap", endedElsewhere: "a session is ended by another process",
	paused: "a process is paused", pausedOnTheWire: "a process is paused with a request on the wire", pausedLong: "a process is paused for longer than a lease",
	resumed: "a process goes on", clockStepped: "a clock steps",
	noticeCame: "a notice", noticeLate: "a notice comes late", noticeOutOfOrder: "a notice comes before another", noticeLost: "a notice is lost",
	notKnownYet: "a change elsewhere is not known yet", feedBroke: "a feed breaks", feedFoundBroken: "a feed is found broken", feedGap: "a feed has a gap",
}

func (s coverage) String() string {
	switch {
	case s < storeFaults:
		return "provider: " + faultNames[s]
	case s < crashes:
		return "store: " + [storeFaultKinds]string{"fine", "fails before", "fails after", "panics before", "panics after"}[s-storeFaults]
	}
	if n := coverageNames[s]; n != "" {
		return n
	}
	return fmt.Sprintf("case %d", int(s))
}

// of reports whether s is what runs of that kind are to meet.
func (s coverage) of(kind Kind) bool { return (s >= leaseDenied) == (kind == Several) }

// crashPoint says where in j its process dies.
func crashPoint(j *job) coverage {
	step := coverage(0)
	if j.stage == acted {
		step = 1
	}
	if j.kind == actors.ProviderWork {
		if j.request == nil {
			return crashOther
		}
		return crashRequestSent + step
	}
	switch j.call {
	case "Load":
		return crashLoadSent + step
	case "Replace":
		return crashReplaceSent + step
	case "Update":
		return crashUpdateSent + step
	case "End":
		return crashDeleteSent + step
	}
	return crashOther
}
