package idp

import (
	"container/list"
	"sync"
	"time"
)

const (
	cacheFor     = 600 * time.Second // metadata and keys
	cacheStale   = 24 * time.Hour    // endpoints, after that, while they are renewed
	renewPause   = 30 * time.Second  // after a renewal that failed
	cacheIssuers = 100
	keyCooldown  = 30 * time.Second // between fetches that tokens without a key cause
)

// provider is the cached metadata and keys of one issuer. It is handed out as a copy.
type provider struct {
	issuer string
	meta   Metadata
	metaAt time.Time

	failedAt time.Time // when the metadata could not be renewed last

	keys    *keySet // nil while not fetched; lost with the metadata
	keysAt  time.Time
	askedAt [2]time.Time // when a token of each source last had the keys fetched again
}

func (p provider) fresh(now time.Time) bool  { return within(now, p.metaAt, cacheFor) }
func (p provider) usable(now time.Time) bool { return within(now, p.metaAt, cacheFor+cacheStale) }
func (p provider) paused(now time.Time) bool { return within(now, p.failedAt, renewPause) }
func (p provider) keysFresh(now time.Time) bool {
	return p.keys != nil && within(now, p.keysAt, cacheFor)
}

// cooling reports whether a token must do with the keys there are. Logins do not
// wait for what strangers caused, but strangers for what logins did.
func (p provider) cooling(now time.Time, from source) bool {
	return within(now, p.askedAt[fromProvider], keyCooldown) ||
		from == fromStrangers && within(now, p.askedAt[fromStrangers], keyCooldown)
}

// within reports whether now is less than d after then. A clock that was set back
// makes nothing last longer.
func within(now, then time.Time, d time.Duration) bool {
	return !then.IsZero() && !now.Before(then) && now.Before(then.Add(d))
}

// cache keeps metadata and keys of the issuers used last.
type cache struct {
	mu       sync.Mutex
	byIssuer map[string]*list.Element // of *provider
	recent   *list.List               // front: used last
}

func newCache() *cache { return &cache{byIssuer: make(map[string]*list.Element), recent: list.New()} }

func (c *cache) get(issuer string) (provider, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.find(issuer)
	if p == nil {
		return provider{}, false
	}
	return *p, true
}

// put stores new metadata. The keys go with the old ones, the cool-down stays.
func (c *cache) put(issuer string, m Metadata, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.find(issuer)
	if p == nil {
		p = &provider{issuer: issuer}
		c.byIssuer[issuer] = c.recent.PushFront(p)
		if c.recent.Len() > cacheIssuers {
			last := c.recent.Back()
			delete(c.byIssuer, c.recent.Remove(last).(*provider).issuer)
		}
	}
	p.meta, p.metaAt, p.keys = m, now, nil
}

// putKeys stores keys that were fetched from uri, unless the metadata has come to
// name another place.
func (c *cache) putKeys(issuer, uri string, keys *keySet, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.find(issuer); p != nil && p.meta.JWKSURI == uri {
		p.keys, p.keysAt = keys, now
	}
}

// failed starts the pause after a renewal that failed.
func (c *cache) failed(issuer string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.find(issuer); p != nil {
		p.failedAt = now
	}
}

// asked starts the cool-down.
func (c *cache) asked(issuer string, now time.Time, from source) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.find(issuer); p != nil {
		p.askedAt[from] = now
	}
}

func (c *cache) find(issuer string) *provider {
	e, ok := c.byIssuer[issuer]
	if !ok {
		return nil
	}
	c.recent.MoveToFront(e)
	return e.Value.(*provider)
}
