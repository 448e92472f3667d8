package redis_test

import (
	"encoding/hex"
	"fmt"
	"maps"
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
	epoch, err := s.Lease(t.Context(), key, "owner", time.Hour, opt)
	must(t, err)
	must(t, intend(t.Context(), s, key, store.Intent{Token: [32]byte{5}, Epoch: epoch, At: 1_700_000_000}, opt))

	fields, err := c.HGetAll(t.Context(), p+"s:"+id).Result()
	must(t, err)
	for _, instant := range []string{"t", "l"} {
		if len(fields[instant]) != len("1700000000000") {
			t.Errorf("field %s = %q, want milliseconds", instant, fields[instant])
		}
		delete(fields, instant)
	}
	want := map[string]string{
		"v": string(rec.Version[:]),
		"i": string(rec.Incarnation[:]),
		"r": string(store.MarshalRecord(rec)),
		"c": "8000000077359400",
		"x": value("03") + value("04"),
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
	must(t, s.Delete(t.Context(), key, session.Incarnation{}, session.ReasonLogout, opt))
	fields, err = c.HGetAll(t.Context(), p+"s:"+id).Result()
	must(t, err)
	if fields["g"] != "logout" || len(fields["u"]) != len("1700000000000") || len(fields) != 5 {
		t.Errorf("the entry is %q, want a tombstone and the lease", fields)
	}
	wantKeys(t, s, p+"s:"+id)
	if got, err := c.Get(t.Context(), p+"format").Result(); err != nil || got != "1" {
		t.Errorf("format = %q, %v, want 1", got, err)
	}
}

func unhex(t *testing.T, s string) string {
	t.Helper()
	b, err := hex.DecodeString(s)
	must(t, err)
	return string(b)
}

func FuzzAnswers(f *testing.F) {
	f.Add("", "", "")
	f.Add(strings.Repeat("ab", 32), strings.Repeat("i", 16), "8000000077359400")
	f.Fuzz(func(t *testing.T, key, incarnation, ceiling string) {
		refs, err := redis.RefsOf([]any{key, incarnation, ceiling})
		if err == nil && (len(refs) != 1 || !strings.EqualFold(refs[0].Key.String(), key) || string(refs[0].Incarnation[:]) != incarnation) {
			t.Errorf("%q, %q, %q became %v", key, incarnation, ceiling, refs)
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
	must(t, intend(t.Context(), s, key, in, opt))
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
