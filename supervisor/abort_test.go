package supervisor

import (
	"testing"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store/storetest"
)

// Cutting off names the session that knows something the store does not, releases
// the callers who wait, and leaves no timer armed.
func TestAbort(t *testing.T) {
	r := newRig(t)
	r.put("unsaved", in(time.Hour))
	r.put("saved", in(2*time.Hour))
	r.put("loading", 0)
	unsaved := r.open("unsaved")
	saved := r.open("saved")
	r.settle()
	r.store.Inject(storetest.Fault{Op: storetest.OpUpdate, Err: storetest.ErrFault})
	<-r.ask(unsaved, session.QueryKey("a", "")).Done()
	r.settle()
	gate := r.store.Hold(storetest.OpLoad)
	loading := r.open("loading")
	gate.Arrived(t, 1)

	reply := make(chan []session.Key, 1)
	r.send(&messages.Abort{Reply: reply})
	if got := <-reply; len(got) != 1 || got[0] != keyOf("unsaved") {
		t.Errorf("unsaved = %v, want %v", got, keyOf("unsaved"))
	}
	for name, e := range map[string]*directory.Entry{"unsaved": unsaved, "saved": saved, "loading": loading} {
		select {
		case <-e.Gone():
		default:
			t.Errorf("%s: callers who wait are not released", name)
		}
		if p := e.Snapshot().Phase; p != directory.Moved {
			t.Errorf("%s: phase = %d, want moved", name, p)
		}
	}
	late := r.ask(saved, session.QueryKey("b", "")) // its actor is gone
	select {
	case <-saved.Gone():
	case <-late.Done():
	}
	gate.Release()
	r.settle()
	r.counts()
	r.stop()
	if n := r.clock.Waiting(); n != 0 {
		t.Errorf("timers armed = %d", n)
	}
}
