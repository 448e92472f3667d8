package test_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

func withShared() rigOption {
	return func(c *rigConfig) { c.memory = append(c.memory, store.Shared()) }
}

// startAs begins a login in a browser, follows it to the provider, and returns the callback.
func (b *browser) startAs(c *tokenward.Client, req tokenward.LoginRequest) (back string) {
	b.r.t.Helper()
	to, err := c.StartInteractiveLogin(b.r.t.Context(), req, b.options())
	if err != nil {
		b.r.t.Fatal(err)
	}
	b.took()
	if back, err = b.r.tenant.Authorize(to); err != nil {
		b.r.t.Fatal(err)
	}
	return back
}

// copy is another request of the same browser, with the cookies that it has now.
func (b *browser) copy() *browser {
	other := newBrowser(b.r)
	other.cookie = b.cookie
	for name, c := range b.others {
		other.others[name] = c
	}
	return other
}

func (b *browser) complete(c *tokenward.Client, back string) (*tokenward.LoginResult, error) {
	res, err := c.CompleteInteractiveLogin(b.r.t.Context(), back, b.options())
	b.took()
	return res, err
}

// loginKeyOf is the key under which the state store notes the login of a callback.
func loginKeyOf(back string) session.Key {
	u, _ := url.Parse(back)
	return session.KeyOf("login _a0_tx", u.Query().Get("state"))
}

// Two callbacks with the same cookies at two processes: the code is sent once, whether the second
// comes while it is under way or long after, and the session of the first lives on.
func TestCallback_atTwoProcesses(t *testing.T) {
	r := newRig(t, withShared())
	other := r.newClient()
	b := newBrowser(r)
	back := b.startAs(r.client, tokenward.LoginRequest{})
	twin := b.copy()

	hold := r.tenant.Hold(idptest.CodeExchange, idptest.BeforeGrant)
	first := make(chan error, 1)
	go func() {
		_, err := r.client.CompleteInteractiveLogin(t.Context(), back, b.options())
		first <- err
	}()
	if err := hold.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	_, err := twin.copy().complete(other, back)
	wantError[*tokenward.MissingTransactionError](t, "while the first is under way", err, "missing_transaction_error")
	hold.Release()
	if err := <-first; err != nil {
		t.Fatalf("the first: %v", err)
	}
	b.took()
	for name, c := range map[string]*tokenward.Client{"the other process": other, "the same process": r.client} {
		_, err := twin.copy().complete(c, back)
		wantError[*tokenward.MissingTransactionError](t, name+" afterwards", err, "missing_transaction_error")
	}
	r.clock.Advance(time.Hour - time.Second)
	_, err = twin.copy().complete(other, back)
	wantError[*tokenward.MissingTransactionError](t, "just before the hour is over", err, "missing_transaction_error")

	r.want("code exchanges", r.tenant.Requests(idptest.CodeExchange), 1)
	if _, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, b.options()); err != nil {
		t.Errorf("the session of the first: %v", err)
	}
	r.want("families that were ended", r.tenant.Reuses(), 0)
}

// A store without leases knows at least of logins that were completed.
func TestCallback_atTwoProcessesOfASimpleStore(t *testing.T) {
	r := newRig(t)
	kv := &plain{}
	one := r.newClient(tokenward.WithStateStore(store.NewSimple(kv, r.clock)))
	two := r.newClient(tokenward.WithStateStore(store.NewSimple(kv, r.clock)))
	b := newBrowser(r)
	back := b.startAs(one, tokenward.LoginRequest{})
	twin := b.copy()
	if _, err := b.complete(one, back); err != nil {
		t.Fatal(err)
	}
	_, err := twin.complete(two, back)
	wantError[*tokenward.MissingTransactionError](t, "the other process", err, "missing_transaction_error")
	r.want("code exchanges", r.tenant.Requests(idptest.CodeExchange), 1)
	if state, ok := two.CompletedLogin(t.Context(), back, b.options()); !ok || state != nil {
		t.Errorf("CompletedLogin = %s, %v", state, ok)
	}
}

// In one process a copy of the cookies is of no use, whatever the store.
func TestCallback_withCopiedCookies(t *testing.T) {
	for name, opts := range map[string][]rigOption{
		"memory": nil, "a shared store": {withShared()}, "no server-side sessions": {withClient(tokenward.WithStatelessSessions())},
	} {
		r := newRig(t, opts...)
		b := newBrowser(r)
		back := b.startAs(r.client, tokenward.LoginRequest{})
		twin := b.copy()
		if _, err := b.complete(r.client, back); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, err := twin.complete(r.client, back)
		wantError[*tokenward.MissingTransactionError](t, name, err, "missing_transaction_error")
		r.want(name+": code exchanges", r.tenant.Requests(idptest.CodeExchange), 1)
	}
}

