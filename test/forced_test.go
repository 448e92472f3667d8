package test_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// A thousand callers whose resource server has refused one token cost one refresh, and all get the token that it brought.
func TestForced_oneRefreshForAllWhoNameAToken(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		refused := r.token(id, tokenward.TokenRequest{}).AccessToken
		r.tenant.Reset()
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		callers := r.askAll(1000, id, tokenward.TokenRequest{Refused: refused})
		r.rest()
		if got := r.token(id, tokenward.TokenRequest{}).AccessToken; got != refused {
			t.Error("a call that names no token waits, or gets another one")
		}
		hold.Release()
		var fresh string
		for i, c := range callers {
			got, err := c.wait()
			if err != nil || got.AccessToken == refused || i > 0 && got.AccessToken != fresh {
				t.Fatalf("caller %d: the refused token %v, the first caller's %v, err %v", i, got.AccessToken == refused, got.AccessToken == fresh, err)
			}
			fresh = got.AccessToken
		}
		r.want("refreshes", r.tenant.Refreshes(), 1)
		for range 100 { // those who come late name it still
			if got := r.token(id, tokenward.TokenRequest{Refused: refused}).AccessToken; got != fresh {
				t.Error("a late caller gets another token than the cache has")
			}
		}
		r.want("refreshes after late callers", r.tenant.Refreshes(), 1)
		r.wantLiving(id)
	})
}

// A refresh that a refused token brings about happens once in 30 seconds for a session and key, also where its actor
// has been released in between, and where it has failed.
func TestForced_onceInHalfAMinute(t *testing.T) {
	for _, fails := range []bool{false, true} {
		inBubble(t, func(t *testing.T, r *rig) {
			id := r.login()
			had := r.token(id, tokenward.TokenRequest{}).AccessToken
			other := r.token(id, tokenward.TokenRequest{Audience: audience(1)}).AccessToken
			r.tenant.Reset()
			if fails {
				r.tenant.Script(idptest.Refresh, idptest.Status(503))
				r.wantCode("the refresh", r.tokenErr(id, tokenward.TokenRequest{Refused: had}), "refresh_token_error")
			} else {
				had = r.token(id, tokenward.TokenRequest{Refused: had}).AccessToken
			}
			for range 29 {
				r.clock.Advance(time.Second)
				r.settle()
				if got := r.token(id, tokenward.TokenRequest{Refused: had}).AccessToken; got != had {
					t.Fatal("refreshed again within the half minute")
				}
			}
			r.want("refreshes within the half minute", r.tenant.Refreshes(), 1)
			r.token(id, tokenward.TokenRequest{Audience: audience(1), Refused: other})
			r.want("refreshes with that of another audience", r.tenant.Refreshes(), 2)
			r.clock.Advance(time.Second)
			if got := r.token(id, tokenward.TokenRequest{Refused: had}).AccessToken; got == had {
				t.Error("not refreshed after the half minute")
			}
			r.want("refreshes after the half minute", r.tenant.Refreshes(), 3)
		})
	}
}

// A caller who names a token joins the refresh that is under way for the same request. That it was its own need not be
// known: another token than the one named is the answer.
func TestForced_joinsARefreshUnderWay(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		old := r.token(id, tokenward.TokenRequest{}).AccessToken
		r.expire()
		hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		first := r.ask(t.Context(), id, tokenward.TokenRequest{})
		r.rest()
		second := r.ask(t.Context(), id, tokenward.TokenRequest{Refused: old})
		r.rest()
		hold.Release()
		a, err := first.wait()
		b, errB := second.wait()
		if err != nil || errB != nil || a != b {
			t.Errorf("the second caller got another answer than the first, or %v, %v", err, errB)
		}
		r.want("refreshes", r.tenant.Refreshes(), 1)
	})
}

// Callers of several processes who name one token cost one refresh: the others find the new token in the record.
func TestForced_oneRefreshForAllProcesses(t *testing.T) {
	processes(t, 3, nil, func(t *testing.T, r *rig, id string, p []process) {
		had, err := p[0].ask(id, tokenward.TokenRequest{}).wait()
		if err != nil {
			t.Fatal(err)
		}
		r.rest()
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		var all []*caller
		for _, p := range p {
			for range 10 {
				all = append(all, p.ask(id, tokenward.TokenRequest{Refused: had.AccessToken}))
			}
			r.rest()
		}
		hold.Release()
		want, err := all[0].wait()
		if err != nil || want == had {
			t.Fatalf("the token that was refused: %v, err %v", want == had, err)
		}
		for i, c := range all {
			if got, err := c.wait(); err != nil || got != want {
				t.Errorf("caller %d: another token than the first caller's, or %v", i, err)
			}
		}
		r.want("refreshes", r.tenant.Refreshes(), 2)
	})
}

