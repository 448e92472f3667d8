package idp_test

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

// door is a Limit that lets in what it is told to.
type door struct {
	open     bool
	err      error // else, when not open, it lets nobody in
	others   int   // requests that were let in
	firsts   int   // those that others waited for
	returned int
}

func (d *door) limit(ctx context.Context, first bool) (func(), error) {
	switch {
	case d.err != nil && !first:
		return nil, d.err
	case d.open && first:
		d.firsts++
	case d.open:
		d.others++
	default:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return func() { d.returned++ }, nil
}

func withDoor(t *testing.T, d *door) *rig {
	t.Helper()
	r := newRig(t, func(cfg *idp.Config) { cfg.Limit = d.limit })
	r.answer("/par", 201, `{"request_uri":"urn:x"}`)
	return r
}

func (r *rig) exchange(ctx context.Context) error {
	_, err := tokenRequests[0].send(ctx, r.client)
	return err
}

func (r *rig) push(ctx context.Context) error {
	_, err := r.client.PushAuthorization(ctx, issuer, url.Values{"state": {"x"}})
	return err
}

// What strangers can cause takes a permit: discovery and keys among it as what others wait for.
func TestLimit_boundsWhatStrangersCause(t *testing.T) {
	d := &door{open: true}
	r := withDoor(t, d)
	for name, request := range map[string]func(context.Context) error{"code exchange": r.exchange, "PAR": r.push} {
		before := d.others
		if err := request(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d.others != before+1 {
			t.Errorf("%s took %d permits, want 1", name, d.others-before)
		}
	}
	r.wantVerify("1", "ok")
	if d.firsts != 2 || d.returned != d.others+d.firsts {
		t.Errorf("discovery and keys took %d permits, want 2; %d given back of %d", d.firsts, d.returned, d.others+d.firsts)
	}
	before := *d
	r.wantRefresh("a user", "ok")
	if err := r.client.Ready(t.Context(), issuer); err != nil {
		t.Error(err)
	}
	if *d != before {
		t.Errorf("a signed-in user took a permit of the strangers: %+v, before %+v", *d, before)
	}
}

// A request that was turned away was not sent. Its error says so by its code, and when to come again.
func TestLimit_turnedAway(t *testing.T) {
	for name, request := range map[string]func(*rig, context.Context) error{"code exchange": (*rig).exchange, "PAR": (*rig).push} {
		synctest.Test(t, func(t *testing.T) {
			d := &door{open: true}
			r := withDoor(t, d)
			if _, err := r.client.Metadata(t.Context(), issuer); err != nil {
				t.Fatal(err)
			}
			want := func(what string, err error) {
				t.Helper()
				var api *session.APIError
				if !errors.Is(err, session.ErrOverloaded) || session.CodeOf(err) != session.CodeOverloaded ||
					!errors.As(err, &api) || api.RetryAfter != 2*time.Second || r.form != nil {
					t.Errorf("%s, %s: %v, form %v, want overloaded and no request", name, what, err, r.form)
				}
			}
			d.err = session.ErrOverloaded
			want("a full queue", request(r, t.Context()))

			d.err, d.open = nil, false
			waited := all(1, func(int) error { return request(r, t.Context()) })
			synctest.Wait()
			r.clock.Advance(10*time.Second - 1)
			synctest.Wait()
			if r.clock.Waiting() == 0 {
				t.Errorf("%s: waited less than a request may take", name)
			}
			r.clock.Advance(1)
			want("waited too long", waited()[0])

			ctx, cancel := context.WithCancel(t.Context())
			left := all(1, func(int) error { return request(r, ctx) })
			synctest.Wait()
			cancel()
			err := left()[0]
			want("left", err)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: who left: %v, want context.Canceled too", name, err)
			}

			d.err = session.ErrClosed
			if err := request(r, t.Context()); !errors.Is(err, session.ErrClosed) || errors.Is(err, session.ErrOverloaded) {
				t.Errorf("%s: a closed client: %v", name, err)
			}
		})
	}
}

// Discovery that waits among the strangers goes at once when a signed-in user's request needs it,
// or readiness does.
func TestLimit_discoveryIsPromoted(t *testing.T) {
	for name, join := range map[string]func(*rig) error{
		"refresh": func(r *rig) error { return r.refresh(r.t.Context()) },
		"revocation": func(r *rig) error {
			r.answer("/revoke", 200, "")
			return r.client.Revoke(r.t.Context(), issuer, refreshToken)
		},
		"readiness": func(r *rig) error { return r.client.Ready(r.t.Context(), issuer) },
	} {
		synctest.Test(t, func(t *testing.T) {
			r := withDoor(t, &door{})
			r.answerJSON(metadata, with(defaultMetadata(), claimsOf{"revocation_endpoint": "https://tenant.example/revoke"}))
			strangers := all(5, func(int) error { _, err := r.client.Metadata(t.Context(), issuer); return err })
			synctest.Wait()
			r.wantCount(metadata, 0)
			if err := join(r); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			wantVerdicts(t, strangers(), "ok")
			r.wantCount(metadata, 1)
			synctest.Wait()
			if n := r.clock.Waiting(); n != 0 {
				t.Errorf("%s: timers left = %d, want 0", name, n)
			}
		})
	}
}

// Keys for a login wait among the strangers too. Their refusal must not read as "nothing was sent", for the code was.
func TestLimit_keysThatFindNoPermit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &door{open: true}
		r := withDoor(t, d)
		if err := r.exchange(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.open = false
		wait := all(1, func(int) error { return r.verify(t.Context(), "1") })
		synctest.Wait()
		r.clock.Advance(10 * time.Second)
		if err := wait()[0]; verdict(err) != "jwks_fetch_error" || errors.Is(err, session.ErrOverloaded) {
			t.Errorf("%v, want jwks_fetch_error", err)
		}
		r.wantCount(jwks, 0)
	})
}

// UserInfo takes a permit too, before those that wait. It is not turned away: the code was spent.
func TestLimit_userInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &door{open: true}
		r := withDoor(t, d)
		r.answerJSON(metadata, with(defaultMetadata(), claimsOf{"userinfo_endpoint": "https://tenant.example/userinfo"}))
		r.answer("/userinfo", 200, `{"sub":"auth0|ada"}`)
		ask := func(ctx context.Context) error { _, err := r.client.UserInfo(ctx, issuer, "at"); return err }
		if err := ask(t.Context()); err != nil || d.firsts != 2 || d.returned != 2 {
			t.Errorf("%v; permits taken and given back = %d, %d, want 2 with discovery", err, d.firsts, d.returned)
		}
		d.open = false
		wait := all(1, func(int) error { return ask(t.Context()) })
		synctest.Wait()
		r.clock.Advance(10 * time.Second)
		if err := wait()[0]; verdict(err) != "userinfo_error" || errors.Is(err, session.ErrOverloaded) {
			t.Errorf("no permit: %v, want userinfo_error", err)
		}
		r.wantCount("/userinfo", 1)
	})
}

// An attempt in the queue ends with the client.
func TestClose_endsDiscoveryThatWaitsForAPermit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := withDoor(t, &door{})
		wait := all(2, func(int) error { _, err := r.client.Metadata(t.Context(), issuer); return err })
		synctest.Wait()
		r.client.Close()
		wantVerdicts(t, wait(), "metadata_error")
		r.wantCount(metadata, 0)
	})
}
