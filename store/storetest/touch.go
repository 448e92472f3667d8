package storetest

import (
	"context"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

var touchStories = []story{
	{"a touched record lives on, unchanged", func(r *rig) {
		if r.traits.NoExpiry {
			r.Skip("the store does not expire")
		}
		toucher, short := ability[store.Toucher](r, r.store), r.traits.Short
		longer, recLonger := r.login(withTTL(short))
		ever, recEver := r.login(withTTL(short))
		lapsing, _ := r.login(withTTL(0))
		r.must(toucher.Touch(r.Context(), longer, 20*short, opt))
		r.must(toucher.Touch(r.Context(), ever, 0, opt))
		r.must(toucher.Touch(r.Context(), lapsing, short, opt))
		r.lapse(short)
		r.wantRecord(longer, recLonger)
		r.wantRecord(ever, recEver)
		_, err := r.store.Load(r.Context(), lapsing, opt)
		r.wantAbsent("Load", err)
		r.must(r.store.Update(r.Context(), longer, recLonger.Version, next(recLonger), opt))
	}},
	{"a touch brings nothing back", func(r *rig) {
		toucher := ability[store.Toucher](r, r.store)
		r.wantErr("Touch of nothing", toucher.Touch(r.Context(), random[session.Key](), long, opt), store.ErrNotFound)
		key, _ := r.login()
		r.end(key, session.Incarnation{}, logout)
		r.wantErr("Touch of a tombstone", toucher.Touch(r.Context(), key, long, opt), store.ErrNotFound)
		_, err := r.store.Load(r.Context(), key, opt)
		r.wantGone("Load", err, session.ReasonLogout)

		ended, cancel := context.WithCancel(r.Context())
		cancel()
		r.wantErr("Touch", toucher.Touch(ended, key, long, opt), context.Canceled)
	}},
}
