package tour

import (
	"fmt"
	"time"
)

// sample is what came of one run of a burst.
type sample struct {
	requests, peak, tokens, failures, reuses int
	alive                                    bool
	wall                                     time.Duration
}

func (s *scene) sample(who account, a answers) sample {
	f := s.tenant.Family(who.subject)
	return sample{
		requests: s.refreshes(who), peak: f.Peak, tokens: a.distinct(), failures: a.failed(), reuses: f.Reuses,
		alive: f.Alive, wall: a.wall,
	}
}

// figures tells what came of several runs: the spread of the counts, the best time.
func figures(runs []sample) string {
	best, alive := runs[0].wall, 0
	for _, r := range runs {
		best = min(best, r.wall)
		if r.alive {
			alive++
		}
	}
	fate := "session alive at the tenant"
	switch alive {
	case len(runs):
	case 0:
		fate = "session revoked at the tenant"
	default:
		fate = fmt.Sprintf("session revoked at the tenant in %d of %s", len(runs)-alive, count(len(runs), "run"))
	}
	return fmt.Sprintf("%s, at most %s at once, %s, %s, %s; %s; %s",
		spread(runs, "request", func(r sample) int { return r.requests }),
		spread(runs, "", func(r sample) int { return r.peak }),
		spread(runs, "token", func(r sample) int { return r.tokens }),
		spread(runs, "failure", func(r sample) int { return r.failures }),
		spread(runs, "reuse", func(r sample) int { return r.reuses }), fate, ms(best))
}

// spread writes the smallest and the largest of a count, once where they are equal.
func spread(runs []sample, thing string, of func(sample) int) string {
	least, most := of(runs[0]), of(runs[0])
	for _, r := range runs {
		least, most = min(least, of(r)), max(most, of(r))
	}
	text := thousands(most)
	if thing != "" {
		text = count(most, thing)
	}
	if least != most {
		text = thousands(least) + " to " + text
	}
	return text
}
