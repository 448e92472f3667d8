package store

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/tokenward/tokenward/session"
)

// List implements Lister. Pages go through the shards, each in the order of its keys.
func (m *Memory) List(ctx context.Context, l Listing, o Options) (Page, error) {
	after, err := ParsePlace(l.After)
	if err != nil {
		return Page{}, err
	}
	if err := ctx.Err(); err != nil {
		return Page{}, err
	}
	now := m.now()
	if l.Until > 0 {
		return m.listDue(ctx, l, after, o)
	}
	var page Page
	first := 0
	if l.After != "" {
		first = m.number(after.Key)
	}
	for i := first; i < len(m.shards); i++ {
		rest := l.Limit - len(page.Sessions)
		if rest <= 0 {
			break
		}
		page.Sessions = append(page.Sessions, m.shards[i].page(l, after.Key, i == first && l.After != "", rest, now)...)
	}
	page.Next = l.next(page.Sessions)
	return page, nil
}

// next returns where a listing goes on whose page is full.
func (l *Listing) next(page []Listed) string {
	if len(page) < l.Limit {
		return ""
	}
	last := Ref{Key: page[len(page)-1].Key}
	if l.Until > 0 {
		last.Ceiling = page[len(page)-1].Ceiling
	}
	return last.Place()
}

func (m *Memory) listDue(ctx context.Context, l Listing, after Ref, o Options) (page Page, err error) {
	refs, err := m.Due(ctx, max(1, l.From), l.Until, after, l.Limit, o)
	if err != nil {
		return Page{}, err
	}
	now := m.now()
	for _, r := range refs {
		sh := m.shard(r.Key)
		sh.mu.Lock()
		listed, ok := sh.listed(r.Key, l.Brief, now)
		sh.mu.Unlock()
		if !ok {
			listed = Listed{Ref: Ref{Key: r.Key, Ceiling: r.Ceiling, Ended: true}} // it has ended since
		}
		page.Sessions = append(page.Sessions, listed)
	}
	page.Next = l.next(page.Sessions)
	page.Sessions = slices.DeleteFunc(page.Sessions, func(l Listed) bool { return l.Ended })
	return page, nil
}

// page returns up to limit of the sessions of this shard, by key, from one on.
func (sh *shard) page(l Listing, from session.Key, later bool, limit int, now int64) (sessions []Listed) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var keys []session.Key
	add := func(key session.Key) {
		if !later || bytes.Compare(key[:], from[:]) > 0 {
			keys = append(keys, key)
		}
	}
	if l.Value == (IndexValue{}) {
		for key, e := range sh.entries {
			if e.record != nil && len(e.record.Index) > 0 {
				add(key)
			}
		}
	} else if listed, ok := sh.values[l.Value]; ok {
		for key := range listed.all {
			add(key)
		}
	}
	slices.SortFunc(keys, func(a, b session.Key) int { return bytes.Compare(a[:], b[:]) })
	for _, key := range keys {
		if len(sessions) == limit {
			break
		}
		if listed, ok := sh.listed(key, l.Brief, now); ok {
			sessions = append(sessions, listed)
		}
	}
	return sessions
}

// listed returns what a listing has of a session, if it is listed. The caller has locked the shard.
func (sh *shard) listed(key session.Key, brief bool, now int64) (l Listed, ok bool) {
	e := sh.entries[key]
	switch {
	case e == nil:
		return l, false
	case e.record != nil && now < e.expires:
		l.Ref = refOf(e)
		l.Used = time.UnixMicro(e.used)
		if !brief {
			l.Sealed = slices.Clone(e.record.Sealed)
		}
		return l, true
	case e.gone != nil && e.gone.left != nil && now < e.gone.remains:
		l.Ref = Ref{Key: key, Incarnation: e.gone.of, Connections: true, Ended: true}
		return l, true
	}
	return l, false
}
