package sim

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tokenward/tokenward/session"
)

// judge holds the answer of c, which is over, against the truth.
func (w *World) judge(c *call) {
	w.answers++
	switch a := &c.answered; c.kind {
	case tokenCall:
		if a.err == nil {
			w.report(c, nil, a.token.AccessToken)
			w.judgeToken(c, a.token)
		} else {
			w.report(c, a.err, "")
		}
		w.judgeError(c, a.err, false)
	case connectionCall:
		w.report(c, a.err, a.connection.AccessToken)
		if a.err == nil {
			w.judgeConnection(c, a.connection)
		}
		w.judgeError(c, a.err, true)
	case readCall:
		if a.state == nil {
			w.report(c, a.err, "no session")
		} else {
			w.report(c, a.err, a.state.Internal.SID)
		}
		if a.err == nil {
			w.judgeState(c, a.state)
		}
		w.judgeError(c, a.err, false)
	case updateCall:
		w.report(c, a.err, "done")
		w.judgeUpdate(c, a.err)
	case orderCall:
		w.report(c, a.err, "done")
		if c.op != nil {
			c.closes(a.err)
			w.afterLogin(c)
			w.judgeOrder(c, a.err)
		}
	}
}

func (w *World) report(c *call, err error, what string) {
	switch {
	case !w.tracing:
	case err != nil:
		w.note("%scall %d fails: %v", c.p.prefix(), c.n, err)
	default:
		w.note("%scall %d is answered: %s", c.p.prefix(), c.n, what)
	}
}

// judgeToken holds an access token against the query.
func (w *World) judgeToken(c *call, t session.Token) {
	is := w.judgeOrigin(c, t.AccessToken, t.ExpiresAt)
	if is == nil {
		return
	}
	w.judgeDemand(c, is)
	now, want := c.p.now(), session.ParseScope(c.query.Scope)
	switch {
	case is.connection != "" || t.Audience != c.query.Key.Audience || is.audience != t.Audience:
		w.fail("P6", "call %d got a token for %s", c.n, is.audience)
	case !is.granted.Covers(want) && !is.requested.Equal(want):
		w.fail("P6", "call %d got a token with the scopes %q", c.n, is.granted)
	case is.family.over(now):
		w.fail("P4", "call %d got a token at %v, and the ceiling is %v", c.n, now.Sub(t0), time.Unix(int64(is.family.ceiling), 0).Sub(t0))
	case !is.asked && w.config.tokenSets == 0: // else it may have made room already
		w.fail("P3", "call %d got a token before the store was asked to keep it", c.n)
	}
}

// judgeConnection holds a connection's token against the query.
func (w *World) judgeConnection(c *call, t session.ConnectionToken) {
	is := w.judgeOrigin(c, t.AccessToken, t.ExpiresAt)
	if is == nil {
		return
	}
	key := c.query.Key
	switch {
	case is.connection != key.Connection || t.Connection != key.Connection:
		w.fail("P6", "call %d got a token of %s", c.n, is.connection)
	case is.hint != t.LoginHint || key.LoginHint != "" && key.LoginHint != is.hint:
		w.fail("P6", "call %d got a token of the account %q", c.n, is.hint)
	case !is.asked && !is.family.over(w.latest()) && w.config.tokenSets == 0: // past the ceiling nothing is kept
		w.fail("P3", "call %d got a token before the store was asked to keep it", c.n)
	}
}

// judgeOrigin finds out where a token came from, and whether it may leave to c now.
func (w *World) judgeOrigin(c *call, token string, expires time.Time) *issued {
	is, now := w.issued[token], c.p.now()
	switch {
	case is == nil:
		w.fail("P6", "call %d got %q, which nobody issued", c.n, token)
	case is.family.subject != c.subject:
		w.fail("P6", "call %d about %s got a token of %s", c.n, c.subject.id, is.family.name)
		return nil
	case !expires.Equal(is.expires):
		w.fail("P4", "call %d got %s with an expiry at %v instead of %v", c.n, token, expires.Sub(t0), is.expires.Sub(t0))
	case is.cached[c.p] != 0 && is.cached[c.p] < c.begin && !now.Before(is.expires):
		w.fail("P4", "call %d got %s from the cache, and it has expired", c.n, token)
	case w.overFor(c, is.family):
		w.fail("P7", "call %d got %s, and %s is over", c.n, token, is.family.name)
	case c.lifetimeOver(is.family):
		w.fail("P4", "call %d got %s, and the session has outlived its lifetime", c.n, token)
	}
	return is
}

// overFor reports whether f had ended, so far as the process of c must know, before c
// began.
func (w *World) overFor(c *call, f *family) bool {
	step, here := c.p.ended[f]
	return f.dead && f.ended.step < c.begin && c.knew(f.ended, f.goneStep) || here && step < c.begin
}

// lifetimeOver reports whether f, which was signed in then, had outlived its lifetime when c began.
func (c *call) lifetimeOver(f *family) bool {
	return f.endsAt != 0 && c.time.Unix() >= f.endsAt && c.p.now().Unix() >= f.endsAt && f.login.end != 0 && f.login.end < c.begin
}

// judgeState holds a session that was read against the truth.
func (w *World) judgeState(c *call, s *session.State) {
	now := c.p.now()
	if s == nil {
		if f := c.living(); f != nil {
			w.fail("P6", "call %d reads no session, and %s lives", c.n, f.name)
		}
		return
	}
	f := w.families[s.Internal.SID]
	switch {
	case f == nil || f.subject != c.subject:
		w.fail("P6", "call %d about %s reads %q", c.n, c.subject.id, s.Internal.SID)
	case f.over(now):
		w.fail("P4", "call %d reads %s past its ceiling", c.n, f.name)
	case w.overFor(c, f):
		w.fail("P7", "call %d reads %s, which is over", c.n, f.name)
	case c.lifetimeOver(f):
		w.fail("P4", "call %d reads %s, which has outlived its lifetime", c.n, f.name)
	case s.Internal.Ceiling != f.ceiling:
		w.fail("P4", "call %d reads a ceiling of %s that it never had", c.n, f.name)
	default:
		w.judgeValues(c, f, numbers(s.Data))
	}
}

