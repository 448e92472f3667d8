package tokenward

import (
	"encoding/base64"
	"encoding/json"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

// mfaBinding is what a sealed mfa_token is bound to.
const mfaBinding = "mfa_token"

// mfaRequired returns the error that says a second factor is wanted, with the
// provider's token sealed together with what it was asked for.
func (c *Client) mfaRequired(challenge *idp.MFAChallenge, r idp.RefreshRequest, cause error) error {
	plain, err := json.Marshal(map[string]any{
		"mfa_token": challenge.Token(), "audience": r.Audience, "scope": r.Scope,
		"mfa_requirements": challenge.Requirements(), "created_at": c.clock.Now().Unix(),
	})
	if err != nil {
		return cause
	}
	return &MFARequiredError{
		AccessTokenError: AccessTokenError{
			Code: session.CodeMFARequired, Message: "the provider wants another factor before it refreshes", Err: cause,
		},
		MFAToken:     base64.RawURLEncoding.EncodeToString(c.sealer.Seal(mfaBinding, plain)),
		Requirements: challenge.Requirements(),
	}
}
