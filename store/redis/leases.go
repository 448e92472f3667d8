package redis

import (
	"context"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Begin implements store.Leaser and store.Intents, in one round trip. It is never sent twice: after an error that
// leaves open whether it took effect, the intent that stands may be the caller's own.
func (s *Store) Begin(ctx context.Context, key session.Key, b store.Beginning, _ store.Options) (store.Begun, error) {
	var intent []byte
	if b.Intent.Token != ([32]byte{}) {
		intent = formatIntent(b.Intent)
	}
	answer, err := s.run(ctx, begin, key, string(b.Version[:]), b.Owner, milliseconds(b.TTL), intent, formatTries(b.Intent))
	if err != nil {
		return store.Begun{}, err
	}
	if word, _ := at[string](answer, 0); word == "moved" {
		text, _ := at[string](answer, 1)
		r, err := store.UnmarshalRecord([]byte(text))
		if err != nil {
			return store.Begun{}, err
		}
		return store.Begun{Moved: &r}, nil
	}
	begun, ok := parseBegun(answer)
	if !ok {
		return store.Begun{}, unexpected(begin)
	}
	return begun, nil
}

// parseBegun reads an epoch, and two intents with their tries, each of which may be empty.
func parseBegun(answer []any) (b store.Begun, ok bool) {
	if len(answer) != 6 {
		return b, false
	}
	text, _ := answer[1].(string)
	epoch, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return b, false
	}
	b.Epoch = epoch
	if answer[2] != "" {
		if b.Intent, ok = parseIntent(answer[2]); !ok || !parseTries(answer[3], &b.Intent) {
			return b, false
		}
	}
	if answer[4] != "" {
		prior, ok := parseIntent(answer[4])
		if !ok || !parseTries(answer[5], &prior) {
			return b, false
		}
		b.Prior = &prior
	}
	return b, true
}

// Renew implements store.Leaser.
func (s *Store) Renew(ctx context.Context, key session.Key, owner string, epoch int64, ttl time.Duration, _ store.Options) error {
	_, err := s.run(ctx, renew, key, owner, epoch, milliseconds(ttl))
	return err
}

// Release implements store.Leaser.
func (s *Store) Release(ctx context.Context, key session.Key, owner string, epoch int64, _ store.Options) error {
	_, err := s.run(ctx, release, key, owner, epoch)
	return err
}

// ClearIntent implements store.Intents.
func (s *Store) ClearIntent(ctx context.Context, key session.Key, in store.Intent, _ store.Options) error {
	_, err := s.run(ctx, clearIntent, key, formatIntent(in))
	return err
}

// StaleIntents implements store.Intents. It looks at the intents in pages, oldest first.
func (s *Store) StaleIntents(ctx context.Context, limit int, _ store.Options) ([]store.StaleIntent, error) {
	begin := "-"
	var found []store.StaleIntent
	for len(found) < limit {
		answer, err := s.runAll(ctx, staleIntents, begin, s.page)
		if err != nil {
			return nil, err
		}
		list, ok := at[[]any](answer, 0)
		if !ok || len(list)%3 != 0 {
			return nil, unexpected(staleIntents)
		}
		for i := 0; i < len(list) && len(found) < limit; i += 3 {
			key, err := parseKey(list[i])
			if err != nil {
				return nil, unexpected(staleIntents)
			}
			in, ok := parseIntent(list[i+1])
			if !ok || !parseTries(list[i+2], &in) {
				return nil, unexpected(staleIntents)
			}
			found = append(found, store.StaleIntent{Key: key, Intent: in})
		}
		last, _ := at[string](answer, 1)
		if last == "" {
			return found, nil
		}
		begin = "(" + last
	}
	return found, ctx.Err()
}

// An intent is kept as when it was, in digits that sort, its epoch in 8 bytes and the hash of
// its token.
const (
	intentEpoch = 16
	intentToken = intentEpoch + 8
	intentSize  = intentToken + len(store.Intent{}.Token)
)

func formatIntent(in store.Intent) []byte {
	b := make([]byte, 0, intentSize)
	b = append(b, sortable(in.At)...)
	b = binary.BigEndian.AppendUint64(b, uint64(in.Epoch))
	return append(b, in.Token[:]...)
}

func parseIntent(v any) (in store.Intent, ok bool) {
	text, _ := v.(string)
	if len(text) != intentSize {
		return in, false
	}
	at, err := parseSortable(text[:intentEpoch])
	in.At = at
	in.Epoch = int64(binary.BigEndian.Uint64([]byte(text[intentEpoch:intentToken])))
	copy(in.Token[:], text[intentToken:])
	return in, err == nil
}

// How often a token was presented again is kept beside the intent, so that a release that does
// not know of it reads the rest: when the next time is, in digits that sort, and the number.
// Where there is nothing to say it is empty.
func formatTries(in store.Intent) string {
	if in.Tries == 0 {
		return ""
	}
	return sortable(in.Next) + strconv.Itoa(in.Tries)
}

func parseTries(v any, in *store.Intent) (ok bool) {
	text, ok := v.(string)
	if !ok || text == "" {
		return ok
	}
	if len(text) < intentEpoch {
		return false
	}
	next, err := parseSortable(text[:intentEpoch])
	if err != nil {
		return false
	}
	in.Next = next
	in.Tries, err = strconv.Atoi(text[intentEpoch:])
	return err == nil
}
