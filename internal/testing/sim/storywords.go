package sim

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tokenward/tokenward/session"
)

// word is a form of line, and what it means.
type word struct {
	form  *regexp.Regexp
	given func(t *story, m []string) error
	does  func(t *story, m []string) error
}

const (
	who   = `(\w+)`
	where = `(?: at process (\d))?`
	whose = `(?: (?:of|with) process (\d))?`
	span  = `(\S+)`
)

func given(form string, f func(t *story, m []string) error) word {
	return word{form: regexp.MustCompile("^given " + form + "$"), given: f}
}

func event(form string, f func(t *story, m []string) error) word {
	return word{form: regexp.MustCompile("^" + form + "$"), does: f}
}

// vocabulary is filled by init, for its functions use it.
var vocabulary []word

func init() {
	vocabulary = slices.Concat(givens(), callWords(), worldWords(), processWords(), expectations())
}

func givens() []word {
	set := func(form string, change func(c *config)) word {
		return given(form, func(t *story, _ []string) error {
			t.given = append(t.given, change)
			return nil
		})
	}
	timed := func(form string, change func(c *config, d time.Duration)) word {
		return given(form, func(t *story, m []string) error {
			d, err := time.ParseDuration(m[0])
			t.given = append(t.given, func(c *config) { change(c, d) })
			return err
		})
	}
	return []word{
		given(`(\d) processes`, func(t *story, m []string) error {
			t.living, _ = strconv.Atoi(m[0])
			return nil
		}),
		set("a shared store", func(c *config) { c.exclusive = false }),
		set("a store without an index", func(c *config) { c.index = false }),
		set("a store without intents", func(c *config) { c.intents = false }),
		set("a store without a feed", func(c *config) { c.feed = false }),
		set("refresh tokens that stay", func(c *config) { c.rotates = false }),
		set("two sessions", func(c *config) { c.subjects = 2 }),
		set("one request at a time", func(c *config) { c.permits = 1 }),
		timed("tokens are refreshed "+span+" early", func(c *config, d time.Duration) { c.early = d }),
		set("logouts revoke", func(c *config) { c.revoke = true }),
		set("requests that fail are sent again", func(c *config) { c.retry = true }),
		set("a breaker", func(c *config) { c.breaker = true }),
		set("dead tokens end sessions", func(c *config) { c.endOnDead = true }),
		set("one session in memory", func(c *config) { c.resident = 1 }),
		timed("an overlap of "+span, func(c *config, d time.Duration) { c.overlap = d }),
		timed("sessions sleep after "+span, func(c *config, d time.Duration) { c.passivateAfter = d }),
		timed("ends are remembered for "+span, func(c *config, d time.Duration) { c.rememberEnded = d }),
	}
}

