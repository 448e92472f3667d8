package test_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// follow begins a login at tenant and returns what comes back.
func (d *domains) follow(tenant *idptest.Tenant, params map[string]string) string {
	d.t.Helper()
	to, err := d.client.StartInteractiveLogin(d.t.Context(), tokenward.LoginRequest{AuthorizationParams: params}, at(tenant, tokenward.StoreOptions{}))
	if err != nil {
		d.t.Fatal(err)
	}
	back, err := tenant.Authorize(to)
	if err != nil {
		d.t.Fatal(err)
	}
	return back
}

func (d *domains) completeAt(tenant *idptest.Tenant, back string) error {
	_, err := d.client.CompleteInteractiveLogin(d.t.Context(), back, at(tenant, tokenward.StoreOptions{}))
	return err
}

// wantMixUp fails unless a callback was refused before its code was sent anywhere.
func (d *domains) wantMixUp(what string, err error) {
	d.t.Helper()
	if e := asError[*tokenward.IssuerValidationError](d.t, what, err, "issuer_validation_error"); e != nil && !e.Callback {
		d.t.Errorf("%s: not of the callback: %v", what, err)
	}
	if n := d.tenant.Requests(idptest.CodeExchange) + d.other.Requests(idptest.CodeExchange); n != 0 {
		d.t.Errorf("%s: codes sent = %d, want 0", what, n)
	}
}

// Several issuers: a callback that does not say which one it is from is accepted only where the resolver,
// asked with its request, names the login's.
func TestMixUp_theResolverNamesTheIssuer(t *testing.T) {
	d := newDomains(t)
	back := d.follow(d.tenant, nil)
	d.wantMixUp("at another issuer's place", d.completeAt(d.other, back))
	wantError[*tokenward.MissingTransactionError](t, "the login is over", d.completeAt(d.tenant, back), "missing_transaction_error")
	d.wantMixUp("an error", d.completeAt(d.other, with(d.follow(d.tenant, nil), "code", "", "error", "access_denied")))
	if err := d.completeAt(d.tenant, d.follow(d.tenant, nil)); err != nil {
		t.Errorf("at the issuer's own place: %v", err)
	}
}

// Where the resolver fails, whose callback it is cannot be told: the error is the resolver's, no code is sent, and the callback is good once the
// resolver answers again.
func TestMixUp_theResolverFails(t *testing.T) {
	d := newDomains(t)
	back := d.follow(d.tenant, nil)
	for _, callback := range []string{back, with(back, "code", "", "error", "access_denied")} {
		_, err := d.client.CompleteInteractiveLogin(t.Context(), callback, tokenward.StoreOptions{}.With(map[string]any{"domain": http.ErrNoCookie}))
		wantError[*tokenward.DomainResolverError](t, callback, err, "domain_resolver_error")
		if n := d.tenant.Requests(idptest.CodeExchange); n != 0 {
			t.Errorf("codes sent = %d, want 0", n)
		}
	}
	if err := d.completeAt(d.tenant, back); err != nil {
		t.Errorf("once the resolver answers: %v", err)
	}
}

// iss says it (RFC 9207), whatever the resolver says by then.
func TestMixUp_issSaysTheIssuer(t *testing.T) {
	d := newDomains(t)
	d.tenant.Set(idptest.WithResponseIssuer())
	if err := d.completeAt(d.other, d.follow(d.tenant, nil)); err != nil {
		t.Error(err)
	}
	d = newDomains(t)
	d.wantMixUp("another's iss", d.completeAt(d.tenant, with(d.follow(d.tenant, nil), "iss", d.other.Issuer())))
	d.wantMixUp("an empty iss", d.completeAt(d.other, d.follow(d.tenant, nil)+"&iss="))
	if err := d.completeAt(d.other, with(d.follow(d.tenant, nil), "iss", d.tenant.Issuer())); err != nil {
		t.Errorf("iss that nobody promised: %v", err)
	}
}

// A redirect URI of its own for each issuer says it too: the callback must have come there.
func TestMixUp_redirectURIs(t *testing.T) {
	own := func(uri string) map[string]string { return map[string]string{"redirect_uri": uri} }
	const one, two = "http://127.0.0.1/one/callback?at=1", "http://127.0.0.1/two/callback"
	d := newDomains(t)
	for _, elsewhere := range []string{
		"http://127.0.0.1/two/callback?at=1", "http://127.0.0.1/one/callback?at=2", "http://127.0.0.1/one/callback",
		"https://127.0.0.1/one/callback?at=1", "http://127.0.0.2/one/callback?at=1", "/one/callback?at=1",
	} {
		back, err := url.Parse(d.follow(d.tenant, own(one)))
		if err != nil {
			t.Fatal(err)
		}
		q := back.Query()
		q.Del("at")
		to, _ := url.Parse(elsewhere)
		to.RawQuery += "&" + q.Encode()
		d.wantMixUp(elsewhere, d.completeAt(d.other, to.String()))
	}
	if err := d.completeAt(d.other, d.follow(d.tenant, own(one))); err != nil {
		t.Errorf("where it should come to: %v", err)
	}
	if err := d.completeAt(d.tenant, d.follow(d.other, own(two))); err != nil {
		t.Errorf("the other issuer's: %v", err)
	}

	d = newDomains(t)
	early := d.follow(d.tenant, own(one))
	late := d.follow(d.other, own(one))
	d.wantMixUp("a redirect URI for two issuers, the first of them", d.completeAt(d.other, early))
	d.wantMixUp("a redirect URI for two issuers, the second", d.completeAt(d.tenant, late))
	d.wantMixUp("the redirect URI of all logins", d.completeAt(d.other, d.follow(d.tenant, own(d.cfg.RedirectURI))))
}

func TestMixUp_withoutTheCheck(t *testing.T) {
	d := newDomains(t)
	d.client = d.newClient(tokenward.WithProvider(tokenward.ProviderConfig{NoMixUpCheck: true}), tokenward.WithHTTPClient(http.DefaultClient))
	if err := d.completeAt(d.other, d.follow(d.tenant, nil)); err != nil {
		t.Error(err)
	}
	if err := d.completeAt(d.tenant, with(d.follow(d.tenant, nil), "iss", d.other.Issuer())); tokenward.CodeOf(err) != "issuer_validation_error" {
		t.Errorf("another's iss: %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
}
