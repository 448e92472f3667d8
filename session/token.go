package session

import "time"

// Token is an access token as it is handed to a caller.
type Token struct {
	AccessToken    string
	Audience       string    // the audience that was asked for, DefaultAudience when none
	Scope          string    // as granted
	ExpiresAt      time.Time // whole seconds, UTC
	ActualAudience string    // set when the provider answered for another audience
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
	AccessToken string
	Connection  string
	LoginHint   string    // of the account that the token is for, where that is known
	Scope       string    // as granted
	ExpiresAt   time.Time // whole seconds, UTC
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
