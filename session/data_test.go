package session_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
)

func TestData_comesBack(t *testing.T) {
	d := session.Data{}
	if err := d.Set("cart", []string{"tea", "<cups>"}); err != nil {
		t.Fatal(err)
	}
	raw, err := d.Raw()
	if err != nil {
		t.Fatal(err)
	}
	text, err := session.EncodeState(&session.State{Data: raw})
	if err != nil {
		t.Fatal(err)
	}
	s, err := session.DecodeState(text)
	if err != nil || s.Data != raw {
		t.Fatalf("%s came back as %q, %v; want %q", text, s.Data, err, raw)
	}
	packed, _ := s.Pack()
	var cart []string
	if ok, err := packed.State().Session().Data.Get("cart", &cart); !ok || err != nil || len(cart) != 2 || cart[1] != "<cups>" {
		t.Errorf("cart = %q, %v, %v", cart, ok, err)
	}
	if ok, err := d.Get("none", &cart); ok || err != nil {
		t.Errorf("a value that is not there: %v, %v", ok, err)
	}
}

func TestData_whatIsNoJSON(t *testing.T) {
	d := session.Data{"cart": []byte("{")}
	if raw, err := d.Raw(); err == nil {
		t.Errorf("it is kept as %q", raw)
	}
	if err := d.Set("cart", func() {}); err == nil || string(d["cart"]) != "{" {
		t.Errorf("a function was set: %v, %s", err, d["cart"])
	}
}

// A record of another writer has no values, or in another form.
func TestDecodeState_appData(t *testing.T) {
	for text, want := range map[string]session.RawData{
		`{}`:                       "",
		`{"app_data":null}`:        "",
		`{"app_data":7}`:           "",
		`{"app_data":{ }}`:         "",
		`{"app_data":{ "a" : 1 }}`: `{"a":1}`,
		`{"app_data":{"a":1},"app_data":{"b":2}}`: `{"b":2}`,
		`{"app_data":{"a":1},"app_data":"b"}`:     "",
	} {
		if s, err := session.DecodeState([]byte(text)); err != nil || s.Data != want {
			t.Errorf("%s: %q, %v; want %q", text, s.Data, err, want)
		}
	}
}

// Packed, a session without values is as long as before.
func TestPacked_costsNothingWithoutData(t *testing.T) {
	s := &session.State{User: `{"sub":"ann"}`, RefreshToken: "rt"}
	without, _ := s.Pack()
	s.Data = `{"a":1}`
	with, _ := s.Pack()
	if n := with.Len() - without.Len(); n != 1+len(s.Data) {
		t.Errorf("values of %d bytes take %d", len(s.Data), n)
	}
}

// Where the state is bounded, values push access tokens out, which a refresh gets again; values that do not fit
// change nothing.
func TestState_FitData(t *testing.T) {
	now := time.Unix(1000, 0)
	s := &session.State{User: `{"sub":"ann"}`, TokenSets: []session.TokenSet{{Audience: "api", AccessToken: strings.Repeat("t", 300), ExpiresAt: 2000}}}
	o := session.ApplyOptions{MaxBytes: 600}
	if next, ok := s.FitData(`{"a":1}`, now, o); !ok || len(next.TokenSets) != 1 || next.Data != `{"a":1}` || s.Data != "" {
		t.Errorf("few values: %v, %v", next, ok)
	}
	if next, ok := s.FitData(session.RawData(`{"a":"`+strings.Repeat("v", 300)+`"}`), now, o); !ok || len(next.TokenSets) != 0 || len(s.TokenSets) != 1 {
		t.Errorf("many values: %v, %v", next, ok)
	}
	if _, ok := s.FitData(session.RawData(`{"a":"`+strings.Repeat("v", 900)+`"}`), now, o); ok {
		t.Error("too many values fit")
	}
}
