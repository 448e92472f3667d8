package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"iter"
	"math/rand/v2"

	"github.com/tokenward/tokenward/session"
)

// ordered is a set of keys in the order of a number, then of the key: a treap, in
// which everything takes logarithmic time.
type ordered struct{ root *treapNode }

// place is where a key stands in an ordered set.
type place struct {
	at  int64
	key session.Key
}

// compare is negative where p comes before q, and 0 where they are the same. Keys are hashes, so their first bytes nearly
// always tell them apart.
func (p *place) compare(q *place) int {
	if p.at != q.at {
		return cmp.Compare(p.at, q.at)
	}
	if a, b := binary.BigEndian.Uint64(p.key[:]), binary.BigEndian.Uint64(q.key[:]); a != b {
		return cmp.Compare(a, b)
	}
	return bytes.Compare(p.key[8:], q.key[8:])
}

func (p *place) before(q *place) bool { return p.compare(q) < 0 }

type treapNode struct {
	place
	priority    uint32
	left, right *treapNode
}

// add adds p, which must not be in the set.
func (o *ordered) add(p place) {
	n := &treapNode{place: p, priority: rand.Uint32()}
	link := &o.root
	for *link != nil && (*link).priority >= n.priority {
		if p.before(&(*link).place) {
			link = &(*link).left
		} else {
			link = &(*link).right
		}
	}
	n.left, n.right = (*link).split(&p)
	*link = n
}

// remove removes p; if p is not in the set it does nothing.
func (o *ordered) remove(p place) {
	link := &o.root
	for n := *link; n != nil; n = *link {
		switch c := p.compare(&n.place); {
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

// first returns the first place of the set.
func (o *ordered) first() (p place, ok bool) {
	for n := o.root; n != nil; n = n.left {
		p, ok = n.place, true
	}
	return p, ok
}

// from yields the places that do not come before p, in order. The set must not be
// changed during that.
func (o *ordered) from(p place) iter.Seq[place] {
	return func(yield func(place) bool) { o.root.from(&p, yield) }
}

func (n *treapNode) from(p *place, yield func(place) bool) bool {
	if n == nil {
		return true
	}
	if n.before(p) {
		return n.right.from(p, yield)
	}
	return n.left.from(p, yield) && yield(n.place) && n.right.from(p, yield)
}

// split takes the tree under n apart into what comes before p and the rest.
func (n *treapNode) split(p *place) (before, rest *treapNode) {
	if n == nil {
		return nil, nil
	}
	if n.before(p) {
		n.right, rest = n.right.split(p)
		return n, rest
	}
	before, n.left = n.left.split(p)
	return before, n
}

// join returns the tree of n and m, all of which comes after n.
func (n *treapNode) join(m *treapNode) *treapNode {
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
