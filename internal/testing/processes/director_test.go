package processes_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
)

// stage is some processes on one store, their tenant, and who is signed in. The test alone
// signs in and out, in whichever process, so it knows what must be.
type stage struct {
	t      *testing.T
	tenant *idptest.Tenant
	home   home
	all    []*process
	parts  []*part // by session

	mu     sync.Mutex
	played map[string]int
}

// part is one session. One goroutine at a time plays it.
type part struct {
	*stage
	session int
	id      string
	logins  int
	on      who      // who is signed in
	living  bool     // somebody is
	expired []string // subjects that ended at their ceiling: their connections' tokens live on
}

// next returns a login that no process has seen.
func (p *part) next(lives time.Duration) who {
	p.logins++
	w := who{session: p.session, login: p.logins}
	if lives > 0 {
		w.ceiling = session.Ceiling(clock.System().Now().Add(lives+session.CeilingLeeway).Unix() + 1)
	}
	return w
}

// somewhere returns some of the processes, no one twice.
func (s *stage) somewhere(random *rand.Rand, n int) []*process {
	all := slices.Clone(s.all)
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:n]
}

func (s *stage) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.played[what]++
}

// direct plays scenes until so many were played; each session is one goroutine's.
func (s *stage) direct(scenes, directors int, seed uint64) {
	var left atomic.Int64
	left.Store(int64(scenes))
	var all sync.WaitGroup
	for i := range directors {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(1000+i)))
			for left.Add(-1) >= 0 && !s.t.Failed() {
				// Half of them are about the sessions that are asked for most.
				n := len(s.parts)
				if random.IntN(2) == 0 {
					n = min(hot, n)
				}
				own := (n - i + directors - 1) / directors
				if own > 0 {
					s.parts[i+directors*random.IntN(own)].scene(random)
				}
			}
		})
	}
	all.Wait()
}

// scene has something happen to the session, and waits until every process knows.
func (p *part) scene(random *rand.Rand) {
	at := p.somewhere(random, 2)
	n := random.IntN(100)
	switch {
	case p.living && p.on.ceiling != 0:
		if p.on.over(clock.System().Now()) {
			p.count("ceiling")
			p.settle(who{})
			p.signIn(at[0], at[1], p.next(0))
		}
	case n < 10:
		p.count("login that will end")
		p.signIn(at[0], at[1], p.next(time.Duration(2+random.IntN(4))*time.Second))
	case !p.living, n < 35:
		p.count("login")
		p.signIn(at[0], at[1], p.next(0))
	case n < 60:
		p.count("logout")
		p.want("logout", at[0].do("Logout", p.id))
		p.settle(who{})
		p.signIn(at[0], at[1], p.next(0))
	case n < 75:
		p.count("back-channel logout")
		p.want("back-channel logout", at[0].do("Backchannel", p.logoutToken(random)))
		p.settle(who{})
	default:
		p.count("race")
		p.race(random, at)
	}
}

// signIn signs w in: the login begins in one process and ends in another.
func (p *part) signIn(begins, ends *process, w who) {
	began := begins.do("Begin", Login{p.id, w.String()})
	done := ends.do("Complete", Return{p.id, began.Value})
	switch {
	case w.ceiling == 0:
		p.want("login", done)
		p.settle(w)
	case done.Code == "session_expired": // it came too late; nothing was stored
	default:
		p.want("login", done)
		p.settle(w, who{})
	}
}

func (p *part) logoutToken(random *rand.Rand) string {
	subject, sid := p.on.String(), ""
	if random.IntN(2) == 0 {
		sid = p.tenant.Family(subject).SID
	}
	return p.tenant.LogoutToken(subject, sid)
}

