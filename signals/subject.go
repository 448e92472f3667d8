package signals

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/session"
)

// The formats of subjects that are understood (RFC 9493 section 3.2, Shared Signals Framework 1.0 section 3.3). Of
// another one a host may make something: see [Resolve].
const (
	FormatIssuerSubject = "iss_sub"
	FormatEmail         = "email"
	FormatOpaque        = "opaque"
	FormatAliases       = "aliases"
	FormatComplex       = "complex"
)

// Subject is whom a request or an event is about.
type Subject struct {
	Format  string
	Issuer  string // of FormatIssuerSubject
	Subject string // likewise
	Email   string // of FormatEmail
	ID      string // of FormatOpaque

	Aliases []Subject          // of FormatAliases: several names of one subject
	Members map[string]Subject // of FormatComplex: user, session, device, tenant and so on

	// Raw is all of it, as it came.
	Raw map[string]any
}

// Resolve says whose sessions a subject means: a user by opaque id or another format, or one whose iss
// and sub are not those of the application's sessions. It is asked for each user that a subject names, and for a complex subject that is
// narrower than user and session. It answers with issuer, and sub or sid; BeganBy is not read. With
// [ErrUnknownSubject] it says that there is no such user. An empty answer leaves the subject to the package, which knows
// FormatIssuerSubject, FormatEmail where the issuer has verified the address, and sessions by sid. Another error means that it cannot be known now. It must be safe for concurrent
// use.
type Resolve func(ctx context.Context, s Subject) ([]tokenward.EndRequest, error)

// ErrUnknownSubject says that there is no user of that name.
var ErrUnknownSubject = errors.New("signals: there is no user of that name")

var errSubject = errors.New("the subject is missing, or of no form that can be read")

const (
	maxAliases = 10
	maxName    = 2048 // bytes of a sub, an email address or an id
)

// readSubject reads a subject identifier. Drafts before RFC 9493 called the format subject_type and wrote iss-sub; complex
// subjects had no format.
func readSubject(v any) (Subject, error) { return readSubjectIn(v, outermost) }

// place is where a subject stands in another one.
type place int

const (
	outermost place = iota
	aMember         // of a complex subject, which holds no other complex one (Shared Signals Framework 1.0 section 3.2)
	anAlias         // of aliases, which hold simple ones only (RFC 9493 section 3.2.8)
)

func readSubjectIn(v any, at place) (s Subject, err error) {
	m, ok := v.(map[string]any)
	if !ok {
		return Subject{}, errSubject
	}
	s.Raw = m
	for _, name := range []string{"format", "subject_type"} {
		if s.Format == "" {
			s.Format, _ = m[name].(string)
		}
	}
	s.Format = strings.ReplaceAll(s.Format, "-", "_")
	text := func(name string) string {
		t, _ := m[name].(string)
		if strings.TrimSpace(t) == "" || len(t) > maxName {
			err = errSubject
		}
		return t
	}
	switch s.Format {
	case FormatIssuerSubject:
		s.Issuer, s.Subject = text("iss"), text("sub")
	case FormatEmail:
		s.Email = text("email")
	case FormatOpaque:
		s.ID = text("id")
	case FormatAliases:
		s.Aliases, err = readAliases(m["identifiers"], at)
	case FormatComplex, "":
		s.Format = FormatComplex
		s.Members, err = readMembers(m, at)
	}
	if err != nil {
		return Subject{}, err
	}
	return s, nil
}

func readAliases(v any, at place) ([]Subject, error) {
	list, ok := v.([]any)
	if !ok || at == anAlias || len(list) == 0 || len(list) > maxAliases {
		return nil, errSubject
	}
	var aliases []Subject
	for _, one := range list {
		s, err := readSubjectIn(one, anAlias)
		if err != nil {
			return nil, errSubject
		}
		aliases = append(aliases, s)
	}
	return aliases, nil
}

func readMembers(m map[string]any, at place) (map[string]Subject, error) {
	if at != outermost {
		return nil, errSubject
	}
	members := make(map[string]Subject)
	for name, v := range m {
		if name == "format" || name == "subject_type" || v == nil {
			continue
		}
		s, err := readSubjectIn(v, aMember)
		if err != nil {
			return nil, errSubject
		}
		members[name] = s
	}
	if len(members) == 0 {
		return nil, errSubject
	}
	return members, nil
}

// scope is whose users a party may name, and how.
type scope struct {
	issuers []string
	resolve Resolve
}

