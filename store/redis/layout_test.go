package redis_test

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/redis"
)

// Processes of several releases share a server during a deploy. So what one writes stays as it
// is for as long as the format has the same number.
func TestLayout_isWhatTheReleasesBeforeWrote(t *testing.T) {
	s, c := open(t), side(t)
	p := redis.PrefixOf(s)
	key := session.Key{0xab, 31: 0xcd}
	rec := store.Record{
		Version: session.Version{1}, Incarnation: session.Incarnation{2}, Ceiling: 2_000_000_000,
		Index: []store.IndexValue{{3}, {4}}, Sealed: []byte("sealed"), TTL: time.Hour,
	}
	id := "ab" + strings.Repeat("00", 30) + "cd"
	value := func(first string) string { return first + strings.Repeat("00", 31) }
	must(t, s.Replace(t.Context(), key, rec, opt))
	epoch, err := lease(t.Context(), s, key, "owner", time.Hour)
	must(t, err)
	must(t, intend(t.Context(), s, key, "owner", store.Intent{Token: [32]byte{5}, At: 1_700_000_000}))

	fields, err := c.HGetAll(t.Context(), p+"s:"+id).Result()
	must(t, err)
	for _, instant := range []string{"t", "l"} {
		if len(fields[instant]) != len("1700000000000") {
			t.Errorf("field %s = %q, want milliseconds", instant, fields[instant])
		}
		delete(fields, instant)
	}
	if used := fields["w"]; len(used) != len("1700000000000") {
		t.Errorf("field w = %q, want milliseconds", used)
	}
	delete(fields, "w") // none of the releases before wrote it
	want := map[string]string{
		"v": string(rec.Version[:]),
		"i": string(rec.Incarnation[:]),
		"r": string(store.MarshalRecord(rec)),
		"c": "8000000077359400",
		"x": value("03") + value("04"),
		"k": "0",
		"n": "800000006553f100" + unhex(t, fmt.Sprintf("%016x", epoch)) + "\x05" + strings.Repeat("\x00", 31),
		"o": "owner",
		"e": fmt.Sprint(epoch),
	}
	if !maps.Equal(fields, want) {
		t.Errorf("the entry is %q, want %q", fields, want)
	}
	for set, member := range map[string]string{
		"due": "8000000077359400" + id, "open": "8000000077359400" + id, "intents": "800000006553f100" + id,
		"x:" + value("03"): id, "x:" + value("04"): id,
	} {
		if got, err := c.ZRange(t.Context(), p+set, 0, -1).Result(); err != nil || !slices.Equal(got, []string{member}) {
			t.Errorf("%s = %q, %v, want %q", set, got, err, member)
		}
	}
	must(t, s.End(t.Context(), key, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, opt))
	fields, err = c.HGetAll(t.Context(), p+"s:"+id).Result()
	must(t, err)
	if fields["g"] != "logout" || fields["a"] != string(rec.Incarnation[:]) || len(fields["u"]) != len("1700000000000") || len(fields) != 6 {
		t.Errorf("the entry is %q, want a tombstone and the lease", fields)
	}
	wantKeys(t, s, p+"s:"+id)
	if got, err := c.Get(t.Context(), p+"format").Result(); err != nil || got != "2" {
		t.Errorf("format = %q, %v, want 2", got, err)
	}
}