// A refused token leaves the cache, even where the new one was granted otherwise and so takes no place of it.
func TestForced_theRefusedTokenLeaves(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		q := tokenward.TokenRequest{Audience: audience(1), Scope: "read write"}
		refused := r.token(id, q).AccessToken
		r.tenant.Script(idptest.Refresh, idptest.Edit(func(body map[string]any) { body["scope"] = "read" }))
		fresh := r.token(id, tokenward.TokenRequest{Audience: q.Audience, Scope: q.Scope, Refused: refused})
		if got := r.token(id, q); fresh.AccessToken == refused || got != fresh {
			t.Error("the token that was refused is handed out again")
		}
	})
}

// A call that wants a token for longer has one refreshed that is near its end; a token that lasts is left alone.
func TestMinRemaining(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		q := tokenward.TokenRequest{MinRemaining: 10 * time.Minute}
		had := r.token(id, q)
		r.tenant.Reset()
		r.clock.Advance(idptest.TokenLife - 11*time.Minute)
		r.settle()
		if got := r.token(id, q); got != had {
			t.Error("refreshed, although eleven minutes are left")
		}
		r.clock.Advance(time.Minute)
		r.settle()
		if got := r.token(id, tokenward.TokenRequest{}); got != had {
			t.Error("a call that wants nothing had the token refreshed")
		}
		callers := r.askAll(100, id, q)
		for _, c := range callers {
			if got, err := c.wait(); err != nil || got == had {
				t.Fatalf("ten minutes are left, and the caller got the old token: %v, %v", got == had, err)
			}
		}
		r.want("refreshes", r.tenant.Refreshes(), 1)
	})
}

// Where the provider's tokens never live as long as a call wants, the one just fetched is the answer until half of its life is
// over: neither a loop nor a refresh for each call.
func TestMinRemaining_longerThanTokensLive(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.tenant.Reset()
		q := tokenward.TokenRequest{MinRemaining: 10 * idptest.TokenLife}
		for range 10 * int(idptest.TokenLife/time.Minute) {
			if got := r.token(id, q); time.Duration(got.ExpiresAt.Unix()-r.clock.Now().Unix())*time.Second < idptest.TokenLife/2 {
				t.Fatal("less than half of the life is left")
			}
			r.clock.Advance(time.Minute)
			r.settle()
		}
		if n := r.tenant.Refreshes(); n < 10 || n > 21 {
			t.Errorf("%d refreshes in ten lives, want about twenty", n)
		}
	})
}

// Arguments: a token may be as long as the provider likes to make it, and a time is not negative.
func TestForced_arguments(t *testing.T) {
	r := newRig(t)
	id := r.login()
	r.token(id, tokenward.TokenRequest{Refused: strings.Repeat("x", 1<<16)})
	var invalid *tokenward.InvalidArgumentError
	if err := r.tokenErr(id, tokenward.TokenRequest{MinRemaining: -1}); !errors.As(err, &invalid) || invalid.Argument != "min_remaining" {
		t.Errorf("a negative MinRemaining: %v", err)
	}
	if err := r.tokenErr(id, tokenward.TokenRequest{Audience: strings.Repeat("x", 1<<16), Refused: "x"}); !errors.As(err, &invalid) {
		t.Errorf("a long audience beside a refused token: %v", err)
	}
	if _, err := r.client.Session(id).GetAccessToken(t.Context(), tokenward.TokenRequest{MinRemaining: -1}); !errors.As(err, &invalid) {
		t.Errorf("a negative MinRemaining of a handle: %v", err)
	}
}

// A request is printed without the token that it names, by whatever prints it.
func TestForced_printsNoToken(t *testing.T) {
	q := tokenward.TokenRequest{Audience: "a", Refused: "a secret token"}
	text, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("asked", "request", q)
	for _, printed := range []string{
		fmt.Sprint(q), fmt.Sprintf("%+v", q), fmt.Sprintf("%#v", &q), fmt.Sprintf("%s", q), string(text), log.String(),
	} {
		if strings.Contains(printed, "secret token") {
			t.Errorf("printed with the token: %s", printed)
		}
	}
}

// What a call demands of a token is not kept with its query, so that each refused token does not take a place.
func TestForced_leavesTheKeptQueriesAlone(t *testing.T) {
	r := newRig(t)
	id := r.login()
	ask := func() { r.token(id, tokenward.TokenRequest{Audience: audience(1), Scope: "read"}) }
	ask()
	for i := range 20_000 {
		r.token(id, tokenward.TokenRequest{Audience: audience(1), Scope: "read", Refused: fmt.Sprint("token ", i)})
	}
	o, q := tokenward.SessionID(id), tokenward.TokenRequest{Audience: audience(1), Scope: "read"}
	if n := testing.AllocsPerRun(100, func() { _, _ = r.client.GetAccessToken(t.Context(), q, o) }); n != 0 {
		t.Errorf("a hit after that allocates %v times", n)
	}
}
