package bolt

import (
	"bytes"
	"slices"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// change is a view that can be written to. What it writes is there when the
// transaction has been committed, all of it or nothing.
type change struct {
	view
	dirty bool
	err   error // the first error of the file; then nothing of this is committed
}

func (c *change) set(bucket, k, v []byte) {
	if c.err == nil {
		c.dirty = true
		c.err = c.tx.Bucket(bucket).Put(k, v)
	}
}

func (c *change) unset(bucket, k []byte) {
	if c.err != nil {
		return
	}
	b := c.tx.Bucket(bucket)
	if have, _ := b.Cursor().Seek(k); bytes.Equal(have, k) { // else it would count as a change
		c.dirty = true
		c.err = b.Delete(k)
	}
}

// entry is a record to be written, prepared while its caller still lends it.
type entry struct {
	draft
	incarnation session.Incarnation
	ceiling     session.Ceiling
	index       []store.IndexValue
	ttl         time.Duration
}

func newEntry(key session.Key, r store.Record) entry {
	return entry{
		draft:       newDraft(key, kindRecord, store.MarshalRecord(r)),
		incarnation: r.Incarnation, ceiling: r.Ceiling, index: slices.Clone(r.Index), ttl: r.TTL,
	}
}

// put writes fresh, and the difference that it makes to the indexes.
func (c *change) put(key session.Key, old found, fresh entry) {
	c.index(key, old, fresh.index, fresh.ceiling)
	c.sessions().keep(key, old.stored, fresh.draft, expiry(c.now, fresh.ttl))
}

// index has key found under these values and this ceiling, in place of those of old.
func (c *change) index(key session.Key, old found, values []store.IndexValue, ceiling session.Ceiling) {
	before := old.values()
	for _, v := range before {
		if !slices.Contains(values, v) {
			c.unset(valueIndex, valueKey(v, key))
		}
	}
	for _, v := range values {
		if !slices.Contains(before, v) {
			c.set(valueIndex, valueKey(v, key), nil)
		}
	}
	if was := old.record.Ceiling; was != ceiling {
		if was > 0 {
			c.unset(ceilingIndex, placeKey(int64(was), key))
		}
		if ceiling > 0 {
			c.set(ceilingIndex, placeKey(int64(ceiling), key), nil)
		}
	}
}

func (c *change) clearIntent(key session.Key) { c.unset(intentBucket, key[:]) }

func (c *change) sessions() shelf { return shelf{c, sessionBucket, sessionExpiries} }

// shelf is a bucket of values that expire. Its index has at most one entry for a
// key, at a slot that does not come after the value's own: so a value that lives on
// is not listed anew each time, but when that slot has come.
type shelf struct {
	*change
	values, expiries []byte
}

// keep writes what d begins in place of old.
func (h shelf) keep(key session.Key, old stored, d draft, expires int64) {
	h.keepUsed(key, old, d, h.now, expires)
}

func (h shelf) keepUsed(key session.Key, old stored, d draft, used, expires int64) {
	listed := int64(forever)
	if old.there && old.err == nil {
		listed = old.listed
	}
	if slot := slotOf(expires); slot < listed {
		h.unlist(key, listed)
		h.set(h.expiries, placeKey(slot, key), nil)
		listed = slot
	}
	h.set(h.values, key[:], d.finish(used, expires, listed))
}

// touch changes when old expires, and has it used now.
func (h shelf) touch(key session.Key, old stored, expires int64) {
	h.keep(key, old, newDraft(key, old.kind, old.body), expires)
}

func (h shelf) drop(key session.Key, old stored) {
	if old.err == nil {
		h.unlist(key, old.listed)
	}
	h.unset(h.values, key[:])
}

func (h shelf) unlist(key session.Key, listed int64) {
	if listed != forever {
		h.unset(h.expiries, placeKey(listed, key))
	}
}

// sweep looks at up to n entries whose slot has come, has what has expired forgotten,
// and reports whether there are more. What cannot be read is left where it is; its
// entry goes.
func (h shelf) sweep(n int, forget func(session.Key, stored)) (more bool) {
	var due [][]byte
	cursor := h.tx.Bucket(h.expiries).Cursor()
	for k, _ := cursor.First(); k != nil; k, _ = cursor.Next() {
		if slot, _, ok := place(k); ok && slot >= slotOf(h.now) {
			break
		}
		if len(due) == n {
			more = true
			break
		}
		due = append(due, slices.Clone(k))
	}
	for _, k := range due {
		slot, key, _ := place(k)
		old := h.read(h.values, key)
		switch {
		case !old.there || old.err != nil || old.listed != slot:
			h.unset(h.expiries, k)
		case old.lapsed(h.now):
			forget(key, old)
		default:
			h.unlist(key, slot)
			old.listed = forever
			h.keepUsed(key, old, newDraft(key, old.kind, old.body), old.used, old.expires)
		}
	}
	return more
}

// forget drops an expired record or tombstone, and all that belongs to it.
func (c *change) forget(key session.Key, old stored) {
	c.index(key, old.session(), nil, 0)
	c.clearIntent(key)
	c.sessions().drop(key, old)
}
