package cookie_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/cookie"
	"github.com/tokenward/tokenward/store/storetest"
)

const name = "_a0_session"

func newStates(t testing.TB, c clock.Clock, secrets ...string) *cookie.States {
	return cookie.NewStates(sealer(t, secrets...), c, name, cookie.Attributes{})
}

func TestStates(t *testing.T) {
	storetest.Run(t, func(t *testing.T, c clock.Clock) store.StateStore { return newStates(t, c, secretA) })
}

// bring returns the only session that the browser brings.
func readRequest(s *cookie.States, w http.ResponseWriter, r *http.Request) cookie.Incoming {
	if all := s.ReadRequest(w, r); len(all) == 1 {
		return all[0]
	}
	return cookie.Incoming{}
}

// chunkTag is what each chunk of value begins with.
func chunkTag(value string) string {
	h := sha256.Sum256([]byte(value))
	return base64.RawURLEncoding.EncodeToString(h[:6]) + "."
}

// process is a server process with its store, and one session of one browser.
type process struct {
	t   *testing.T
	s   *cookie.States
	id  string
	key session.Key
}

func newProcess(t *testing.T, c clock.Clock, secrets ...string) *process {
	return &process{t, newStates(t, c, secrets...), "id", session.KeyOf(name, "id")}
}

func record(n byte, size int) store.Record {
	return store.Record{
		Version: session.Version{n}, Incarnation: session.Incarnation{1}, TTL: 25 * time.Hour,
		Sealed: []byte(strings.Repeat(string(rune('a'+n)), size)),
	}
}

