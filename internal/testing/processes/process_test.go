package processes_test

import (
	"encoding/json"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/tokenward/tokenward"
)

// process is a worker as the test sees it.
type process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	rpc  *rpc.Client
	said *text // on standard error: its log
	done bool
}

// startProcess starts a worker.
func startProcess(t testing.TB, name string, p plan) *process {
	t.Helper()
	settings, err := json.Marshal(p)
	must(t, err)
	exe, err := os.Executable()
	must(t, err)
	w := &process{t: t, name: name, cmd: exec.Command(exe), said: &text{}}
	w.cmd.Env = append(os.Environ(), workerEnv+"="+string(settings))
	w.cmd.Stderr = w.said
	in, err := w.cmd.StdinPipe()
	must(t, err)
	out, err := w.cmd.StdoutPipe()
	must(t, err)
	must(t, w.cmd.Start())
	w.rpc = rpc.NewClient(pipes{out, in})
	t.Cleanup(func() {
		if !w.done {
			_ = w.cmd.Process.Kill()
			_ = w.rpc.Close()
			_ = w.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", name, w.said.end(20))
		}
	})
	return w
}

// do has the worker do something and returns what it answers. That it cannot be asked
// fails the test.
func (p *process) do(what string, args any) Reply {
	p.t.Helper()
	var r Reply
	p.call(what, args, &r)
	return r
}

func (p *process) call(what string, args, to any) {
	p.t.Helper()
	if err := p.rpc.Call("Worker."+what, args, to); err != nil {
		p.t.Errorf("%s: %s: %v", p.name, what, err)
	}
}

// start is do without waiting for the answer.
func (p *process) start(what string, args any) <-chan Reply {
	answer := make(chan Reply, 1)
	go func() { answer <- p.do(what, args) }()
	return answer
}

// login signs subject in under id.
func (p *process) login(id, subject string) Reply {
	p.t.Helper()
	began := p.do("Begin", Login{id, subject})
	if began.Code != "" {
		return began
	}
	return p.do("Complete", Return{id, began.Value})
}

func (p *process) token(id, audience string) Reply {
	p.t.Helper()
	return p.do("Token", TokenCall{id, audience})
}

func (p *process) user(id string) Reply {
	p.t.Helper()
	return p.do("User", id)
}

func (p *process) stats() (s tokenward.Stats) {
	p.t.Helper()
	p.call("Stats", Nothing{}, &s)
	return s
}

// close ends the worker in order.
func (p *process) close() {
	p.t.Helper()
	if r := p.do("Close", Nothing{}); r.Code != "" {
		p.t.Errorf("%s: Close: %s", p.name, r.Code)
	}
	p.done = true
	_ = p.rpc.Close()
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("%s: %v", p.name, err)
	}
	if p.said.has("DATA RACE") {
		p.t.Errorf("%s: %s", p.name, p.said.end(200))
	}
}

// text keeps all that is written to it.
type text struct {
	mu sync.Mutex
	b  strings.Builder
}

var _ io.Writer = (*text)(nil)

// Write implements io.Writer.
func (x *text) Write(b []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.Write(b)
}

func (x *text) has(what string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return strings.Contains(x.b.String(), what)
}

func (x *text) count(what string) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return strings.Count(x.b.String(), what)
}

// end returns the last lines.
func (x *text) end(lines int) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := strings.Split(x.b.String(), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