// living returns the login that was in force all through c, nil when that is not certain.
func (c *call) living() *family {
	f, s := c.sure, c.subject
	if f == nil || s.touched >= c.begin || s.stored.unreadable || f.endsAt != 0 && c.w.latest().Unix() >= f.endsAt ||
		f.over(c.w.latest()) || f.unusable || f.refused || !c.knew(f.began, 0) || c.ending() {
		return nil
	}
	return f
}

// judgeError holds an error against what has happened.
func (w *World) judgeError(c *call, err error, connection bool) {
	if err == nil || w.judgeOwn(c, err) {
		return
	}
	var tokenErr *session.AccessTokenError
	var connErr *session.ConnectionTokenError
	switch {
	case c.kind == readCall, c.kind == updateCall:
	case connection && !errors.As(err, &connErr), !connection && !errors.As(err, &tokenErr):
		w.fail("P5", "call %d got an error of the wrong type: %T", c.n, err)
		return
	}
	switch code := session.CodeOf(err); code {
	case session.CodeSessionExpired:
		w.saw[expiredSaid]++
		if f := c.living(); f != nil {
			w.fail("P6", "call %d is told that the session has expired, and %s lives", c.n, f.name)
		}
		over := func(f *family) bool { return f.over(w.latest()) }
		if !slices.ContainsFunc(c.subject.families, over) {
			w.fail("P6", "call %d is told that the session has expired, and none has", c.n)
		}
		deleted := func(f *family) bool { return over(f) && (f.endTried || f.goneStep > 0) }
		prompt := c.p.defects == 0 && !c.p.closing && !w.config.skew // else the deletion is left for later, or for another process
		if prompt && !slices.ContainsFunc(c.subject.families, deleted) {
			w.fail("P6", "call %d is told that the session has expired, before the store was asked to delete it", c.n)
		}
	case session.CodeMissingSession, session.CodeMissingRefreshToken:
		if f := c.living(); f != nil {
			w.fail("P6", "call %d is told %s, and %s lives", c.n, code, f.name)
		}
	case session.CodeRefreshTokenError, session.CodeAPIError, session.CodeRetrievalError, session.CodeMFARequired, session.CodeIncorrectAudience:
		w.judgeFailure(c, err)
	default:
		w.judgeTrouble(c, err)
	}
}

// judgeFailure holds a failure of the provider against the request that it came of.
func (w *World) judgeFailure(c *call, err error) {
	var open *session.BreakerOpenError
	if errors.As(err, &open) {
		w.saw[breakerOpen]++
		if !w.config.breaker {
			w.fail("P5", "call %d is told that the provider does not work, and there is no breaker", c.n)
		}
	}
	var failed *requestError
	if !errors.As(err, &failed) {
		return
	}
	r := failed.r
	w.saw[failureShared]++
	switch {
	case r.family.subject != c.subject:
		w.fail("P6", "call %d about %s got a failure of %s", c.n, c.subject.id, r.family.name)
	case r.waits && r.answeredIn != 0 && r.answeredIn < c.begin:
		w.saw[heldUp]++
	case r.answeredIn != 0 && r.answeredIn < c.begin && !r.grant && w.config.exclusive && !r.dead && !w.config.retry:
		w.fail("P2", "call %d got the failure of request %d, which was over before the call began", c.n, r.n)
	}
}

// judgeTrouble holds an error of ours against what has happened.
func (w *World) judgeTrouble(c *call, err error) {
	switch code := session.CodeOf(err); code {
	case session.CodeClosed:
		if !c.p.closing {
			w.fail("P5", "call %d is told that the client is closed", c.n)
		}
	case session.CodeOverloaded:
		w.saw[overloadedSaid]++
		if !w.config.tight {
			w.fail("P5", "call %d is told that there is too much to do", c.n)
		}
	case session.CodeStoreError:
		w.saw[storeErrorSaid]++
		if w.storeTrouble == 0 && (w.kind == Alone || c.p.defects == 0) { // a reading that a defect ended counts as one that failed
			w.fail("P5", "call %d is told that the store failed, and it did not: %v", c.n, err)
		}
	case session.CodeInternalError:
		w.saw[internalErrorSaid]++
		if c.p.defects == 0 && w.storePanics == 0 {
			w.fail("P5", "call %d is told of a defect that nobody planted: %v", c.n, err)
		}
	default:
		w.fail("P5", "call %d got an error that says nothing: %v", c.n, err)
	}
}

// judgeOwn reports whether c itself caused err. A caller that has not given up must
// not get the error of one that has.
func (w *World) judgeOwn(c *call, err error) bool {
	if c.left {
		w.saw[cancelledSaid]++
		return true
	}
	if errors.Is(err, context.Canceled) {
		w.fail("P8", "call %d was not cancelled and got: %v", c.n, err)
		return true
	}
	return false
}

func (w *World) judgeOrder(c *call, err error) {
	switch {
	case err == nil || w.judgeOwn(c, err):
	case errors.Is(err, errStore) || errors.Is(err, context.DeadlineExceeded):
		if w.storeTrouble == 0 {
			w.fail("P5", "call %d is told that the store failed, and it did not: %v", c.n, err)
		}
	default:
		w.judgeTrouble(c, err)
	}
}