func (p *process) replace(r store.Record) {
	p.t.Helper()
	if err := p.s.Replace(p.t.Context(), p.key, r, store.Options{}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) update(prev byte, r store.Record) {
	p.t.Helper()
	if err := p.s.Update(p.t.Context(), p.key, session.Version{prev}, r, store.Options{}); err != nil {
		p.t.Fatal(err)
	}
}

// visit is one request of the browser: its cookies are read, and it gets what it lacks.
func (p *process) visit(b *browser) cookie.Incoming {
	p.t.Helper()
	w, r := b.request()
	incoming := readRequest(p.s, w, r)
	if incoming.ID != "" {
		if err := p.s.WriteResponse(w, r, p.id, incoming, 24*time.Hour, false, nil); err != nil {
			p.t.Fatal(err)
		}
	}
	b.took(w)
	return incoming
}

// login is a request that begins the session.
func (p *process) login(b *browser, r store.Record) {
	p.t.Helper()
	p.replace(r)
	w, req := b.request()
	if err := p.s.WriteResponse(w, req, p.id, cookie.Incoming{}, 24*time.Hour, true, nil); err != nil {
		p.t.Fatal(err)
	}
	b.took(w)
}

// has fails unless the process has that version of the session.
func (p *process) has(doing string, n byte) {
	p.t.Helper()
	r, err := p.s.Load(p.t.Context(), p.key, store.Options{})
	if err != nil || r.Version != (session.Version{n}) {
		p.t.Errorf("%s: version %v, %v, want %d", doing, r.Version[0], err, n)
	}
}

func TestStates_travel(t *testing.T) {
	clk, b := clock.NewFake(t0), newBrowser()
	one := newProcess(t, clk, secretA)
	one.login(b, record(1, 7000))
	if got, want := slices.Sorted(maps.Keys(b.cookies())), []string{name + ".0", name + ".1", name + ".2", name + ".3"}; !slices.Equal(got, want) {
		t.Fatalf("cookies = %q, want %q", got, want)
	}
	for n, v := range b.cookies() {
		if len(v) > 3072 {
			t.Errorf("%s has %d characters", n, len(v))
		}
	}
	// Another process, or the next one, takes it in.
	two := newProcess(t, clk, secretB, secretA)
	if got := two.visit(b); got.ID != "id" || !got.Seen.Equal(t0) || got.Newer {
		t.Errorf("ReadRequest = %+v", got)
	}
	two.has("another process", 1)
	// What it writes replaces what the first one knows.
	two.update(1, record(2, 100))
	if two.visit(b); len(b.cookies()) != 1 {
		t.Errorf("%d cookies are left, want 1: the others are stale", len(b.cookies()))
	}
	if got := one.visit(b); got.Newer {
		t.Error("the first has no key for it, and took it in")
	}
	one = newProcess(t, clk, secretA, secretB)
	one.replace(record(1, 100))
	if got := one.visit(b); !got.Newer {
		t.Error("what is newer was not noticed")
	}
	one.has("the first process", 2)
}

// A browser that lost an answer brings older cookies: they change nothing, and it gets the
// newest.
func TestStates_olderReplacesNothing(t *testing.T) {
	clk, b := clock.NewFake(t0), newBrowser()
	p := newProcess(t, clk, secretA)
	p.login(b, record(1, 100))
	p.update(1, record(2, 100))
	old := b.cookies()
	p.visit(b)
	b.jar = old
	p.visit(b)
	p.has("after an older cookie", 2)
	next := newProcess(t, clk, secretA)
	next.visit(b)
	next.has("what the browser has now", 2)
	w, r := b.request()
	if err := p.s.WriteResponse(w, r, "id", readRequest(p.s, w, r), time.Hour, false, nil); err != nil || len(w.Header()["Set-Cookie"]) != 0 {
		t.Errorf("what the browser has is written again, %v", err)
	}
}

func TestStates_endedStaysEnded(t *testing.T) {
	clk, b := clock.NewFake(t0), newBrowser()
	p := newProcess(t, clk, secretA)
	p.login(b, record(1, 100))
	if err := p.s.End(t.Context(), p.key, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, store.Options{}); err != nil {
		t.Fatal(err)
	}
	clk.Advance(24 * time.Hour)
	p.visit(b)
	var gone *store.GoneError
	if _, err := p.s.Load(t.Context(), p.key, store.Options{}); !errors.As(err, &gone) {
		t.Errorf("a day later: %v, want that it ended", err)
	}
	w, r := b.request()
	p.s.Drop(w, r, nil)
	if b.took(w); len(b.cookies()) != 0 {
		t.Errorf("cookies = %v, want none", b.cookies())
	}
}

func TestStates_unreadableIsLeftAlone(t *testing.T) {
	clk, b := clock.NewFake(t0), newBrowser()
	other := newProcess(t, clk, secretB)
	other.login(b, record(1, 5000))
	before := b.cookies()
	if got := newProcess(t, clk, secretA).visit(b); got.ID != "" || !maps.Equal(before, b.cookies()) {
		t.Errorf("ReadRequest = %+v; the cookies changed: %v", got, !maps.Equal(before, b.cookies()))
	}
}

func TestStates_everyByteCounts(t *testing.T) {
	clk, b := clock.NewFake(t0), newBrowser()
	p := newProcess(t, clk, secretA)
	p.login(b, record(1, 2200))
	good := b.cookies()
	for n, v := range good {
		for i := range len(v) {
			for _, bad := range []string{v[:i], v[:i] + "A" + v[i+1:], v[:i] + "B" + v[i+1:], v[:i] + v[i+1:]} {
				b.jar[n] = bad
				w, r := b.request()
				if got := readRequest(p.s, w, r); got.ID != "" && bad != v {
					t.Fatalf("%s changed at %d: it opens", n, i)
				}
			}
		}
		b.jar[n] = v
	}
}

func TestStates_chunkSets(t *testing.T) {
	clk, b := clock.NewFake(t0), newBrowser()
	p := newProcess(t, clk, secretA)
	p.login(b, record(1, 3*3072))
	n := len(b.cookies())
	if n != 5 {
		t.Fatalf("%d chunks, want 5", n)
	}
	tests := []struct {
		name   string
		change func(jar map[string]string)
		want   bool
	}{
		{"whole", func(map[string]string) {}, true},
		{"the first is missing", func(jar map[string]string) { delete(jar, name+".0") }, false},
		{"one in the middle is missing", func(jar map[string]string) { delete(jar, name+".2") }, false},
		{"the last is missing", func(jar map[string]string) { delete(jar, name+".4") }, false},
		{"one is left over from before", func(jar map[string]string) { jar[name+".5"] = "stale" }, true},
		{"one far away", func(jar map[string]string) { jar[name+".31"] = "stale" }, true},
		{"two have changed places", func(jar map[string]string) { jar[name+".1"], jar[name+".2"] = jar[name+".2"], jar[name+".1"] }, false},
		{"names that are almost theirs", func(jar map[string]string) {
			jar[name+".00"], jar[name+".01"], jar[name+".x"], jar[name] = "x", "x", "x", "x"
			jar["_a0_sessions.0"], jar["x_a0_session.0"], jar[name+".0.0"] = "x", "x", "x"
		}, true},
		{"a name that is almost one's", func(jar map[string]string) { jar[name+".01"] = jar[name+".1"]; delete(jar, name+".1") }, false},
	}
	for _, tt := range tests {
		jar := b.cookies()
		tt.change(jar)
		w, r := (&browser{jar: jar}).request()
		if got := readRequest(p.s, w, r).ID != ""; got != tt.want {
			t.Errorf("%s: a session: %v, want %v", tt.name, got, tt.want)
		}
	}
	jar := b.cookies()
	jar[name+".7"], jar[name+".x"] = "stale", "the host's"
	other := &browser{jar: jar}
	p.update(1, record(2, 100))
	if p.visit(other); len(other.cookies()) != 2 {
		t.Errorf("after a shorter state: %d cookies, want its one and the host's", len(other.cookies()))
	}
	p.update(2, record(3, 100_000))
	w, r := b.request()
	if err := p.s.WriteResponse(w, r, "id", cookie.Incoming{}, time.Hour, true, nil); err == nil || len(w.Header()) != 0 {
		t.Errorf("a state too large: %v", err)
	}
}

// Many requests of one session at once: what the last of them wrote is what a
// browser has in the end, in whichever order the answers come.
func TestStates_manyRequestsAtOnce(t *testing.T) {
	clk, b := clock.NewFake(t0), newBrowser()
	p := newProcess(t, clk, secretA)
	p.login(b, record(1, 100))
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			w, r := b.request()
			incoming := readRequest(p.s, w, r)
			for {
				rec, err := p.s.Load(context.Background(), p.key, store.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				prev := rec.Version
				rec.Version[1]++
				rec.TTL = time.Hour
				if err = p.s.Update(context.Background(), p.key, prev, rec, store.Options{}); err == nil {
					break
				}
			}
			if err := p.s.WriteResponse(w, r, p.id, incoming, time.Hour, false, nil); err != nil {
				t.Error(err)
			}
			b.took(w)
		})
	}
	wg.Wait()
	p.visit(b)
	next := newProcess(t, clk, secretA)
	next.visit(b)
	want, _ := p.s.Load(t.Context(), p.key, store.Options{})
	if got, err := next.s.Load(t.Context(), p.key, store.Options{}); err != nil || got.Version != want.Version || got.Version[1] != 50 {
		t.Errorf("the browser has %v, %v, want %v", got.Version, err, want.Version)
	}
}