// What the release of format 1 wrote, as Redis keeps it: a session with an intent, and one that has
// ended.
func TestLayout_ofFormat1IsRead(t *testing.T) {
	c, p := side(t), rand.Text()+":"
	key, ended := session.Key{0xab, 31: 0xcd}, session.Key{0xef, 31: 0x01}
	value := "03" + strings.Repeat("00", 31)
	record := unhex(t, "01"+"01"+strings.Repeat("00", 15)+"02"+strings.Repeat("00", 15)+ // format, version, incarnation
		"0000000000000000"+"0000000077359400"+"00000001"+value) + "sealed" // epoch, ceiling, index values
	now, err := c.Time(t.Context()).Result()
	must(t, err)
	soon := fmt.Sprint(now.Add(time.Hour).UnixMilli())
	for _, command := range [][]any{
		{"SET", p + "format", "1"},
		{
			"HSET", p + "s:" + key.String(), "v", "\x01" + strings.Repeat("\x00", 15), "i", "\x02" + strings.Repeat("\x00", 15), "r", record,
			"c", "8000000077359400", "x", value, "n", "800000006553f100" + strings.Repeat("\x00", 8) + "\x05" + strings.Repeat("\x00", 31),
		},
		{"ZADD", p + "due", 0, "8000000077359400" + key.String()},
		{"ZADD", p + "open", 0, "8000000077359400" + key.String()},
		{"ZADD", p + "intents", 0, "800000006553f100" + key.String()},
		{"ZADD", p + "x:" + value, "+inf", key.String()},
		{"HSET", p + "s:" + ended.String(), "g", "ceiling", "u", soon},
	} {
		must(t, c.Do(t.Context(), command...).Err())
	}

	s := openAt(t, server.Get(t).URL(), redis.Prefix(p))
	if got, err := c.Get(t.Context(), p+"format").Result(); err != nil || got != "2" {
		t.Errorf("format = %q, %v, want 2", got, err)
	}
	want := store.Record{
		Version: session.Version{1}, Incarnation: session.Incarnation{2}, Ceiling: 2_000_000_000,
		Index: []store.IndexValue{{3}}, Connections: true, Sealed: []byte("sealed"),
	}
	got, err := s.Load(t.Context(), key, opt)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Load = %+v, %v, want %+v", got, err, want)
	}
	refs, err := s.Find(t.Context(), want.Index, opt)
	if err != nil || !slices.Equal(refs, []store.Ref{{Key: key, Incarnation: want.Incarnation, Ceiling: want.Ceiling, Connections: true}}) {
		t.Errorf("Find = %+v, %v", refs, err)
	}
	in := store.Intent{Token: [32]byte{5}, At: 1_700_000_000}
	begun, err := s.Begin(t.Context(), key, store.Beginning{Version: want.Version, Owner: "a", TTL: time.Hour, Intent: in}, opt)
	if err != nil || begun.Prior == nil || *begun.Prior != in {
		t.Errorf("Begin = %+v, %v, want that %+v stood", begun, err, in)
	}
	// It may hold connection tokens, for format 1 does not say.
	ceiling := store.Ending{Reason: session.ReasonCeiling}
	wantErr(t, "End", s.End(t.Context(), key, want.Incarnation, ceiling, opt), store.ErrConflict)
	ceiling.Prev = want.Version
	must(t, s.End(t.Context(), key, want.Incarnation, ceiling, opt))

	_, err = s.Load(t.Context(), ended, opt)
	var gone *store.GoneError
	if !errors.As(err, &gone) || gone.Reason != session.ReasonCeiling || !gone.Incarnation.IsZero() || gone.Remainder != nil || gone.Stands < 50*time.Minute {
		t.Errorf("Load of what has ended: %+v", err)
	}
	must(t, s.End(t.Context(), ended, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, opt))
	_, err = s.Load(t.Context(), ended, opt)
	if !errors.As(err, &gone) || gone.Reason != session.ReasonLogout {
		t.Errorf("Load after a logout: %v", err)
	}
}

func TestLayout_ofATombstoneWithARemainder(t *testing.T) {
	s, c := open(t), side(t)
	p := redis.PrefixOf(s)
	key := session.Key{0xab, 31: 0xcd}
	rec := store.Record{Version: session.Version{1}, Incarnation: session.Incarnation{2}, Connections: true, Index: []store.IndexValue{{9}}}
	must(t, s.Replace(t.Context(), key, rec, opt))
	left := &store.Remainder{Version: session.Version{3}, Index: []store.IndexValue{{4}}, Sealed: []byte("left"), TTL: time.Hour}
	must(t, s.End(t.Context(), key, rec.Incarnation, store.Ending{Reason: session.ReasonCeiling, Prev: rec.Version, Remainder: left}, opt))
	fields, err := c.HGetAll(t.Context(), p+"s:"+key.String()).Result()
	must(t, err)
	if fields["u"] != fields["z"] || len(fields["z"]) != len("1700000000000") {
		t.Errorf("u = %q, z = %q, want the same instant, in milliseconds", fields["u"], fields["z"])
	}
	delete(fields, "u")
	delete(fields, "z")
	value := "04" + strings.Repeat("00", 31)
	want := map[string]string{
		"g": "ceiling", "a": string(rec.Incarnation[:]), "p": string(left.Version[:]), "q": "left", "y": value,
	}
	if !maps.Equal(fields, want) {
		t.Errorf("the entry is %q, want %q", fields, want)
	}
	wantKeys(t, s, p+"s:"+key.String(), p+"x:"+value)
	must(t, s.End(t.Context(), key, rec.Incarnation, store.Ending{Reason: session.ReasonLogout}, opt))
	wantKeys(t, s, p+"s:"+key.String())
}

func unhex(t *testing.T, s string) string {
	t.Helper()
	b, err := hex.DecodeString(s)
	must(t, err)
	return string(b)
}

