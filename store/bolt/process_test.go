package bolt_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/bolt"
)

// The test program is its own second process: with this in its environment it plays
// a role instead of running tests.
const (
	childEnv = "TOKENWARD_BOLT_CHILD"
	pathEnv  = "TOKENWARD_BOLT_PATH"
	turnsEnv = "TOKENWARD_BOLT_TURNS" // the last turn of each saver
)

func child(role string) int {
	s, err := bolt.Open(os.Getenv(pathEnv))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	switch role {
	case "hold":
		fmt.Println("open")
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "save":
		turns := strings.Fields(os.Getenv(turnsEnv))
		together(savers, func(i int) {
			n, err := strconv.Atoi(turns[i])
			save(s, i, n, err)
		})
	}
	return 0
}

// process is a child that runs.
type process struct {
	*exec.Cmd
	stdin io.Closer
	out   *bufio.Reader
}

func start(t *testing.T, role, path string, env ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	p := &process{Cmd: exec.Command(exe)}
	p.Env = append(append(os.Environ(), childEnv+"="+role, pathEnv+"="+path), env...)
	p.Stderr = os.Stderr
	p.stdin, err = p.StdinPipe()
	must(t, err)
	out, err := p.StdoutPipe()
	must(t, err)
	p.out = bufio.NewReader(out)
	must(t, p.Start())
	t.Cleanup(p.kill)
	return p
}

// kill ends the process as a crash would.
func (p *process) kill() {
	_ = p.Process.Kill()
	_ = p.Wait()
}

func (p *process) line(t *testing.T) string {
	t.Helper()
	line, err := p.out.ReadString('\n')
	must(t, err)
	return line
}

func TestProcesses_oneAtATime(t *testing.T) {
	path := newPath(t)
	first := start(t, "hold", path)
	if line := first.line(t); line != "open\n" {
		t.Fatal(line)
	}
	want := &bolt.InUseError{Path: path}
	var used *bolt.InUseError
	if _, err := bolt.Open(path); !errors.As(err, &used) || *used != *want {
		t.Fatalf("err = %v, want %v", err, want)
	}
	second := start(t, "hold", path)
	if line := second.line(t); line != want.Error()+"\n" {
		t.Errorf("the second process said %q, want %q", line, want)
	}
	first.kill()
	s := open(t, path)
	must(t, s.Replace(t.Context(), key(1), store.Record{}, opt))
	third := start(t, "hold", path)
	if line := third.line(t); line != want.Error()+"\n" {
		t.Errorf("the third process said %q, want %q", line, want)
	}
	must(t, s.Replace(t.Context(), key(1), store.Record{}, opt))
}

const savers = 16

// saved is the record that a saver writes in its n-th turn. Every part of it tells n.
func saved(i, n int) store.Record {
	return store.Record{
		Version: version(n), Incarnation: session.Incarnation{byte(i)}, Epoch: int64(n), Ceiling: session.Ceiling(1_000_000 + n),
		Index:  []store.IndexValue{{byte(i)}, nth(i, n)},
		Sealed: bytes.Repeat(binary.BigEndian.AppendUint32(nil, uint32(n)), 1024),
		TTL:    time.Duration(n+1000) * time.Hour,
	}
}

func nth(i, n int) (v store.IndexValue) {
	copy(v[:], fmt.Sprintf("%d of saver %d", n, i))
	return v
}

// save writes one session again and again, from the turn after n on, and says so each
// time once it is written.
func save(s *bolt.Store, i, n int, err error) {
	ctx := context.Background()
	tx := s.Transactions()
	for {
		n++
		r := saved(i, n)
		if n%5 == 1 { // a logout and a login
			err = errors.Join(err, s.End(ctx, key(i), session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, opt), s.Replace(ctx, key(i), r, opt))
		} else {
			_, began := s.Begin(ctx, key(i), store.Beginning{Version: version(n - 1), Intent: store.Intent{Token: [32]byte{1}, At: int64(n)}}, opt)
			err = errors.Join(err, began)
			fmt.Printf("intends %d %d\n", i, n)
			err = errors.Join(err, s.Update(ctx, key(i), version(n-1), r, opt))
		}
		if err != nil {
			panic(err)
		}
		fmt.Printf("saved %d %d\n", i, n)
		if n%3 != 0 {
			continue
		}
		if err := tx.Put(ctx, state(i, n), []byte(state(i, n)), time.Hour, opt); err != nil {
			panic(err)
		}
		fmt.Printf("put %d %d\n", i, n)
		if n%2 != 0 {
			continue
		}
		if _, err := tx.Take(ctx, state(i, n), opt); err != nil {
			panic(err)
		}
		fmt.Printf("took %d %d\n", i, n)
	}
}

