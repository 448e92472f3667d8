package remote

import "testing"

func TestLife(t *testing.T) {
	l, cut := NewLife(), 0
	if !l.Begin() || l.Err() != nil {
		t.Fatal("a store that was opened does not live")
	}
	l.Close(func() {
		cut++
		if l.Err() == nil {
			t.Error("its context has not ended when it is cut")
		}
		l.End()
	})
	l.Close(func() { cut++ })
	if cut != 1 || l.Begin() {
		t.Errorf("cut %d times, want once, and no work begins from then on", cut)
	}
}

func TestQuotes(t *testing.T) {
	if !Quotes("dial: secret word", "", "secret") || Quotes("dial", "", "secret") || Quotes("dial", "") {
		t.Error("a password is not seen, or an empty one is")
	}
}
