package idptest

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// route is what one path of the tenant serves.
type route struct {
	kind  Kind
	alias bool // it is the metadata at Location.Alias
}

// settle sets the issuer and the routes. Addresses are those of the profile; with a
// prefix, which WithIssuer or the listener gives, its scheme and host stand in their place.
func (t *Tenant) settle(listener string) error {
	loc := t.cfg.profile.Location
	t.prefix = strings.TrimRight(cmp.Or(t.cfg.issuer, listener), "/")
	t.issuer = t.place(loc.Issuer)
	if t.cfg.issuer != "" && strings.TrimRight(loc.Issuer, "/") == origin(loc.Issuer) && strings.HasSuffix(loc.Issuer, "/") {
		t.issuer = t.cfg.issuer // as it was written: with a slash or without
	}
	u, err := url.Parse(t.issuer)
	if err != nil || u.Host == "" {
		return fmt.Errorf("idptest: issuer %q is not an absolute URL", t.issuer)
	}
	t.base = u
	t.routes, t.hosts = map[string]route{}, map[string]bool{}
	if !loc.AliasOnly {
		t.route(strings.TrimRight(t.issuer, "/")+pathDiscovery, Discovery, false)
	}
	if loc.Alias != "" {
		t.route(t.place(loc.Alias)+pathDiscovery, Discovery, true)
	}
	for _, e := range []struct {
		url  string
		kind Kind
	}{
		{loc.JWKS, JWKS},
		{loc.Authorize, Authorize},
		{loc.PAR, PAR},
		{loc.Token, Token},
		{loc.Revocation, Revocation},
		{loc.UserInfo, UserInfo},
		{loc.EndSession, Logout},
		{loc.Logout, Logout},
	} {
		for _, tenant := range slices.Compact([]string{loc.Tenant, loc.AliasTenant}) {
			if e.url != "" {
				t.route(t.place(strings.ReplaceAll(e.url, "{tenant}", tenant)), e.kind, false)
			}
		}
	}
	t.route(t.URL(pathTrap), Trap, false)
	t.route(t.transmitterAt(), TransmitterMeta, false)
	t.route(t.URL(pathStreams), Streams, false)
	t.route(t.URL(pathVerification), Verification, false)
	t.route(t.URL(pathPoll), Poll, false)
	return nil
}

// route makes at serve kind. The path decides, on whatever host.
func (t *Tenant) route(at string, kind Kind, alias bool) {
	u, err := url.Parse(at)
	if err != nil {
		panic(fmt.Sprintf("idptest: %v", err))
	}
	if old, taken := t.routes[u.Path]; taken && old.kind != kind {
		panic(fmt.Sprintf("idptest: the profile has %s and %s at %s", old.kind, kind, u.Path))
	}
	t.routes[u.Path], t.hosts[u.Host] = route{kind, alias}, true
}

// place returns where an address of the profile is on this tenant.
func (t *Tenant) place(address string) string {
	if t.prefix == "" || address == "" {
		return address
	}
	path := strings.TrimPrefix(address, origin(address))
	loc := t.cfg.profile.Location
	if loc.Alias != "" && origin(loc.Alias) != origin(loc.Issuer) && origin(address) == origin(loc.Issuer) {
		return strings.Replace(t.prefix, "://127.0.0.1", "://localhost", 1) + path // another host, the same listener
	}
	return t.prefix + path
}

// origin returns scheme and host of a URL.
func origin(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return ""
	}
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host
}

// answers reports whether the tenant is reached at scheme and host of u.
func (t *Tenant) answers(u *url.URL) bool { return u.Scheme == t.base.Scheme && t.hosts[u.Host] }

// endpoint returns the address of an endpoint of the profile as the metadata names it, at
// the alias or at the issuer; "" for none.
func (t *Tenant) endpoint(address string, alias bool) string {
	loc := t.cfg.profile.Location // is not changed by Set
	tenant := loc.Tenant
	if alias {
		tenant = loc.AliasTenant
	}
	return t.place(strings.ReplaceAll(address, "{tenant}", tenant))
}
