package sim

import "slices"

// crash has p die, and another start; where several live, that is another step.
func (p *process) crash() {
	p.die()
	if p.w.kind == Alone {
		p.w.start()
	}
}

// crash has a process die where it hurts.
func (w *World) crash(i int) {
	for _, p := range w.processes {
		if p.vulnerable() {
			if i == 0 {
				p.crash()
				return
			}
			i--
		}
	}
}

func (w *World) closings() (n int) {
	for _, p := range w.processes {
		if p.closing && !p.stopped && !p.paused {
			n++
		}
	}
	return n
}

func (w *World) nthClosing() *process {
	for _, p := range w.processes {
		if p.closing && !p.stopped && !p.paused {
			return p
		}
	}
	panic("sim: nothing closes")
}

// closeOn goes on with closing p, or gives up waiting.
func (p *process) closeOn() {
	if p.abort == nil && p.w.choose.odds(5) {
		p.cutOff()
	}
}

// closeAll goes on with closing wherever that can go on.
func (w *World) closeAll() {
	for _, p := range slices.Clone(w.processes) {
		if p.closing && !p.paused {
			p.closingStep()
		}
	}
}
