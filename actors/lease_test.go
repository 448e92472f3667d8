package actors

import "testing"

// leased returns a world in which refresh tokens are spent under leases, with a request for
// keyA in the air.
func leased(t *testing.T) (*world, *journey) {
	w := newWorld(t)
	w.rules.Exclusive, w.rules.Leases, w.rules.Intents, w.lapses = false, true, true, true
	in, s := w.newLogin(0)
	w.record = &record{w.version(), in, s}
	w.load()
	j := w.ask(keyA)
	w.deliverAll()
	w.grant(nil)
	w.deliverAll()
	w.stored(storeDoes) // the claim
	w.stored(storeDoes) // the intent
	if w.air == nil {
		w.fail("no request in the air")
	}
	return w, j
}

// A process that is paused for longer than its lease may find its save refused although
// nobody else has written. The store is well, so whoever waits is answered when it has the
// refresh token, and not before: a crash in between would cost a token that was handed out.
func TestSave_isHandedOutWhenSavedThoughTheLeaseLapsed(t *testing.T) {
	for name, lapse := range map[string]func(*world){
		"renewed here": func(w *world) {
			w.renewalDue()
			w.deliverAll()
			w.renewNow(storeDoes)
			w.deliverAll()
		},
		"renewed here, and not known yet": func(w *world) {
			w.renewalDue()
			w.deliverAll()
			w.renewNow(storeDoes)
		},
		"taken elsewhere": func(w *world) {
			_, _ = w.take(other)
			w.holder = nobody
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, j := leased(t)
			w.landed(landRotated)
			w.holder = nobody
			lapse(w)
			for w.writing != nil { // the save first, under the old epoch
				w.stored(storeDoes)
				if j.landed && w.record.state.RefreshToken != w.newest["login1"] {
					t.Fatal("handed out before the store had the refresh token")
				}
			}
			if !j.landed || j.answer.Err != nil || w.retry {
				t.Errorf("landed = %v, %v, a retry is due: %v; want a token and no retry", j.landed, j.answer.Err, w.retry)
			}
			w.drain()
		})
	}
}

// Where another process holds the lease it is left alone: the token is handed out, and saved
// when the lease can be had.
func TestSave_waitsForTheLease(t *testing.T) {
	w, j := leased(t)
	w.landed(landRotated)
	w.holder = nobody
	_, _ = w.take(other)
	for w.writing != nil {
		w.stored(storeDoes)
	}
	if !j.landed || j.answer.Err != nil || !w.retry {
		t.Errorf("landed = %v, %v, a retry is due: %v; want a token, and a retry", j.landed, j.answer.Err, w.retry)
	}
	w.holder = nobody
	w.drain()
}