func state(i, n int) string { return fmt.Sprintf("state %d of saver %d", n, i) }

// Everything that was acknowledged is there after a kill -9 in the middle of
// concurrent saves, whole, and nothing is there that was not written.
func TestKill_losesNothingThatWasAcknowledged(t *testing.T) {
	path := newPath(t)
	last := make([]int, savers)     // the last turn that each saver was told of
	intended := make([]int, savers) // the last turn for which it was told of an intent
	put, took := map[string]bool{}, map[string]bool{}
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 8))
		p := start(t, "save", path, turnsEnv+"="+strings.Trim(fmt.Sprint(last), "[]"))
		for left := 20 + random.IntN(300); ; left-- {
			if left == 0 {
				must(t, p.Process.Kill()) // what it said until then is still read
			}
			line, err := p.out.ReadString('\n')
			if err != nil {
				break
			}
			var what string
			var i, n int
			if _, err := fmt.Sscanf(line, "%s %d %d\n", &what, &i, &n); err != nil {
				t.Fatalf("the child said %q", line)
			}
			switch what {
			case "saved":
				last[i] = n
			case "intends":
				intended[i] = n
			case "put":
				put[state(i, n)] = true
			case "took":
				took[state(i, n)] = true
			}
		}
		_ = p.Wait()

		s, err := bolt.Open(path)
		must(t, err)
		if err := s.Verify(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		stale, err := s.StaleIntents(t.Context(), 2*savers, opt)
		must(t, err)
		for i, n := range last {
			last[i] = checkSaved(t, s, i, n)
			stands := slices.ContainsFunc(stale, func(o store.StaleIntent) bool { return o.Key == key(i) && int(o.At) == last[i]+1 })
			if intended[i] > last[i] && !stands {
				t.Errorf("seed %d: saver %d at turn %d was told of an intent that is gone", seed, i, last[i])
			}
		}
		for key := range put {
			data, err := s.Transactions().Get(t.Context(), key, opt)
			switch {
			case took[key]:
				wantErr(t, err, store.ErrNotFound)
			case errors.Is(err, store.ErrNotFound): // its Take was not acknowledged
			case err != nil || string(data) != key:
				t.Errorf("seed %d: Get(%s) = %q, %v", seed, key, data, err)
			}
		}
		must(t, s.Close())
	}
}

// checkSaved fails unless the session of a saver is as its n-th turn left it, or the
// turn after that, and returns which.
func checkSaved(t *testing.T, s *bolt.Store, i, n int) int {
	t.Helper()
	got, err := s.Load(t.Context(), key(i), opt)
	var gone *store.GoneError
	switch {
	case errors.As(err, &gone):
		if (n+1)%5 != 1 {
			t.Fatalf("saver %d: its session is gone after turn %d", i, n)
		}
		return n
	case errors.Is(err, store.ErrNotFound) && n == 0:
		return 0
	case err != nil:
		t.Fatalf("saver %d, which was told of turn %d: %v", i, n, err)
	}
	at := int(got.Epoch)
	want := saved(i, at)
	want.TTL = 0
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("saver %d: a record of turn %d is mixed with another: %v", i, at, got)
	}
	if at != n && at != n+1 {
		t.Fatalf("saver %d: the record of turn %d, and it was told of turn %d", i, at, n)
	}
	for turn, there := range map[int]bool{at - 1: false, at: true, at + 1: false} {
		refs, err := s.Find(t.Context(), []store.IndexValue{nth(i, turn)}, opt)
		if must(t, err); len(refs) == 1 != there {
			t.Fatalf("saver %d at turn %d: Find of turn %d = %v", i, at, turn, refs)
		}
	}
	return at
}