// Callbacks that strangers make up leave nothing in the store.
func TestCallback_madeUpClaimsNothing(t *testing.T) {
	r := newRig(t, withShared())
	for i := range 20 {
		_, err := newBrowser(r).complete(r.client, fmt.Sprintf("http://127.0.0.1/callback?code=c%d&state=s%d", i, i))
		wantError[*tokenward.MissingTransactionError](t, "made up", err, "missing_transaction_error")
	}
	r.want("leases", r.store.Count(storetest.OpBegin), 0)
	r.want("records", r.memory.Len(), 0)
}

// A store that fails before the code was sent costs neither the code nor the login, and its failure after
// the call took effect neither.
func TestCallback_storeFailsBeforeTheCodeIsSent(t *testing.T) {
	for name, fault := range map[string]func(*storetest.Script, storetest.Op, int){
		"before": (*storetest.Script).Fail, "after": (*storetest.Script).FailAfter,
	} {
		r := newRig(t, withShared())
		b := newBrowser(r)
		back := b.startAs(r.client, tokenward.LoginRequest{AppState: "kept"})
		fault(r.store.Script, storetest.OpBegin, 1)
		_, err := b.complete(r.client, back)
		if !errors.Is(err, tokenward.ErrStore) || tokenward.CodeOf(err) != "store_error" {
			t.Errorf("%s: %v, want the store's error", name, err)
		}
		r.want(name+": code exchanges", r.tenant.Requests(idptest.CodeExchange), 0)
		r.settle()
		res, err := b.complete(r.newClient(), back) // the reload may reach another process
		if err != nil || string(res.AppState) != `"kept"` {
			t.Errorf("%s: reloaded: %+v, %v", name, res, err)
		}
	}
}

// A transaction store on the server that fails: the same.
func TestCallback_transactionStoreFails(t *testing.T) {
	for _, op := range []storetest.Op{storetest.OpGet, storetest.OpTake} {
		r := newRig(t, withShared())
		tx := r.withTransactions()
		back := r.callback(tokenward.LoginRequest{})
		tx.Fail(op, 1)
		_, err := r.complete(back)
		if !errors.Is(err, tokenward.ErrStore) {
			t.Errorf("%s: %v, want the store's error", op, err)
		}
		r.want("code exchanges", r.tenant.Requests(idptest.CodeExchange), 0)
		r.settle()
		if _, err := r.complete(back); err != nil {
			t.Errorf("%s: reloaded: %v", op, err)
		}
	}
}

// What the provider cannot be asked for is known before the code is spent.
func TestCallback_providerDownBeforeTheCodeIsSent(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	back := b.startAs(r.client, tokenward.LoginRequest{})
	r.restart()
	r.tenant.Script(idptest.Discovery, idptest.Status(503))
	_, err := b.complete(r.client, back)
	wantError[*tokenward.APIError](t, "without metadata", err, "metadata_error")
	if _, err := b.complete(r.client, back); err != nil {
		t.Errorf("reloaded: %v", err)
	}
}

// A client secret that cannot be had just now is not the login's fault.
func TestCallback_secretCannotBeHad(t *testing.T) {
	fail := false
	r := newRig(t, withConfig(func(c *tokenward.Config) {
		c.ClientSecret, c.Credentials = "", func(context.Context, string, string) (tokenward.Credentials, error) {
			if fail {
				return tokenward.Credentials{}, errors.New("the vault is sealed")
			}
			return tokenward.Credentials{ClientSecret: "demo-secret"}, nil
		}
	}))
	b := newBrowser(r)
	back := b.startAs(r.client, tokenward.LoginRequest{})
	fail = true
	_, err := b.complete(r.client, back)
	wantError[*tokenward.ConfigurationError](t, "without a secret", err, "configuration_error")
	fail = false
	if _, err := b.complete(r.client, back); err != nil {
		t.Errorf("reloaded: %v", err)
	}
}

func TestCallback_callerLeavesBeforeTheCodeIsSent(t *testing.T) {
	r := newRig(t, withShared())
	b := newBrowser(r)
	back := b.startAs(r.client, tokenward.LoginRequest{})
	ctx, cancel := context.WithCancel(t.Context())
	r.store.OnCall(func(c storetest.Call) {
		if c.Op == storetest.OpBegin {
			cancel()
		}
	})
	_, err := r.client.CompleteInteractiveLogin(ctx, back, b.options())
	b.took()
	r.store.OnCall(nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want the caller's", err)
	}
	r.settle()
	r.want("code exchanges", r.tenant.Requests(idptest.CodeExchange), 0)
	if _, err := b.complete(r.client, back); err != nil {
		t.Errorf("reloaded: %v", err)
	}
}