// race has two things happen to the session at once, in two processes.
func (p *part) race(random *rand.Rand, at []*process) {
	one, two := p.next(0), p.next(0)
	begun := []Reply{at[0].do("Begin", Login{p.id, one.String()}), at[1].do("Begin", Login{p.id, two.String()})}
	first := at[0].start("Complete", Return{p.id, begun[0].Value})
	var second <-chan Reply
	may := []who{one}
	switch random.IntN(3) {
	case 0:
		second = at[1].start("Complete", Return{p.id, begun[1].Value})
		may = append(may, two)
	case 1:
		second = at[1].start("Logout", p.id)
		may = append(may, who{})
	default: // of who was signed in before
		second = at[1].start("Backchannel", p.logoutToken(random))
	}
	p.want("one of two at once", <-first)
	p.want("the other", <-second)
	p.settle(may...)
}

func (p *part) want(what string, r Reply) {
	if r.Code != "" {
		p.t.Errorf("%s of %s: %s", what, p.id, r.Code)
	}
}

// settle waits until all processes agree on one of those who may be signed in. Everybody
// else is over from then on, in all of them.
func (p *part) settle(may ...who) {
	was, lived := p.on, p.living
	expect := Expect{ID: p.id}
	for _, w := range may {
		name := ""
		if w != (who{}) {
			name = w.String()
		}
		expect.Subjects = append(expect.Subjects, name)
	}
	agreed := ""
	if !inTime(func() bool {
		for i, w := range p.all {
			r := w.do("Await", expect)
			p.want("what is known in "+w.name, r)
			if r.Code != "" || i > 0 && r.Value != agreed {
				return r.Code != ""
			}
			agreed = r.Value
		}
		return true
	}) {
		p.t.Errorf("%s: the processes never agree on one of %q", p.id, expect.Subjects)
	}
	p.on, p.living = parseWho(agreed)
	over := may
	if lived {
		over = append(over, was)
	}
	var whole, halves []string
	for _, w := range over {
		switch {
		case w == who{} || w == p.on && p.living:
		case w.ceiling == 0 || p.living: // a login ends what a ceiling has left
			whole = append(whole, w.String())
		default:
			halves = append(halves, w.String())
		}
	}
	p.expired = append(p.expired, halves...)
	if p.living {
		whole, p.expired = append(whole, p.expired...), nil
	}
	p.bury(whole, true)
	p.bury(halves, false)
}

func (p *part) bury(subjects []string, connections bool) {
	if len(subjects) == 0 {
		return
	}
	for _, w := range p.all {
		w.call("Bury", Death{subjects, connections}, &Nothing{})
	}
}

// finale checks the end of the play: each user who is signed in can refresh,
// in every process, and no process knows any other user.
func (s *stage) finale() {
	var all sync.WaitGroup
	turn := make(chan *part)
	for range 8 {
		all.Go(func() {
			for p := range turn {
				p.final()
			}
		})
	}
	for _, p := range s.parts {
		turn <- p
	}
	close(turn)
	all.Wait()
}

func (p *part) final() {
	if p.living && p.on.ceiling != 0 {
		if !inTime(func() bool { return p.on.over(clock.System().Now()) }) {
			p.t.Errorf("%s: the ceiling of %s never comes", p.id, p.on)
		}
		p.settle(who{})
	}
	name := ""
	if p.living {
		name = p.on.String()
	}
	for i, w := range p.all {
		if r := w.user(p.id); r != (Reply{Value: name}) {
			p.t.Errorf("%s in %s: user %q, %s, want %q", p.id, w.name, r.Value, r.Code, name)
		}
		if !p.living || i != p.session%len(p.all) {
			continue
		}
		r := w.token(p.id, "https://last.example")
		if got, of, _ := readToken(r.Value); r.Code != "" || got != p.on || of != "https://last.example" {
			p.t.Errorf("%s in %s: token of %s for %q, %s: the session is lost", p.id, w.name, got, of, r.Code)
		}
	}
}

// summary tells the calls and their answers.
func summary(counts ...map[string]int) string {
	sum := make(map[string]int)
	for _, c := range counts {
		for k, n := range c {
			sum[k] += n
		}
	}
	var lines []string
	for k, n := range sum {
		lines = append(lines, fmt.Sprintf("%8d %s", n, k))
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[9:], b[9:]) })
	return strings.Join(lines, "\n")
}
