package sim

import "math/rand/v2"

// choices is where everything is decided that a run leaves open. Each decision is a
// small number, of which 0 is always the plainest: nothing fails, the first of those that
// could go on does. They are written down in units, one for each step, so that a run can
// be had again without some of its steps (shrink.go).
type choices struct {
	random *rand.Rand // nil in a replay
	units  [][]int32  // what was decided, or is to be
	unit   []int32    // in a replay: what is left of the present unit
	next   int        // in a replay: the unit after that
}

// newChoices returns the choices of a seed.
func newChoices(seed uint64) *choices {
	return &choices{random: rand.New(rand.NewPCG(seed, 0x746f6b656e)), units: make([][]int32, 0, 512)}
}

// replay returns choices that were made before. Where they end, 0 is chosen.
func replay(units [][]int32) *choices { return &choices{units: units} }

// begin begins a unit, and reports whether there is one.
func (c *choices) begin() bool {
	if c.random != nil {
		c.units = append(c.units, nil)
		return true
	}
	if c.next >= len(c.units) {
		c.unit = nil
		return false
	}
	c.unit = c.units[c.next]
	c.next++
	return true
}

// pick returns a number from 0 up to, not including, n.
func (c *choices) pick(n int) int {
	if c.random == nil {
		if len(c.unit) == 0 || n <= 1 {
			c.skip()
			return 0
		}
		v := int(c.unit[0]) % n
		c.unit = c.unit[1:]
		return v
	}
	v := 0
	if n > 1 {
		v = c.random.IntN(n)
	}
	c.note(v)
	return v
}

func (c *choices) skip() {
	if len(c.unit) > 0 {
		c.unit = c.unit[1:]
	}
}

func (c *choices) note(v int) {
	last := len(c.units) - 1
	c.units[last] = append(c.units[last], int32(v))
}

// odds reports true in percent of a hundred cases. False is the plainer answer.
func (c *choices) odds(percent int) bool { return c.pick(100) >= 100-percent }

// weighted picks an index of weights, as often as its weight says. It writes
// the index down, so that in a replay it means the same whatever the weights are then.
func (c *choices) weighted(weights []int) int {
	if c.random == nil {
		return c.pick(len(weights))
	}
	total := 0
	for _, w := range weights {
		total += w
	}
	if total == 0 {
		c.note(0)
		return 0
	}
	v := c.random.IntN(total)
	for i, w := range weights {
		if v -= w; v < 0 {
			c.note(i)
			return i
		}
	}
	panic("sim: weights that do not add up")
}

// one picks an element of list.
func one[T any](c *choices, list []T) T { return list[c.pick(len(list))] }
