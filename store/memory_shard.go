package store

import (
	"slices"
	"sync"

	"github.com/tokenward/tokenward/session"
)

// shard keeps everything about its share of the keys, the indexes too, under one
// lock: so an index never says what the records do not. No caller holds two of them, nor
// one of them and waits.
type shard struct {
	mu      sync.Mutex
	entries map[session.Key]*entry
	values  map[IndexValue]keySet
	intents map[session.Key]struct{}

	ceilings agenda // entries whose record has a ceiling, by it
	lapses   agenda // entries, by when to look whether they can be forgotten
}

// entry is all that the store has of one key. It is kept while any part of it still means
// something.
type entry struct {
	key     session.Key
	record  *Record
	expires int64 // of the record
	used    int64 // when the record was last written or touched
	held    int64 // until when ClaimDue passes over it; 0: it does not
	intent  *Intent

	gone *tombstone // never beside a record

	owner  string // of the lease; empty when no owner holds it
	leased int64  // until when
	epoch  int64  // the last one given

	lapse int64 // when to look whether it can be forgotten; forever: never

	ceilingSeat, lapseSeat seat // in the agendas of the shard
}

func ceilingSeat(e *entry) *seat { return &e.ceilingSeat }
func lapseSeat(e *entry) *seat   { return &e.lapseSeat }

// tombstone is a GoneError whose durations are instants.
type tombstone struct {
	why     session.Reason
	of      session.Incarnation
	until   int64
	index   []IndexValue // of the ended record, where nothing is left: see bury
	left    *Remainder
	remains int64 // until when left does
}

func newTombstone(gone *GoneError, now int64) *tombstone {
	t := &tombstone{why: gone.Reason, of: gone.Incarnation, until: after(now, gone.Stands)}
	if gone.Remainder != nil {
		t.left, t.remains = gone.Remainder.Clone(), after(now, gone.Remainder.TTL)
	}
	return t
}

func (t *tombstone) at(now int64) *GoneError {
	gone := &GoneError{Reason: t.why, Incarnation: t.of, Stands: between(now, t.until)}
	if t.left != nil && now < t.remains {
		gone.Remainder = t.left.Clone()
		gone.Remainder.TTL = between(now, t.remains)
	}
	return gone
}

func (sh *shard) init() {
	sh.entries = make(map[session.Key]*entry)
	sh.values = make(map[IndexValue]keySet)
	sh.intents = make(map[session.Key]struct{})
	sh.ceilings.of, sh.lapses.of = ceilingSeat, lapseSeat
}

// peek returns the entry of key at now, or nil. What has lapsed is taken off.
func (sh *shard) peek(key session.Key, now int64) *entry {
	e := sh.entries[key]
	if e == nil {
		return nil
	}
	if e.record != nil && now >= e.expires {
		sh.clear(key, e)
	}
	switch {
	case e.gone == nil:
	case now >= e.gone.until:
		sh.unbury(key, e)
	case e.gone.left != nil && now >= e.gone.remains:
		sh.forgetRemainder(key, e)
	}
	if e.owner != "" && now >= e.leased {
		e.owner = ""
	}
	return sh.settle(key, e, now)
}

// entry is peek, but makes an entry where there is none. The caller calls settle.
func (sh *shard) entry(key session.Key, now int64) *entry {
	e := sh.peek(key, now)
	if e == nil {
		e = &entry{key: key, lapse: forever}
		sh.entries[key] = e
	}
	return e
}

// living returns the entry of a key that has a record, or the error that says it has
// none.
func (sh *shard) living(key session.Key, now int64) (*entry, error) {
	e := sh.peek(key, now)
	switch {
	case e == nil:
		return nil, ErrNotFound
	case e.gone != nil:
		return nil, e.gone.at(now)
	case e.record == nil:
		return nil, ErrNotFound
	}
	return e, nil
}

// put makes a copy of r the record of e. A claim stands.
func (sh *shard) put(key session.Key, e *entry, r Record, now int64) {
	if old := e.record; old != nil && old.Ceiling == r.Ceiling && slices.Equal(old.Index, r.Index) {
		// A refresh: what the indexes say of it stays as it is.
		sealed, index := old.Sealed, old.Index
		*old = r
		old.Sealed, old.Index = append(sealed[:0], r.Sealed...), index
		old.Release, old.KeepIntent = "", false
		e.expires, e.used = expiry(now, r.TTL), now
		if e.intent == nil {
			delete(sh.intents, key)
		}
		sh.settle(key, e, now)
		return
	}
	r = cloneRecord(r)
	sh.forget(key, e)
	e.record, e.expires, e.used = &r, expiry(now, r.TTL), now
	sh.list(key, r.Index)
	if r.Ceiling > 0 {
		sh.ceilings.add(e, int64(r.Ceiling))
	}
	if e.intent == nil {
		delete(sh.intents, key)
	}
	sh.settle(key, e, now)
}

// clear removes the record of e, and its intent. The caller calls settle.
func (sh *shard) clear(key session.Key, e *entry) {
	sh.forget(key, e)
	e.record, e.intent, e.held = nil, nil, 0
	delete(sh.intents, key)
}

// forget takes the record of e out of the indexes.
func (sh *shard) forget(key session.Key, e *entry) {
	if e.record == nil {
		return
	}
	sh.unlist(key, e.record.Index)
	sh.ceilings.remove(e)
}

