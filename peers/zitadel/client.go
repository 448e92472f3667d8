package zitadel

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// client is the example's web client, registered as the settings say.
type client struct {
	op.Client

	settings Settings
}

// RedirectURIs are where a login may lead.
func (c client) RedirectURIs() []string { return []string{c.settings.App + "/auth/callback"} }

// PostLogoutRedirectURIs are where a logout may lead.
func (c client) PostLogoutRedirectURIs() []string { return []string{c.settings.App + "/"} }

// AuthMethod is how the client authenticates.
func (c client) AuthMethod() oidc.AuthMethod {
	return cmp.Or(c.settings.ClientAuth, oidc.AuthMethodBasic)
}

// LoginURL is the example's form.
func (c client) LoginURL(id string) string {
	return strings.TrimSuffix(c.settings.Path, "/") + c.Client.LoginURL(id)
}

// AccessTokenType is the form of access tokens.
func (c client) AccessTokenType() op.AccessTokenType {
	if c.settings.AccessToken == JWT {
		return op.AccessTokenTypeJWT
	}
	return op.AccessTokenTypeBearer
}

// IDTokenUserinfoClaimsAssertion puts name and email into ID tokens.
func (c client) IDTokenUserinfoClaimsAssertion() bool { return true }

// GetClientByClientID implements op.Storage.
func (s *store) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	c, err := s.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return client{Client: c, settings: s.settings}, nil
}

// GetKeyByIDAndClientID implements op.Storage.
func (s *store) GetKeyByIDAndClientID(_ context.Context, keyID, clientID string) (*jose.JSONWebKey, error) {
	if s.settings.ClientKey == nil || keyID != ClientKeyID || clientID != ClientID {
		return nil, errors.New("no such key")
	}
	return &jose.JSONWebKey{KeyID: keyID, Use: "sig", Key: s.settings.ClientKey}, nil
}

// SigningKey implements op.Storage.
func (s *store) SigningKey(ctx context.Context) (op.SigningKey, error) {
	return s.signer().SigningKey(ctx)
}

// KeySet implements op.Storage.
func (s *store) KeySet(ctx context.Context) ([]op.Key, error) { return s.signer().KeySet(ctx) }

func (s *store) signer() *storage.Storage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys
}
