package sim

// Shrink looks for a shorter run that breaks the same promise: first without some of its
// steps, then with plainer choices in those that are left. It tries up to n runs.
func (m *Machine) Shrink(f *Failed, n int) *Failed {
	best := &Failed{f.Kind, f.Seed, f.Failure, clone(f.Units)}
	try := func(units [][]int32) bool {
		if n <= 0 {
			return false
		}
		n--
		w := newWorld(m, f.Seed, replay(units), new([coverageEnd]int64))
		failure := w.run()
		if failure == nil || failure.Check != f.Failure.Check {
			return false
		}
		best.Failure, best.Units = failure, units
		return true
	}
	best.Units = best.Units[:min(len(best.Units), f.Failure.Step+1)]
	for shorter := true; shorter && n > 0; {
		shorter = false
		for size := (len(best.Units) + 1) / 2; size >= 1; size /= 2 {
			for at := 1; at < len(best.Units); { // the first unit is the configuration
				rest := append(clone(best.Units[:at]), clone(best.Units[min(at+size, len(best.Units)):])...)
				if try(rest) {
					shorter = true
				} else {
					at += size
				}
			}
		}
		for i := range best.Units {
			for k := range best.Units[i] {
				if k == 0 && i > 0 || best.Units[i][k] == 0 { // what the step is stays
					continue
				}
				plainer := clone(best.Units)
				plainer[i][k] = 0
				if try(plainer) {
					shorter = true
				}
			}
		}
	}
	return best
}

func clone(units [][]int32) [][]int32 {
	c := make([][]int32, len(units))
	for i, u := range units {
		c[i] = append([]int32(nil), u...)
	}
	return c
}
