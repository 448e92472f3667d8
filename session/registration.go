package session

// RegistrationID names an application as it is registered at a provider. A client id is unique at its
// issuer only (RFC 6749 section 2.2).
type RegistrationID struct {
	Issuer   string // issuer URL, or domain
	ClientID string
}

// Same reports whether r and other mean the same registration.
func (r RegistrationID) Same(other RegistrationID) bool {
	return r.ClientID == other.ClientID && SameIssuer(r.Issuer, other.Issuer)
}