// CompletedLogin knows a login while its session lives, in each process, and tells only the browser that
// has that session.
func TestCompletedLogin(t *testing.T) {
	type where struct {
		opts  []rigOption
		every bool // process knows it
	}
	for name, w := range map[string]where{
		"memory": {}, "a shared store": {[]rigOption{withShared()}, true}, "no server-side sessions": {[]rigOption{withClient(tokenward.WithStatelessSessions())}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, w.opts...)
			b := newBrowser(r)
			back := b.startAs(r.client, tokenward.LoginRequest{AppState: map[string]string{"return_to": "/cart"}})
			wantNone := func(what string, c *tokenward.Client, at string, o tokenward.StoreOptions) {
				t.Helper()
				if state, ok := c.CompletedLogin(t.Context(), at, o); ok || state != nil {
					t.Errorf("%s: %s, %v, want nothing", what, state, ok)
				}
			}
			wantKnown := func(what string, c *tokenward.Client) {
				t.Helper()
				if state, ok := c.CompletedLogin(t.Context(), back, b.copy().options()); !ok || string(state) != `{"return_to":"/cart"}` {
					t.Errorf("%s: %s, %v", what, state, ok)
				}
			}
			wantNone("not completed", r.client, back, b.copy().options())
			if _, err := b.complete(r.client, back); err != nil {
				t.Fatal(err)
			}
			wantKnown("completed", r.client)
			if w.every {
				wantKnown("in another process", r.newClient())
			}
			thief := newBrowser(r)
			wantNone("another browser", r.client, back, thief.options())
			if _, err := thief.tryLogin(); err != nil {
				t.Fatal(err)
			}
			wantNone("another browser with a session", r.client, back, thief.options())
			wantNone("another state", r.client, with(back, "state", "x"), b.copy().options())
			wantNone("no state", r.client, with(back, "state", ""), b.copy().options())
			wantNone("no URL", r.client, "http://127.0.0.1/\x7f", b.copy().options())

			again := b.startAs(r.client, tokenward.LoginRequest{})
			if _, err := b.complete(r.client, again); err != nil {
				t.Fatal(err)
			}
			wantNone("after another login in this browser", r.client, back, b.copy().options())
			r.logOut(b.copy().options())
			wantNone("after the logout", r.client, again, b.copy().options())
		})
	}
}

func TestCompletedLogin_forAnHour(t *testing.T) {
	for name, opts := range map[string][]rigOption{"memory": nil, "shared": {withShared()}} {
		r := newRig(t, opts...)
		b := newBrowser(r)
		back := b.startAs(r.client, tokenward.LoginRequest{})
		if _, err := b.complete(r.client, back); err != nil {
			t.Fatal(err)
		}
		r.clock.Advance(time.Hour - time.Second)
		if _, ok := r.client.CompletedLogin(t.Context(), back, b.options()); !ok {
			t.Errorf("%s: not known after 59:59", name)
		}
		r.clock.Advance(time.Second)
		if _, ok := r.client.CompletedLogin(t.Context(), back, b.options()); ok {
			t.Errorf("%s: known after an hour", name)
		}
		if name == "shared" {
			if _, err := r.memory.Load(t.Context(), loginKeyOf(back), store.Options{}); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("the store keeps the login: %v", err)
			}
		}
	}
}

// A session that reaches its ceiling does not live any more.
func TestCompletedLogin_untilTheCeiling(t *testing.T) {
	r := newRig(t, withShared())
	b := newBrowser(r)
	to := r.start(tokenward.LoginRequest{}, b.options())
	b.took()
	back, err := r.tenant.Authorize(to, until(10*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.complete(r.client, back); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(10 * time.Minute)
	if _, ok := r.client.CompletedLogin(t.Context(), back, b.options()); ok {
		t.Error("known after its session has reached its ceiling")
	}
}

// A login that cannot be noted succeeds all the same, and a note shows nothing of the login.
func TestCompletedLogin_isNotedSealed(t *testing.T) {
	r := newRig(t, withShared())
	b := newBrowser(r)
	back := b.startAs(r.client, tokenward.LoginRequest{AppState: "canary"})
	if _, err := b.complete(r.client, back); err != nil {
		t.Fatal(err)
	}
	rec, err := r.memory.Load(t.Context(), loginKeyOf(back), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s := string(rec.Sealed); strings.Contains(s, "canary") || strings.Contains(s, "session") || rec.Ceiling != 0 || len(rec.Index) != 0 {
		t.Errorf("the record shows %q", s)
	}

	b = newBrowser(r)
	back = b.startAs(r.client, tokenward.LoginRequest{})
	r.store.Inject(storetest.Fault{Op: storetest.OpReplace, Key: loginKeyOf(back), Err: storetest.ErrFault})
	if _, err := b.complete(r.client, back); err != nil {
		t.Errorf("a login that cannot be noted: %v", err)
	}
	if _, ok := r.client.CompletedLogin(t.Context(), back, b.options()); ok {
		t.Error("what could not be noted is known")
	}
}
