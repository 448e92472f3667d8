package test_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/store/storetest"
)

// down takes the store away from every process: calls fail, feeds end.
func down(all []process) {
	for _, p := range all {
		p.store.Down()
		p.store.BreakFeed(storetest.ErrFault)
	}
}

// back gives the store back.
func back(all []process) {
	for _, p := range all {
		p.store.Heal()
	}
}

// wantSignedOut checks that p shows nothing of a session any more.
func (r *rig) wantSignedOut(p process, id string) {
	r.t.Helper()
	ctx := context.Background()
	if u, err := p.GetUser(ctx, tokenward.SessionID(id)); u != nil || err != nil {
		r.t.Errorf("GetUser = %v, %v, want none: the session was signed out in another process", u.Sub(), err)
	}
	_, err := p.GetAccessToken(ctx, tokenward.TokenRequest{}, tokenward.SessionID(id))
	r.wantCode("a token", err, "missing_refresh_token")
}

func (r *rig) wantShown(p process, id string) {
	r.t.Helper()
	if u, err := p.GetUser(context.Background(), tokenward.SessionID(id)); u == nil || err != nil {
		r.t.Errorf("GetUser = %v, %v, want the session", u, err)
	}
}

func (r *rig) signOut(p process, id string) {
	r.t.Helper()
	if _, err := p.Logout(context.Background(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
		r.t.Fatal(err)
	}
}

// A gap in the change feed ends its epoch: nothing that was read before is shown without a
// read, however new it is.
func TestFeedGap_nothingReadBeforeItIsShown(t *testing.T) {
	t.Run("the feed says that notices were lost", func(t *testing.T) {
		processes(t, 2, nil, func(_ *testing.T, r *rig, id string, p []process) {
			r.refreshed(p, id)
			p[1].store.MuteFeed(true)
			r.signOut(p[0], id)
			r.rest()
			r.wantShown(p[1], id) // it cannot know yet
			p[1].store.MuteFeed(false)
			p[1].store.LoseNotices()
			r.wantSignedOut(p[1], id)
		})
	})
	t.Run("the feed ends", func(t *testing.T) {
		processes(t, 2, nil, func(_ *testing.T, r *rig, id string, p []process) {
			r.refreshed(p, id)
			p[1].store.Fail(storetest.OpWatch, 1000) // and does not come back
			p[1].store.BreakFeed(storetest.ErrFault)
			r.rest()
			r.signOut(p[0], id)
			r.wantSignedOut(p[1], id)
		})
	})
	t.Run("the store was away", func(t *testing.T) {
		processes(t, 2, nil, func(_ *testing.T, r *rig, id string, p []process) {
			r.refreshed(p, id)
			down(p)
			for range 8 {
				r.wantShown(p[1], id) // by the outage limit
				r.clock.Advance(250 * time.Millisecond)
				r.rest()
			}
			back(p)
			r.signOut(p[0], id)
			for range 4 {
				r.clock.Advance(250 * time.Millisecond)
				r.rest()
			}
			r.wantSignedOut(p[1], id)
		})
	})
	t.Run("the store was away, and no caller came", func(t *testing.T) {
		processes(t, 2, nil, func(_ *testing.T, r *rig, id string, p []process) {
			r.refreshed(p, id)
			down(p)
			r.clock.Advance(250 * time.Millisecond)
			r.rest()
			back(p)
			r.signOut(p[0], id)
			r.wantSignedOut(p[1], id)
		})
	})
}

// refreshed has every process know a session's present token.
func (r *rig) refreshed(all []process, id string) {
	r.t.Helper()
	for _, p := range all {
		if _, err := p.GetAccessToken(context.Background(), tokenward.TokenRequest{}, tokenward.SessionID(id)); err != nil {
			r.t.Fatal(err)
		}
		r.rest()
	}
}

// A read that began before the gap brings nothing that may be shown after it, also to a caller who joins it.
func TestFeedGap_aReadThatBeganBeforeIt(t *testing.T) {
	processes(t, 2, nil, func(t *testing.T, r *rig, id string, p []process) {
		r.refreshed(p, id)
		p[1].store.LoseNotices()
		gate := p[1].store.HoldAfter(storetest.OpLoad)
		users := make(chan tokenward.User, 2)
		ask := func() {
			go func() {
				u, _ := p[1].GetUser(context.Background(), tokenward.SessionID(id))
				users <- u
			}()
			r.rest()
		}
		ask()
		p[1].store.MuteFeed(true)
		r.signOut(p[0], id)
		r.rest()
		p[1].store.MuteFeed(false)
		p[1].store.LoseNotices()
		ask()
		gate.Release()
		for range 2 {
			if u := <-users; u != nil {
				t.Errorf("GetUser = %v, want none: what was read before the gap is shown after it", u.Sub())
			}
		}
	})
}

// The caller who finds out whether the store answers again gives up. That it does is known all the same as soon as it
// has answered: no session is shown any longer because the store is away.
func TestFeedGap_theCallerWhoAskedGivesUp(t *testing.T) {
	processes(t, 2, nil, func(_ *testing.T, r *rig, id string, p []process) {
		other := r.login()
		r.refreshed(p, id)
		r.refreshed(p, other)
		p[1].store.Fail(storetest.OpWatch, 1000)
		down(p)
		r.rest()
		r.wantShown(p[1], id)
		r.clock.Advance(time.Second)
		r.rest()
		back(p)
		p[1].store.Fail(storetest.OpWatch, 1000)
		hold := p[1].store.Hold(storetest.OpLoad)
		ctx, cancel := context.WithCancel(context.Background())
		gone := make(chan error, 1)
		go func() {
			_, err := p[1].GetUser(ctx, tokenward.SessionID(id))
			gone <- err
		}()
		r.rest()
		cancel()
		r.rest()
		hold.Release()
		r.rest()
		if err := <-gone; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("the caller that went: %v", err)
		}
		r.signOut(p[0], other)
		r.wantSignedOut(p[1], other)
	})
}