// callWords are what callers do. A name stands for a call, and for what it is answered.
func callWords() []word {
	name := func(t *story, name string) error {
		if t.calls[name] != nil {
			return fmt.Errorf("there was a call %s", name)
		}
		c := t.w.calls[len(t.w.calls)-1]
		if t.calls[name] = c; c.op != nil && c.op.kind == opLogin {
			t.logins[name] = c.op.family
		}
		return nil
	}
	asks := func(t *story, m []string, query string, on, at string) error {
		p, s, err := t.place(on, at)
		if err != nil {
			return err
		}
		fields := strings.Fields(query)
		switch {
		case query == "":
			t.w.askToken(p, s, t.w.queries[0])
		case fields[0] == "connection":
			t.w.askConnection(p, s, session.ConnectionKey(fields[1], strings.Join(fields[2:], " ")))
		default:
			i, ok := map[string]int{"read": 1, "write read": 2, "other": 4, "other read": 5}[query]
			if !ok {
				return fmt.Errorf("nobody asks for %q", query)
			}
			t.w.askToken(p, s, t.w.queries[i])
		}
		return name(t, m[0])
	}
	of := `(?: of (s\d))?`
	do := func(form string, f func(t *story, p *process, s *subject, m []string) error) word {
		return event(who+" "+form+of+where, func(t *story, m []string) error {
			n := len(m)
			p, s, err := t.place(m[n-2], m[n-1])
			if err == nil {
				err = f(t, p, s, m)
			}
			if err == nil {
				err = name(t, m[0])
			}
			return err
		})
	}
	return []word{
		event(who+` asks for a token(?: in place of that of `+who+`)?(?: that lasts for `+span+`)?`+of+where, func(t *story, m []string) error {
			return t.demands(m, name)
		}),
		event(who+` asks for a token for ([\w ]+?)`+of+where, func(t *story, m []string) error {
			return asks(t, m, m[1], m[2], m[3])
		}),
		do("logs in(?: with a ceiling in "+span+")?(?: for "+span+")?", func(t *story, p *process, s *subject, m []string) error {
			var seconds [2]int64
			for i, text := range m[1:3] {
				if text != "" {
					d, err := time.ParseDuration(text)
					if err != nil {
						return err
					}
					seconds[i] = int64(d / time.Second)
				}
			}
			t.w.signIn(p, s, seconds[0], seconds[1])
			return nil
		}),
		do("logs out", func(t *story, p *process, s *subject, _ []string) error {
			t.w.logout(p, s)
			return nil
		}),
		do("brings a logout token for the login "+who, func(t *story, p *process, s *subject, m []string) error {
			if t.logins[m[1]] == nil {
				return fmt.Errorf("there was no login %s", m[1])
			}
			t.w.end(p, s, t.logins[m[1]])
			return nil
		}),
		do("changes the values", func(t *story, p *process, s *subject, _ []string) error {
			t.w.update(p, s)
			return nil
		}),
		do("reads the session", func(t *story, p *process, s *subject, _ []string) error {
			t.w.read(p, s)
			return nil
		}),
		event(who+" gives up", func(t *story, m []string) error {
			if t.calls[m[0]] == nil {
				return fmt.Errorf("there was no call %s", m[0])
			}
			t.calls[m[0]].leave()
			return nil
		}),
	}
}

// demands has a call ask for a token, in place of the one that another call got, or that lasts for a time.
func (t *story) demands(m []string, name func(t *story, name string) error) error {
	p, s, err := t.place(m[3], m[4])
	if err != nil {
		return err
	}
	refused, left := "", time.Duration(0)
	if m[1] != "" {
		if t.calls[m[1]] == nil {
			return fmt.Errorf("there was no call %s", m[1])
		}
		refused = t.calls[m[1]].answered.token.AccessToken
	}
	if m[2] != "" {
		if left, err = time.ParseDuration(m[2]); err != nil {
			return err
		}
	}
	if refused == "" && left == 0 {
		t.w.askToken(p, s, t.w.queries[0])
	} else {
		t.w.askDemanding(p, s, t.w.queries[0], refused, left)
	}
	return name(t, m[0])
}

// place returns the session and the process that a line names: the first, unless it says otherwise.
func (t *story) place(session, process string) (*process, *subject, error) {
	s := t.w.subjects[0]
	if session != "" {
		n, _ := strconv.Atoi(session[1:])
		if n >= len(t.w.subjects) {
			return nil, nil, fmt.Errorf("there is no session %s", session)
		}
		s = t.w.subjects[n]
	}
	p, err := t.process(process)
	return p, s, err
}

// process returns the process that a line names, the first that lives where it names none.
func (t *story) process(n string) (*process, error) {
	for _, p := range t.w.processes {
		if n == "" || strconv.Itoa(p.n) == n {
			return p, nil
		}
	}
	return nil, fmt.Errorf("no process %s lives", n)
}

