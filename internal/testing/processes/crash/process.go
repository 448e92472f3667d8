package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tokenward/tokenward/internal/testing/await"
)

// process is a child as its parent knows it.
type process struct {
	life   string
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *lines
	said   tail                // on its standard error
	heard  func(order, report) // each answer, before its caller gets it
	sprung func(life string)   // a trap in it
	wrong  func(string)

	killed atomic.Bool // by us

	ready chan struct{} // closed when it serves
	gone  chan struct{} // closed when it has ended, was reaped, and all it said was read
	ended error         // how, once it is gone

	mu      sync.Mutex
	last    int
	pending map[int]pending
	over    bool
}

type pending struct {
	order  order
	answer chan report // closed without one when the process ends first
}

// errGone says that a child ended before it answered.
var errGone = errors.New("crash: the child has ended")

// startProcess starts a child. It is killed, or closed, by the caller.
func startProcess(s setup, heard func(order, report), sprung func(life string), wrong func(string)) (*process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	p := &process{
		life: s.Life, cmd: exec.Command(exe), heard: heard, sprung: sprung, wrong: wrong,
		ready: make(chan struct{}), gone: make(chan struct{}), pending: make(map[int]pending),
	}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	p.cmd.Stderr = &p.said
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	p.out = &lines{w: p.in}
	from, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.listen(from)
	return p, nil
}

// listen hears the child out. What it said before it was killed is still heard.
func (p *process) listen(from io.Reader) {
	defer close(p.gone)
	for d := json.NewDecoder(from); ; {
		var r report
		if d.Decode(&r) != nil {
			break // the end, perhaps in the middle of a line
		}
		switch {
		case r.Wrong != "":
			p.wrong(r.Wrong)
		case r.At != "":
			p.sprung(p.life)
		case r.ID == sayReady:
			close(p.ready)
		default:
			p.answered(r)
		}
	}
	p.ended = p.cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	for _, w := range p.pending {
		close(w.answer)
	}
}

func (p *process) answered(r report) {
	p.mu.Lock()
	w, ok := p.pending[r.ID]
	delete(p.pending, r.ID)
	p.mu.Unlock()
	if !ok {
		p.wrong(fmt.Sprintf("an answer to nothing: %d", r.ID))
		return
	}
	p.heard(w.order, r)
	w.answer <- r
}

// kill ends the child as a crash would. It does not wait.
func (p *process) kill() {
	p.killed.Store(true)
	_ = p.cmd.Process.Kill()
}

// owes reports whether one of the orders has no answer yet.
func (p *process) owes(orders []order) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(orders, func(o order) bool {
		_, waits := p.pending[o.ID]
		return waits
	})
}

// unanswered returns the orders that have no answer, at the child's end or now.
func (p *process) unanswered() (left []order) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.pending {
		left = append(left, w.order)
	}
	return left
}

// do has the child carry out an order. It fails with errGone when the child ends first.
func (p *process) do(ctx context.Context, o order) (report, error) {
	w := pending{answer: make(chan report, 1)}
	p.mu.Lock()
	if p.over {
		p.mu.Unlock()
		return report{}, errGone
	}
	p.last++
	o.ID = p.last
	w.order = o
	p.pending[o.ID] = w
	p.mu.Unlock()
	_ = p.out.put(o) // a child that has ended answers nothing
	select {
	case r, ok := <-w.answer:
		if !ok {
			return report{}, errGone
		}
		return r, nil
	case <-ctx.Done():
		return report{}, fmt.Errorf("%q was not done: %w", o.Do, ctx.Err())
	}
}

// await waits until the child serves.
func (p *process) await(ctx context.Context) error {
	select {
	case <-p.ready:
		return nil
	case <-p.gone:
		return errors.Join(errGone, p.ended)
	case <-ctx.Done():
		return fmt.Errorf("the child did not come up: %w", ctx.Err())
	}
}

// awaitEnd waits until the child has ended.
func (p *process) awaitEnd(ctx context.Context) error {
	select {
	case <-p.gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the child did not end: %w", ctx.Err())
	}
}

// close has the child end in order, and kills it where it does not.
func (p *process) close(ctx context.Context) error {
	_ = p.in.Close()
	err := p.awaitEnd(ctx)
	if err != nil {
		p.kill()
		<-p.gone
	}
	return errors.Join(err, p.ended)
}

// tail keeps the end of the text written to it, and the first line that no child may write.
type tail struct {
	mu    sync.Mutex
	text  bytes.Buffer
	alarm string
}

// alarms are what a program says of its own defects.
var alarms = []string{"DATA RACE", "panic", "fatal error"}

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.text.Len() > 16<<10 {
		t.text.Next(t.text.Len() / 2)
	}
	for line := range strings.Lines(string(b)) {
		for _, a := range alarms {
			if t.alarm == "" && strings.Contains(line, a) {
				t.alarm = strings.TrimSpace(line)
			}
		}
	}
	return t.text.Write(b)
}

// alarmed returns that line, if there was one.
func (t *tail) alarmed() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.alarm
}

// String returns the text that was kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// until asks now and then whether something has come about, for as long as ctx lasts.
func until(ctx context.Context, what string, came func() (bool, error)) error {
	for {
		ok, err := came()
		if ok || err != nil {
			return err
		}
		if !await.Pause(ctx, pollEvery) {
			return fmt.Errorf("%s did not come about: %w", what, ctx.Err())
		}
	}
}