// checkIssuers fails where one of a configuration's issuers can be that of no user: else all that names its users would end nothing.
func checkIssuers(issuers []string) error {
	for _, issuer := range issuers {
		if err := session.CheckIssuer(session.IssuerOf(issuer)); err != nil {
			return &tokenward.ConfigurationError{Message: fmt.Sprintf("signals: Issuers: %q is no issuer URL and no domain", issuer)}
		}
	}
	return nil
}

// targets are the sessions that a subject means.
type targets struct {
	list    []tokenward.EndRequest
	known   bool // false: of a form that is not known, or narrower than sessions can be told apart, such as one device
	outside bool // it names users of other issuers, too, who are not in list
}

// targets returns what sessions s means, of users of the scope alone.
func (sc scope) targets(ctx context.Context, s Subject) (t targets, err error) {
	if s.Raw == nil {
		return targets{}, nil // no subject
	}
	if t.list, t.known, err = sc.meant(ctx, s); err != nil {
		return targets{}, err
	}
	all := len(t.list)
	t.list = slices.DeleteFunc(t.list, func(r tokenward.EndRequest) bool { return !sc.has(r.Issuer) })
	t.outside = len(t.list) < all
	return t, nil
}

func (sc scope) has(issuer string) bool {
	return slices.ContainsFunc(sc.issuers, func(known string) bool { return session.SameIssuer(known, issuer) })
}

func (sc scope) meant(ctx context.Context, s Subject) (list []tokenward.EndRequest, known bool, err error) {
	switch s.Format {
	case FormatAliases:
		return sc.ofAliases(ctx, s.Aliases)
	case FormatComplex:
		return sc.ofMembers(ctx, s)
	}
	if list, err = sc.asked(ctx, s); err != nil || len(list) > 0 {
		return list, len(list) > 0, err
	}
	switch s.Format {
	case FormatIssuerSubject:
		return []tokenward.EndRequest{{Issuer: s.Issuer, Subject: s.Subject}}, true, nil
	case FormatEmail:
		for _, issuer := range sc.issuers {
			list = append(list, tokenward.EndRequest{Issuer: issuer, Email: s.Email})
		}
	}
	return list, len(list) > 0, nil
}

// ofAliases returns the sessions of a subject of several names, of which those that are not known here are passed over.
func (sc scope) ofAliases(ctx context.Context, aliases []Subject) (list []tokenward.EndRequest, known bool, err error) {
	unknown := 0
	for _, alias := range aliases {
		of, _, err := sc.meant(ctx, alias)
		switch {
		case errors.Is(err, ErrUnknownSubject):
			unknown++
		case err != nil:
			return nil, false, err
		}
		list = append(list, of...)
	}
	if unknown > 0 && len(list) == 0 {
		return nil, false, ErrUnknownSubject
	}
	return list, len(list) > 0, nil
}

// asked returns what the host makes of a subject. A panic of its function is an error: its value is not shown.
func (sc scope) asked(ctx context.Context, s Subject) (list []tokenward.EndRequest, err error) {
	if sc.resolve == nil {
		return nil, nil
	}
	defer func() {
		if p := recover(); p != nil {
			list, err = nil, panicked(p)
		}
	}()
	list, err = sc.resolve(ctx, s)
	return slices.Clone(list), err
}

func panicked(p any) error { return fmt.Errorf("a function of the host panicked with a %T", p) }

// ofMembers returns the sessions of a complex subject: those that all its members name. A tenant or an organization of a
// named user narrows nothing. A session is named by its sid at the provider.
func (sc scope) ofMembers(ctx context.Context, s Subject) (list []tokenward.EndRequest, known bool, err error) {
	user, hasUser := s.Members["user"]
	one, hasSession := s.Members["session"]
	if !plain(s.Members) || hasSession && one.Format != FormatOpaque || !hasSession && !hasUser {
		list, err = sc.asked(ctx, s)
		return list, len(list) > 0, err
	}
	if hasUser {
		if list, known, err = sc.meant(ctx, user); err != nil || !hasSession {
			return list, known, err
		}
	}
	if !known {
		for _, issuer := range sc.issuers {
			list = append(list, tokenward.EndRequest{Issuer: issuer})
		}
	}
	for i := range list {
		list[i].SID = one.ID
	}
	return list, true, nil
}

// plain reports whether members narrow a subject no further than sessions can be told apart.
func plain(members map[string]Subject) bool {
	for name := range members {
		switch name {
		case "user", "session", "tenant", "org_unit":
		default:
			return false
		}
	}
	return true
}

// decodeObject reads a JSON object, numbers as json.Number, as the claims of tokens are.
func decodeObject(b []byte) (map[string]any, error) {
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil || m == nil {
		return nil, errors.New("it is no JSON object")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return m, nil
}
