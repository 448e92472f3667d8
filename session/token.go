package session

import "time"

// Token is an access token as it is handed to a caller.
type Token struct {
	AccessToken    string
	Audience       string    // the audience that was asked for, DefaultAudience when none
	Scope          string    // as granted
	ExpiresAt      time.Time // whole seconds
	ActualAudience string    // set when the provider answered for another audience
}

// ConnectionToken is a connection's token as it is handed to a caller.
type ConnectionToken struct {
	AccessToken string
	Connection  string
	LoginHint   string
	Scope       string
	ExpiresAt   time.Time // whole seconds
}
