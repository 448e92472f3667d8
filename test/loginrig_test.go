package test_test

import (
	"net/url"
	"strings"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

const apiA, apiB, apiC = "https://a.example", "https://b.example", "https://c.example"

// start begins a login and returns the URL for the browser.
func (r *rig) start(req tokenward.LoginRequest, o tokenward.StoreOptions) string {
	r.t.Helper()
	to, err := r.client.StartInteractiveLogin(r.t.Context(), req, o)
	if err != nil {
		r.t.Fatalf("start: %v", err)
	}
	return to
}

// begin begins a login and returns the parameters that the browser brings.
func (r *rig) begin(req tokenward.LoginRequest) url.Values {
	r.t.Helper()
	to := r.start(req, tokenward.StoreOptions{})
	u, err := url.Parse(to)
	if err != nil {
		r.t.Fatal(err)
	}
	if u.RawQuery = ""; u.String() != r.tenant.URL("/authorize") {
		r.t.Errorf("the browser is sent to %s", u)
	}
	q, err := url.ParseQuery(to[strings.Index(to, "?")+1:])
	if err != nil {
		r.t.Fatal(err)
	}
	return q
}

// callback begins a login and follows it to the provider and back.
func (r *rig) callback(req tokenward.LoginRequest, claims ...idptest.Claims) string {
	r.t.Helper()
	back, err := r.tenant.Authorize(r.start(req, tokenward.StoreOptions{}), claims...)
	if err != nil {
		r.t.Fatalf("authorize: %v", err)
	}
	return back
}

func (r *rig) complete(back string) (*tokenward.LoginResult, error) {
	return r.client.CompleteInteractiveLogin(r.t.Context(), back, tokenward.StoreOptions{})
}

// wantNothingStored fails when anything reached the state store.
func (r *rig) wantNothingStored(what string) {
	r.t.Helper()
	if n, m := r.memory.Len(), r.store.Updates(); n != 0 || m != 0 {
		r.t.Errorf("%s: sessions stored = %d, updates = %d, want none", what, n, m)
	}
}

// wantSpent fails unless the transaction of a callback is gone.
func (r *rig) wantSpent(what, back string) {
	r.t.Helper()
	u, _ := url.Parse(back)
	_, err := r.complete("http://127.0.0.1/callback?code=x&state=" + url.QueryEscape(u.Query().Get("state")))
	wantError[*tokenward.MissingTransactionError](r.t, what+", again", err, "missing_transaction_error")
}

// with returns a callback URL with other parameters; an empty value removes one.
func with(back string, params ...string) string {
	u, err := url.Parse(back)
	if err != nil {
		panic(err)
	}
	q := u.Query()
	for i := 0; i < len(params); i += 2 {
		q.Set(params[i], params[i+1])
		if params[i+1] == "" {
			q.Del(params[i])
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// withTransactions gives the rig a client whose transaction store a test can watch.
func (r *rig) withTransactions() *storetest.FaultyTransactions {
	tx := storetest.NewFaultyTransactions(store.NewTransactions(r.clock))
	r.client = r.newClient(tokenward.WithTransactionStore(tx))
	return tx
}

// state reads a session's state from the store.
func (r *rig) state(id string) *session.State {
	r.t.Helper()
	key := session.KeyOf("_a0_session", id)
	rec, err := r.memory.Load(r.t.Context(), key, store.Options{})
	if err != nil {
		r.t.Fatalf("load: %v", err)
	}
	s, err := r.codec().Decode(key, rec)
	if err != nil {
		r.t.Fatalf("decode: %v", err)
	}
	return s
}

func (r *rig) codec() *store.Codec {
	r.t.Helper()
	sealer, err := store.NewSealer("_a0_session", randomness{}, secret)
	if err != nil {
		r.t.Fatal(err)
	}
	return &store.Codec{Sealer: sealer, Domain: r.tenant.Issuer()}
}
