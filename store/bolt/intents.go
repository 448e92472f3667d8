package bolt

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"slices"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Begin implements store.Intents: without leases, the version check and the intent. It is as durable
// as Update.
func (s *Store) Begin(ctx context.Context, key session.Key, b store.Beginning, _ store.Options) (store.Begun, error) {
	answer := make(chan store.Begun, 1) // a caller who gave up shares nothing with the writer
	err := s.change(ctx, key, func(c *change) error {
		r, err := c.session(key).living(c.now)
		switch {
		case err != nil:
			return err
		case r.Version != b.Version:
			answer <- store.Begun{Moved: &r}
			return nil
		case b.Intent.Token == [32]byte{}:
			answer <- store.Begun{}
			return nil
		}
		begun := store.Begun{}
		var stood *store.Intent
		if have, err := c.intent(key); err == nil {
			stood = &have
		}
		in := b.Intent
		in.Epoch = 0
		next, prior, err := in.Over(stood)
		if err != nil {
			return err
		}
		if begun.Intent = next; prior {
			begun.Prior = stood
		}
		c.set(intentBucket, key[:], marshalIntent(key, next))
		answer <- begun
		return nil
	})
	if err != nil {
		return store.Begun{}, err
	}
	return <-answer, nil
}

// ClearIntent implements store.Intents.
func (s *Store) ClearIntent(ctx context.Context, key session.Key, in store.Intent, _ store.Options) error {
	return s.change(ctx, key, func(c *change) error {
		if have, err := c.intent(key); err == nil && in.Matches(have) {
			c.clearIntent(key)
		}
		return nil
	})
}

// StaleIntents implements store.Intents. Without leases every intent is one.
func (s *Store) StaleIntents(ctx context.Context, limit int, _ store.Options) ([]store.StaleIntent, error) {
	var standing []store.StaleIntent
	err := s.scan(ctx, intentBucket, nil, func(v view, k []byte) bool {
		if len(k) != len(session.Key{}) {
			return true
		}
		key := session.Key(k)
		in, err := v.intent(key)
		if err == nil {
			_, err = v.session(key).living(v.now)
		}
		if err != nil {
			s.note(key, err)
			return true
		}
		standing = append(standing, store.StaleIntent{Key: key, Intent: in})
		return true
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(standing, func(a, b store.StaleIntent) int {
		return cmp.Or(cmp.Compare(a.At, b.At), bytes.Compare(a.Key[:], b.Key[:]))
	})
	return standing[:min(max(0, limit), len(standing))], nil
}

// Of an intent that was presented again the value has triesLen bytes more. Without them it is
// as the first releases wrote it.
const (
	intentLen = len(store.Intent{}.Token) + 8 + 8
	triesLen  = 8 + 8
)

func marshalIntent(key session.Key, in store.Intent) []byte {
	b := make([]byte, 0, intentLen+triesLen)
	b = append(b, in.Token[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(in.Epoch))
	b = binary.BigEndian.AppendUint64(b, uint64(in.At))
	if in.Tries != 0 {
		b = binary.BigEndian.AppendUint64(b, uint64(in.Tries))
		b = binary.BigEndian.AppendUint64(b, uint64(in.Next))
	}
	return newDraft(key, kindIntent, b).finish(0, forever, forever)
}

// intent returns the intent of key. It fails with store.ErrNotFound where there is
// none, and with a *store.UnreadableError.
func (v view) intent(key session.Key) (in store.Intent, err error) {
	s := v.read(intentBucket, key)
	switch {
	case !s.there:
		return in, store.ErrNotFound
	case s.err != nil:
		return in, s.err
	case s.kind != kindIntent || len(s.body) != intentLen && len(s.body) != intentLen+triesLen:
		return in, &store.UnreadableError{Why: store.Corrupt}
	}
	b := s.body[copy(in.Token[:], s.body):]
	in.Epoch = int64(binary.BigEndian.Uint64(b))
	in.At = int64(binary.BigEndian.Uint64(b[8:]))
	if b = b[16:]; len(b) > 0 {
		in.Tries = int(binary.BigEndian.Uint64(b))
		in.Next = int64(binary.BigEndian.Uint64(b[8:]))
	}
	return in, nil
}
