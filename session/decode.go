package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
)

// DecodeState reads the stored form of a State, each byte once, and keeps no reference to data: a State holds the
// strings it is made of and nothing else of its record.
//
// It is lenient towards other writers: a member of the wrong type counts as absent, and a token set without an access
// token is dropped. Of several members with one name the last counts. It fails where the whole, user or internal is
// something else than an object: then it cannot be known whose session this is, or until when.
func DecodeState(data []byte) (*State, error) {
	s := &State{}
	d := decoder{scanner: scanner{text: data}, s: s}
	if d.peek() != '{' || !d.state() || d.peek() != 0 || d.at < len(data) {
		return nil, errors.New("decode session: not a JSON object")
	}
	switch {
	case d.noUser:
		return nil, errors.New("decode session: user is not an object")
	case d.noInternal:
		return nil, errors.New("decode session: internal is not an object")
	}
	s.TokenSets = append(s.TokenSets, d.tokenSets...)
	s.ConnectionTokenSets = append(s.ConnectionTokenSets, d.connectionTokenSets...)
	return s, nil
}

// A decoder reads one State. Its methods read the next value, as those of its scanner do.
type decoder struct {
	scanner
	s *State

	tokenSets           []TokenSet // the State gets copies, without room for more
	connectionTokenSets []ConnectionTokenSet

	noUser, noInternal bool // user or internal is neither an object nor null
}

func (d *decoder) state() bool {
	s := d.s
	return d.object(func(name []byte) bool {
		switch string(name) {
		case "app_data":
			return d.data()
		case "connection_token_sets":
			d.connectionTokenSets = d.connectionTokenSets[:0]
			return d.objects(d.connectionTokenSet)
		case "domain":
			return d.stringInto(&s.Domain)
		case "id_token":
			return d.stringInto(&s.IDToken)
		case "internal":
			return d.internal()
		case "refresh_token":
			return d.stringInto(&s.RefreshToken)
		case "token_sets":
			d.tokenSets = d.tokenSets[:0]
			return d.objects(d.tokenSet)
		case "user":
			return d.user()
		}
		return d.keep(&s.extra, name)
	})
}

// data reads what the application keeps, and keeps its text.
func (d *decoder) data() bool {
	d.s.Data = ""
	if d.peek() != '{' {
		return d.skip()
	}
	spaces := d.spaces
	raw, ok := d.raw()
	if ok && d.spaces > spaces {
		var compact bytes.Buffer
		_ = json.Compact(&compact, raw)
		raw = compact.Bytes()
	}
	if ok && string(raw) != "{}" {
		d.s.Data = RawData(raw)
	}
	return ok
}

// objects reads an array and has one called for each object in it. Other values it skips.
func (d *decoder) objects(one func() bool) bool {
	if d.peek() != '[' {
		return d.skip()
	}
	return d.array(func() bool {
		if d.peek() != '{' {
			return d.skip()
		}
		return one()
	})
}

func (d *decoder) tokenSet() bool {
	var set TokenSet
	ok := d.object(func(name []byte) bool {
		switch string(name) {
		case "access_token":
			return d.stringInto(&set.AccessToken)
		case "actual_audience":
			return d.stringInto(&set.ActualAudience)
		case "audience":
			return d.stringInto(&set.Audience)
		case "expires_at":
			return d.secondsInto(&set.ExpiresAt)
		case "issued_at":
			return d.secondsInto(&set.IssuedAt)
		case "requested_scope":
			return d.stringInto(&set.RequestedScope)
		case "scope":
			return d.stringInto(&set.Scope)
		}
		return d.keep(&set.extra, name)
	})
	if set.Audience == "" {
		set.Audience = DefaultAudience // older state has null
	}
	if set.RequestedScope == set.Scope {
		set.RequestedScope = set.Scope // the same text, kept once
	}
	if set.AccessToken != "" {
		d.tokenSets = append(d.tokenSets, set)
	}
	return ok
}

func (d *decoder) connectionTokenSet() bool {
	var set ConnectionTokenSet
	ok := d.object(func(name []byte) bool {
		switch string(name) {
		case "access_token":
			return d.stringInto(&set.AccessToken)
		case "connection":
			return d.stringInto(&set.Connection)
		case "expires_at":
			return d.secondsInto(&set.ExpiresAt)
		case "login_hint":
			return d.stringInto(&set.LoginHint)
		case "scope":
			return d.stringInto(&set.Scope)
		}
		return d.keep(&set.extra, name)
	})
	if set.AccessToken != "" && set.Connection != "" {
		d.connectionTokenSets = append(d.connectionTokenSets, set)
	}
	return ok
}

func (d *decoder) internal() bool {
	i := &d.s.Internal
	*i = Internal{}
	if kind := d.peek(); kind != '{' {
		d.noInternal = kind != 'n'
		return d.skip()
	}
	d.noInternal = false
	ok := d.object(func(name []byte) bool {
		switch string(name) {
		case "asked_scope":
			return d.stringInto(&i.AskedScope)
		case "client_id":
			return d.stringInto(&i.ClientID)
		case "created_at":
			return d.secondsInto(&i.CreatedAt)
		case "ends_at":
			return d.secondsInto(&i.EndsAt)
		case "granted_audience":
			return d.stringInto(&i.GrantedAudience)
		case "granted_scope":
			return d.stringInto(&i.GrantedScope)
		case "session_expires_at":
			raw, ok := d.raw()
			i.Ceiling = ParseCeiling(json.Number(raw))
			return ok
		case "sid":
			return d.stringInto(&i.SID)
		case "step_up_after":
			return d.secondsInto(&i.StepUpAfter)
		}
		return d.keep(&i.extra, name)
	})
	i.EndsAt, i.StepUpAfter = max(0, i.EndsAt), max(0, i.StepUpAfter)
	return ok
}

// user reads the user and keeps its text. A text that Raw would not have written, with white space or members out of
// order, is written anew: so most states have the user as their record has it, and none has more of it than it needs.
func (d *decoder) user() bool {
	d.s.User = ""
	if kind := d.peek(); kind != '{' {
		d.noUser = kind != 'n'
		return d.skip()
	}
	d.noUser = false
	from, spaces := d.at, d.spaces
	var last []byte
	first, asWritten := true, true
	ok := d.object(func(name []byte) bool {
		asWritten = asWritten && (first || bytes.Compare(last, name) < 0)
		first, last = false, name
		value, ok := d.raw()
		if string(name) == claimSessionExpiry {
			asWritten = asWritten && ParseCeiling(json.Number(value)) != 0
		}
		return ok
	})
	if !ok {
		return false
	}
	d.s.User = RawUser(d.text[from:d.at])
	if !asWritten || d.spaces > spaces {
		u := d.s.User.Claims()
		if u.SessionExpiry() == 0 {
			delete(u, claimSessionExpiry)
		}
		d.s.User = u.Raw()
	}
	return true
}

// keep reads any value and puts it into extra, as another writer wrote it.
func (d *decoder) keep(extra *map[string]json.RawMessage, name []byte) bool {
	raw, ok := d.raw()
	if *extra == nil {
		*extra = map[string]json.RawMessage{}
	}
	(*extra)[string(name)] = bytes.Clone(raw)
	return ok
}

// wholeFloor returns f rounded down, 0 where a float64 cannot tell it from its neighbours.
func wholeFloor(f float64) int64 {
	if f = math.Floor(f); math.Abs(f) > 1<<53 {
		return 0
	}
	return int64(f)
}
