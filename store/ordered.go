package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"iter"
	"math/rand/v2"

	"github.com/tokenward/tokenward/session"
)

// ordered is a set in the order of what compare says: a treap, in which everything takes
// logarithmic time.
type ordered[T comparer[T]] struct{ root *treapNode[T] }

// comparer is what can be in an ordered set. compare is negative where it comes before the other, and 0 where they are the same.
type comparer[T any] interface{ compare(other T) int }

// place is where a key stands among others: by a number, then by the key.
type place struct {
	at  int64
	key session.Key
}

// compare tells keys, which are hashes, apart by their first bytes nearly always.
func (p *place) compare(q *place) int {
	if p.at != q.at {
		return cmp.Compare(p.at, q.at)
	}
	return compareKeys(&p.key, &q.key)
}

func compareKeys(a, b *session.Key) int {
	if a, b := binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(b[:]); a != b {
		return cmp.Compare(a, b)
	}
	return bytes.Compare(a[8:], b[8:])
}

type treapNode[T comparer[T]] struct {
	of          T
	priority    uint32
	left, right *treapNode[T]
}

// add adds p, which must not be in the set.
func (o *ordered[T]) add(p T) {
	n := &treapNode[T]{of: p, priority: rand.Uint32()}
	link := &o.root
	for *link != nil && (*link).priority >= n.priority {
		if p.compare((*link).of) < 0 {
			link = &(*link).left
		} else {
			link = &(*link).right
		}
	}
	n.left, n.right = (*link).split(p)
	*link = n
}

// remove removes p; if p is not in the set it does nothing.
func (o *ordered[T]) remove(p T) {
	link := &o.root
	for n := *link; n != nil; n = *link {
		switch c := p.compare(n.of); {
		case c == 0:
			*link = n.left.join(n.right)
			return
		case c < 0:
			link = &n.left
		default:
			link = &n.right
		}
	}
}

// first returns the first of the set.
func (o *ordered[T]) first() (p T, ok bool) {
	for n := o.root; n != nil; n = n.left {
		p, ok = n.of, true
	}
	return p, ok
}

// from yields what does not come before p, in order. The set must not be
// changed during that.
func (o *ordered[T]) from(p T) iter.Seq[T] {
	return func(yield func(T) bool) { o.root.from(p, yield) }
}

func (n *treapNode[T]) from(p T, yield func(T) bool) bool {
	if n == nil {
		return true
	}
	if n.of.compare(p) < 0 {
		return n.right.from(p, yield)
	}
	return n.left.from(p, yield) && yield(n.of) && n.right.from(p, yield)
}

// split takes the tree under n apart into what comes before p and the rest.
func (n *treapNode[T]) split(p T) (before, rest *treapNode[T]) {
	if n == nil {
		return nil, nil
	}
	if n.of.compare(p) < 0 {
		n.right, rest = n.right.split(p)
		return n, rest
	}
	before, n.left = n.left.split(p)
	return before, n
}

// join returns the tree of n and m, all of which comes after n.
func (n *treapNode[T]) join(m *treapNode[T]) *treapNode[T] {
	switch {
	case n == nil:
		return m
	case m == nil:
		return n
	case n.priority >= m.priority:
		n.right = n.right.join(m)
		return n
	}
	m.left = n.join(m.left)
	return m
}