func FuzzAnswers(f *testing.F) {
	f.Add("", "", "", "", "")
	f.Add(strings.Repeat("ab", 32), strings.Repeat("i", 16), "8000000077359400", "0", "1")
	f.Fuzz(func(t *testing.T, key, incarnation, ceiling, held, ended string) {
		refs, err := redis.RefsOf([]any{key, incarnation, ceiling, held, ended})
		if err == nil && (len(refs) != 1 || !strings.EqualFold(refs[0].Key.String(), key) || string(refs[0].Incarnation[:]) != incarnation) {
			t.Errorf("%q, %q, %q became %v", key, incarnation, ceiling, refs)
		}
	})
}

func FuzzTombstone(f *testing.F) {
	f.Add("ceiling", int64(1), strings.Repeat("i", 16), strings.Repeat("v", 16), "sealed", strings.Repeat("ab", 64), int64(1))
	f.Fuzz(func(t *testing.T, why string, stands int64, of, version, sealed, values string, left int64) {
		gone, ok := redis.TombstoneOf([]any{why, stands, of, version, sealed, values, left})
		if ok && (string(gone.Reason) != why || string(gone.Remainder.Version[:]) != version ||
			string(gone.Remainder.Sealed) != sealed || len(gone.Remainder.Index) != len(values)/64) {
			t.Errorf("%q, %q, %q, %q became %+v", why, version, sealed, values, gone)
		}
	})
}

func FuzzBegun(f *testing.F) {
	in := redis.FormatIntent(store.Intent{Token: [32]byte{1}, Epoch: 7, At: 1_700_000_000})
	f.Add("7", in, "", in, redis.FormatTries(store.Intent{Tries: 3, Next: 1}))
	f.Fuzz(func(t *testing.T, epoch, in, tries, prior, priorTries string) {
		b, ok := redis.BegunOf([]any{"begun", epoch, in, tries, prior, priorTries})
		if ok && (b.Prior != nil) != (prior != "") {
			t.Errorf("%q became %+v", prior, b)
		}
	})
}

// What a release that does not know of tries reads of an intent stays as it is.
func TestLayout_triesStandBesideTheIntent(t *testing.T) {
	s, c := open(t), side(t)
	p := redis.PrefixOf(s)
	key := session.Key{0xab, 31: 0xcd}
	id := "ab" + strings.Repeat("00", 30) + "cd"
	must(t, s.Replace(t.Context(), key, store.Record{Version: session.Version{1}, Incarnation: session.Incarnation{2}}, opt))
	in := store.Intent{Token: [32]byte{5}, At: 1_700_000_000, Tries: 3, Next: 1_700_000_020}
	must(t, intend(t.Context(), s, key, "", in))
	got, err := c.HMGet(t.Context(), p+"s:"+id, "n", "m").Result()
	must(t, err)
	want := []any{"800000006553f100" + strings.Repeat("\x00", 8) + "\x05" + strings.Repeat("\x00", 31), "800000006553f1143"}
	if !slices.Equal(got, want) {
		t.Errorf("n, m = %q, want %q", got, want)
	}
	must(t, s.ClearIntent(t.Context(), key, in, opt))
	if n, err := c.HExists(t.Context(), p+"s:"+id, "m").Result(); err != nil || n {
		t.Errorf("m is left: %v, %v", n, err)
	}
}

func FuzzTries(f *testing.F) {
	f.Add("")
	f.Add(redis.FormatTries(store.Intent{Tries: 3, Next: -1}))
	f.Fuzz(func(t *testing.T, text string) {
		var in store.Intent
		if redis.ParseTries(text, &in) && in.Tries != 0 {
			var same store.Intent
			if !redis.ParseTries(redis.FormatTries(in), &same) || same != in {
				t.Errorf("%q became %v, and that %v", text, in, same)
			}
		}
	})
}

func FuzzNotice(f *testing.F) {
	f.Add("")
	f.Add(strings.Repeat("x", 48))
	f.Fuzz(func(t *testing.T, text string) {
		if key, v, ok := redis.ParseNotice(text); ok && redis.Notice(key, v) != text {
			t.Errorf("%q became %v, %v", text, key, v)
		}
	})
}

func FuzzIntent(f *testing.F) {
	f.Add("")
	f.Add(redis.FormatIntent(store.Intent{Token: [32]byte{1}, Epoch: -1, At: -1}))
	f.Fuzz(func(t *testing.T, text string) {
		if in, ok := redis.ParseIntent(text); ok && !strings.EqualFold(redis.FormatIntent(in), text) {
			t.Errorf("%q became %v", text, in)
		}
	})
}

func FuzzInfo(f *testing.F) {
	f.Add(goodInfo)
	f.Add("redis_version:")
	f.Fuzz(func(_ *testing.T, text string) { _ = redis.Fit(redis.ParseInfo(text)) })
}
