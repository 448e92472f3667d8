package session

import "time"

// Token is an access token as it is handed to a caller.
type Token struct {
	AccessToken    string    `json:"access_token"`
	Audience       string    `json:"audience"`                  // the audience that was asked for, DefaultAudience when none
	Scope          string    `json:"scope"`                     // as granted
	ExpiresAt      time.Time `json:"expires_at"`                // whole seconds, UTC
	ActualAudience string    `json:"actual_audience,omitempty"` // set when the provider answered for another audience
}

func (t *TokenSet) token() Token {
	return Token{
		AccessToken:    t.AccessToken,
		Audience:       t.Audience,
		Scope:          t.Scope,
		ExpiresAt:      time.Unix(t.ExpiresAt, 0).UTC(),
		ActualAudience: t.ActualAudience,
	}
}

// ConnectionToken is a connection's token as it is handed to a caller.
type ConnectionToken struct {
	AccessToken string    `json:"access_token"`
	Connection  string    `json:"connection"`
	LoginHint   string    `json:"login_hint,omitempty"` // of the account that the token is for, where that is known
	Scope       string    `json:"scope"`                // as granted
	ExpiresAt   time.Time `json:"expires_at"`           // whole seconds, UTC
}

func (t *ConnectionTokenSet) token() ConnectionToken {
	return ConnectionToken{
		AccessToken: t.AccessToken,
		Connection:  t.Connection,
		LoginHint:   t.LoginHint,
		Scope:       t.Scope,
		ExpiresAt:   time.Unix(t.ExpiresAt, 0).UTC(),
	}
}