// worldWords are what befalls time, provider and store.
func worldWords() []word {
	hold := func(form, noun string) word {
		return event(form+whose, func(t *story, m []string) error {
			t.held[noun+" "+m[0]] = true
			return nil
		})
	}
	release := func(form string, nouns ...string) word {
		return event(form+whose, func(t *story, m []string) error {
			for _, noun := range nouns {
				delete(t.held, noun+" "+m[0])
			}
			return nil
		})
	}
	down := func(form string, what func(w *World) *bool, is bool) word {
		return event(form, func(t *story, _ []string) error {
			*what(t.w) = is
			return nil
		})
	}
	words := []word{
		event(span+" pass", func(t *story, m []string) error {
			d, err := time.ParseDuration(m[0])
			if err == nil {
				t.w.settle(d)
			}
			return err
		}),
		hold("the provider holds requests", "requests"),
		hold("the provider holds its answers", "answers to requests"),
		release("the provider goes on", "requests", "answers to requests"),
		event("the provider will (.+)", func(t *story, m []string) error {
			fault, ok := storyFaults[m[0]]
			if !ok {
				return fmt.Errorf("the provider does not %q", m[0])
			}
			t.provider = append(t.provider, fault)
			return nil
		}),
		down("the store goes down", func(w *World) *bool { return &w.storeDown }, true),
		down("the store comes back", func(w *World) *bool { return &w.storeDown }, false),
		down("the provider goes down", func(w *World) *bool { return &w.providerDown }, true),
		down("the provider comes back", func(w *World) *bool { return &w.providerDown }, false),
		event("what was sent long ago arrives", func(t *story, _ []string) error {
			if len(t.w.late) == 0 {
				return errors.New("nothing is still on its way")
			}
			t.w.arrive(0)
			return nil
		}),
	}
	for noun, calls := range storeNouns {
		words = append(words,
			hold("the store holds "+noun, noun),
			hold("the store holds its answers to "+noun, "answers to "+noun),
			release("the store goes on with "+noun, noun, "answers to "+noun),
			event("the store will (fail|lose the answer) once at "+noun, func(t *story, m []string) error {
				fault := storeFailsBefore
				if m[0] != "fail" {
					fault = storeFailsAfter
				}
				t.store[calls[0]] = append(t.store[calls[0]], fault)
				return nil
			}))
	}
	return words
}

// storeNouns are the calls of a store that stories speak of.
var storeNouns = map[string][]string{
	"reads":     {"Load"},
	"saves":     {"Update"},
	"logins":    {"Replace"},
	"deletions": {"End"},
	"begins":    {"Begin"},
	"renewals":  {"Renew"},

	"looks for cut-off requests": {"StaleIntents"},
}

var storyFaults = map[string]faultKind{
	"not be reached":                      faultUnreachable,
	"answer 503":                          faultStatus,
	"grant, and lose the answer":          faultAnswerLost,
	"grant, and break the answer":         faultBroken,
	"refuse":                              faultRefused,
	"revoke the session":                  faultRevoked,
	"call the refresh token dead":         faultDead,
	"ask to wait":                         faultThrottled,
	"want a second factor":                faultMFA,
	"grant":                               faultNone,
	"grant, with another user's ID token": faultForeignIDToken,
}

// processWords are what befalls processes and their feeds.
func processWords() []word {
	of := func(form string, f func(t *story, p *process, m []string)) word {
		return event(form, func(t *story, m []string) error {
			p, err := t.process(m[0])
			if err == nil {
				f(t, p, m)
			}
			return err
		})
	}
	return []word{
		of(`process (\d) dies`, func(_ *story, p *process, _ []string) { p.die() }),
		of(`process (\d) is paused`, func(_ *story, p *process, _ []string) { p.pause() }),
		of(`process (\d) goes on`, func(_ *story, p *process, _ []string) { p.resume() }),
		of(`process (\d) is to close`, func(_ *story, p *process, _ []string) { p.close() }),
		of(`process (\d) is closed without waiting`, func(t *story, p *process, _ []string) { t.cut = p; p.cutOff() }),
		event("another process starts", func(t *story, _ []string) error {
			if p := t.w.start(); t.w.kind == Several && t.w.config.feed {
				p.feedBegins()
			}
			return nil
		}),
		of(`a defect strikes process (\d)`, func(t *story, p *process, _ []string) { t.w.poisonOne(p, t.w.subjects[0]) }),
		of(`notices to process (\d) are held`, func(_ *story, p *process, _ []string) { p.heldUp = true }),
		of(`notices to process (\d) arrive`, func(_ *story, p *process, _ []string) { p.heldUp = false }),
		of(`the feed of process (\d) has a gap`, func(_ *story, p *process, _ []string) { p.feedGap() }),
		of(`the feed of process (\d) breaks`, func(_ *story, p *process, _ []string) { p.feedBreaks() }),
		of(`process (\d) finds its feed broken`, func(_ *story, p *process, _ []string) { p.feedFound() }),
		of(`the feed of process (\d) begins anew`, func(_ *story, p *process, _ []string) { p.feedBegins() }),
		of(`the clock of process (\d) is set to `+span+` off`, func(_ *story, p *process, m []string) {
			d, _ := time.ParseDuration(m[1])
			p.setClock(d)
		}),
		event("another process (saves|refreshes) the session", func(t *story, m []string) error {
			t.w.writeElsewhere(t.w.subjects[0], func() bool { return m[0] == "refreshes" })
			return nil
		}),
	}
}