// list puts key under the values.
func (sh *shard) list(key session.Key, values []IndexValue) {
	for _, v := range values {
		keys, listed := sh.values[v]
		switch {
		case !listed:
			keys.one = key
		case keys.more != nil:
			keys.more[key] = struct{}{}
			continue
		case keys.one == key:
			continue
		default:
			keys.more = map[session.Key]struct{}{keys.one: {}, key: {}}
		}
		sh.values[v] = keys
	}
}

func (sh *shard) unlist(key session.Key, values []IndexValue) {
	for _, v := range values {
		keys, listed := sh.values[v]
		switch {
		case !listed:
		case keys.more != nil:
			if delete(keys.more, key); len(keys.more) == 0 {
				delete(sh.values, v)
			}
		case keys.one == key:
			delete(sh.values, v)
		}
	}
}

// keySet is the keys under one value, most often a single one, which needs no map.
type keySet struct {
	one  session.Key // where more is nil
	more map[session.Key]struct{}
}

func (k keySet) all(yield func(session.Key) bool) {
	if k.more == nil {
		yield(k.one)
		return
	}
	for key := range k.more {
		if !yield(key) {
			return
		}
	}
}

// bury puts a tombstone in the place of the record of e, or of the tombstone that stood. Where nothing
// is left of the session, its key stays under the record's index values until the tombstone goes: 100,000 sessions may end
// in one second, and taking them out is a third of the work. Readers of the index pass over a tombstone. The caller
// calls settle.
func (sh *shard) bury(key session.Key, e *entry, gone *GoneError, now int64) {
	var index []IndexValue
	if e.record != nil && gone.Remainder == nil {
		index, e.record.Index = e.record.Index, nil
	}
	sh.clear(key, e)
	sh.unbury(key, e)
	e.gone = newTombstone(gone, now)
	if e.gone.left != nil {
		sh.list(key, e.gone.left.Index)
	}
	e.gone.index = index
}

// unbury removes the tombstone of e. The caller calls settle.
func (sh *shard) unbury(key session.Key, e *entry) {
	if e.gone == nil {
		return
	}
	sh.forgetRemainder(key, e)
	sh.unlist(key, e.gone.index)
	e.gone = nil
}

func (sh *shard) forgetRemainder(key session.Key, e *entry) {
	if e.gone != nil && e.gone.left != nil {
		sh.unlist(key, e.gone.left.Index)
		e.gone.left = nil
	}
}

// settle notes when to look whether e can be forgotten, and forgets it at once, returning nil,
// when nothing of it means anything. An entry whose time is put off, as with every refresh, keeps its
// place until that has come: one look more is cheaper than a move each time.
func (sh *shard) settle(key session.Key, e *entry, now int64) *entry {
	lapse := now
	if e.record != nil {
		lapse = max(lapse, e.expires)
	}
	if e.gone != nil {
		lapse = max(lapse, e.gone.until)
	}
	if e.owner != "" {
		lapse = max(lapse, e.leased)
	}
	if e.gone != nil && e.gone.left != nil {
		lapse = max(now, min(lapse, e.gone.remains)) // the remainder goes first
	}
	if now < e.lapse && e.lapse <= lapse {
		return e
	}
	sh.lapses.remove(e)
	e.lapse = lapse
	switch {
	case lapse == now:
		delete(sh.entries, key)
		return nil
	case lapse != forever:
		sh.lapses.add(e, upToSecond(lapse))
	}
	return e
}

// sweep clears away up to n entries that have lapsed.
func (sh *shard) sweep(now int64, n int) {
	for range n {
		e, second := sh.lapses.first()
		if e == nil || now < second*1e6 {
			return
		}
		sh.peek(e.key, now)
	}
}

// find returns the keys of this shard whose living record or remainder has one of the values.
func (sh *shard) find(values []IndexValue, now int64) []Ref {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	found := make(map[session.Key]struct{})
	for _, v := range values {
		if keys, listed := sh.values[v]; listed {
			for key := range keys.all {
				found[key] = struct{}{}
			}
		}
	}
	var refs []Ref
	for key := range found {
		e := sh.entries[key]
		switch {
		case e.record != nil && now < e.expires:
			refs = append(refs, refOf(e))
		case e.gone != nil && now < e.gone.remains:
			refs = append(refs, Ref{Key: key, Incarnation: e.gone.of, Connections: true, Ended: true})
		}
	}
	return refs
}

// due returns up to limit of the living records with a ceiling of from or later, and a place before that of before,
// in order, starting after the given place.
func (sh *shard) due(from session.Ceiling, before, after place, limit int, now int64) []Ref {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var refs []Ref
	start := place{at: int64(from)}
	if start.compare(&after) < 0 {
		start = after
	}
	for second, e := range sh.ceilings.from(start.at, start.key) {
		at := place{second, e.key}
		if at.compare(&before) >= 0 || len(refs) >= limit {
			break
		}
		if now < e.expires && at != after {
			refs = append(refs, refOf(e))
		}
	}
	return refs
}

// claimDue claims up to limit of the living records with a ceiling before until, for as long as
// hold has not come. It steps over those that are claimed already: they are about to end.
func (sh *shard) claimDue(until session.Ceiling, limit int, hold, now int64) []Ref {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var refs []Ref
	for second, e := range sh.ceilings.from(0, session.Key{}) {
		if second >= int64(until) || len(refs) >= limit {
			break
		}
		if (e.held == 0 || now >= e.held) && now < e.expires {
			refs = append(refs, refOf(e))
			e.held = hold
		}
	}
	return refs
}

func refOf(e *entry) Ref {
	return Ref{Key: e.key, Incarnation: e.record.Incarnation, Ceiling: e.record.Ceiling, Connections: e.record.Connections}
}