// Within one answer the newest state stands, once.
func TestStates_oneAnswer(t *testing.T) {
	clk, b := clock.NewFake(t0), newBrowser()
	p := newProcess(t, clk, secretA)
	p.replace(record(1, 5000))
	w, r := b.request()
	for i := range byte(3) {
		if i > 0 {
			p.update(i, record(i+1, int(5000-2400*int(i))))
		}
		if err := p.s.WriteResponse(w, r, "id", readRequest(p.s, w, r), time.Hour, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := readRequest(p.s, w, r); got.ID != "id" {
		t.Error("what the answer carries is not read")
	}
	b.took(w)
	if next := newProcess(t, clk, secretA); next.visit(b).ID != "id" || len(b.cookies()) != 1 {
		t.Errorf("cookies = %d", len(b.cookies()))
	} else {
		next.has("the next process", 3)
	}
}

func FuzzChunks(f *testing.F) {
	clk, b := clock.NewFake(t0), newBrowser()
	s := cookie.NewStates(reproducible(f), clk, name, cookie.Attributes{})
	if err := s.Replace(f.Context(), session.KeyOf(name, "id"), record(1, 2300), store.Options{}); err != nil {
		f.Fatal(err)
	}
	w, r := b.request()
	if err := s.WriteResponse(w, r, "id", cookie.Incoming{}, time.Hour, true, nil); err != nil {
		f.Fatal(err)
	}
	b.took(w)
	zero, one := b.jar[name+".0"], b.jar[name+".1"]
	for _, header := range []string{
		"%[1]s.0=%[2]s; %[1]s.1=%[3]s", "%[1]s.0=%[2]s", "%[1]s.1=%[3]s; %[1]s.0=%[2]s; %[1]s.2=x", "%[1]s.0=%[3]s; %[1]s.1=%[2]s",
		"%[1]s.0=1.A", "%[1]s.0=99999999999999999999.A", "%[1]s.0=-1.A", "%[1]s.0=.", "%[1]s.0=3072.%[3]s", "%[1]s.00=%[2]s; %[1]s=%[2]s",
	} {
		f.Add(fmt.Sprintf(header, name, zero, one))
	}
	f.Fuzz(func(t *testing.T, header string) {
		w, r := newBrowser().request()
		r.Header.Set("Cookie", header)
		got := readRequest(s, w, r)
		if got.ID != "" && (got.ID != "id" || !strings.Contains(header, zero) || !strings.Contains(header, one)) {
			t.Errorf("ReadRequest = %+v", got)
		}
		if len(w.Header()) != 0 {
			t.Errorf("header = %v", w.Header())
		}
		s.Drop(w, r, nil)
		if got := readRequest(s, w, r); got.ID != "" {
			t.Errorf("after Drop: %+v", got)
		}
	})
}

// A browser may have the chunks of two values, for two domains, in any order. They are not mixed, also where one of
// the sessions has more of them.
func TestStates_chunksOfTwoDomains(t *testing.T) {
	clk := clock.NewFake(t0)
	s := newStates(t, clk, secretA)
	jars := map[string]map[string]string{}
	for id, size := range map[string]int{"old": 6000, "new": 3000} {
		if err := s.Replace(t.Context(), session.KeyOf(name, id), record(1, size), store.Options{}); err != nil {
			t.Fatal(err)
		}
		b := newBrowser()
		w, r := b.request()
		if err := s.WriteResponse(w, r, id, cookie.Incoming{}, time.Hour, true, nil); err != nil {
			t.Fatal(err)
		}
		b.took(w)
		jars[id] = b.cookies()
	}
	if len(jars["old"]) != 3 || len(jars["new"]) != 2 {
		t.Fatalf("%d and %d chunks, want 3 and 2", len(jars["old"]), len(jars["new"]))
	}
	for _, order := range []string{"old new", "new old", "old", "new", "old old new new old"} {
		ids := strings.Fields(order)
		for _, turned := range []bool{false, true} { // for the chunks after the first
			_, r := newBrowser().request()
			for n := range 3 {
				mine := slices.Clone(ids)
				if turned && n > 0 {
					slices.Reverse(mine)
				}
				for _, id := range mine {
					if v, ok := jars[id][fmt.Sprintf("%s.%d", name, n)]; ok {
						r.AddCookie(&http.Cookie{Name: fmt.Sprintf("%s.%d", name, n), Value: v})
					}
				}
			}
			var got []string
			for _, b := range newStates(t, clk, secretA).ReadRequest(nil, r) {
				got = append(got, b.ID)
			}
			want := slices.Clone(ids)
			if len(want) > 2 {
				want = []string{"old", "new"}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, turned %t: sessions %q", order, turned, got)
			}
		}
	}
	// Without one of its chunks a value is none, whatever the other one has.
	_, r := newBrowser().request()
	r.AddCookie(&http.Cookie{Name: name + ".0", Value: jars["old"][name+".0"]})
	r.AddCookie(&http.Cookie{Name: name + ".1", Value: jars["new"][name+".1"]})
	if got := s.ReadRequest(nil, r); len(got) != 0 {
		t.Errorf("a mixture: %+v", got)
	}
}

func TestStates_fourSessionsAtMost(t *testing.T) {
	clk := clock.NewFake(t0)
	s := newStates(t, clk, secretA)
	_, r := newBrowser().request()
	r.AddCookie(&http.Cookie{Name: name + ".0", Value: "AAAAAAAA.1.A"}) // opens not, and does not count
	for i := range 6 {
		id := fmt.Sprint("id", i)
		if err := s.Replace(t.Context(), session.KeyOf(name, id), record(1, 100), store.Options{}); err != nil {
			t.Fatal(err)
		}
		b := newBrowser()
		w, req := b.request()
		if err := s.WriteResponse(w, req, id, cookie.Incoming{}, time.Hour, true, nil); err != nil {
			t.Fatal(err)
		}
		b.took(w)
		r.AddCookie(&http.Cookie{Name: name + ".0", Value: b.jar[name+".0"]})
	}
	if got := newStates(t, clk, secretA).ReadRequest(nil, r); len(got) != 4 || got[0].ID != "id0" || got[3].ID != "id3" {
		t.Errorf("%+v", got)
	}
}

// What WriteResponse says it can carry it can, and a byte more than all that it refuses.
func TestStates_capacity(t *testing.T) {
	clk := clock.NewFake(t0)
	for chunks, want := range map[int]int{0: 5, 1: 1, 2: 2, 5: 5, 32: 32, 99: 32} {
		s := cookie.NewStates(sealer(t, secretA), clk, name, cookie.Attributes{Chunks: chunks})
		const sealing = 49 // what Sealer.Seal adds
		size := s.StateCapacity() + sealing
		id := strings.Repeat("i", 32)
		for _, more := range []int{0, 500} {
			if err := s.Replace(t.Context(), session.KeyOf(name, id), record(1, size+more), store.Options{}); err != nil {
				t.Fatal(err)
			}
			b := newBrowser()
			w, r := b.request()
			err := s.WriteResponse(w, r, id, cookie.Incoming{}, time.Hour, true, nil)
			if (err == nil) != (more == 0) {
				t.Errorf("%d chunks, a state of %d bytes more than there is room for: %v", chunks, more, err)
			}
			if b.took(w); more == 0 && len(b.jar) != want {
				t.Errorf("%d chunks: %d cookies, want %d", chunks, len(b.jar), want)
			}
		}
	}
}

// A refresh token counts as carried once the answer has begun, not when a call has returned.
func TestStates_carriedWhenWritten(t *testing.T) {
	clk, b := clock.NewFake(t0), newBrowser()
	p := newProcess(t, clk, secretA)
	p.login(b, record(1, 100))
	p.update(1, record(2, 100))
	late := b.cookies()
	for _, begun := range []bool{true, false} {
		rec, r := b.request()
		w, finish := cookie.Wrap(rec)
		if begun {
			w.WriteHeader(http.StatusOK)
		}
		if err := p.s.WriteResponse(w, r, p.id, readRequest(p.s, w, r), time.Hour, false, nil); err != nil {
			t.Fatal(err)
		}
		finish()
		if got := len(rec.Result().Cookies()); (got == 0) != begun {
			t.Errorf("begun %t: %d cookies", begun, got)
		}
	}
	b.jar = late
	p.visit(b)
	next := newProcess(t, clk, secretA)
	next.visit(b)
	next.has("the next answer", 2)
}
