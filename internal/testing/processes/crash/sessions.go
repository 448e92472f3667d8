package crash

import (
	"context"
	"fmt"
	"strconv"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

const subjectPattern = "user-%d"

// Session number i has a name for its id, one for its user, and a key in the store.
func sessionID(i int) string    { return fmt.Sprintf("session-%d", i) }
func subjectOf(i int) string    { return fmt.Sprintf(subjectPattern, i) }
func keyOf(i int) session.Key   { return session.KeyOf(identifier, sessionID(i)) }
func audienceOf(n int64) string { return "https://api-" + strconv.FormatInt(n, 10) + ".example" }

// reader opens the records of a store.
type reader struct{ codec *store.Codec }

func newReader() (reader, error) {
	sealer, err := store.NewSealer(identifier, nil, sealingSecret)
	return reader{&store.Codec{Sealer: sealer}}, err
}

// refreshToken returns the refresh token in a record.
func (r reader) refreshToken(key session.Key, rec store.Record) (string, error) {
	state, err := r.codec.Decode(key, rec)
	if err != nil {
		return "", err
	}
	return state.RefreshToken, nil
}

// storedOf returns the refresh token of session i as a store has it.
func (r reader) storedOf(ctx context.Context, s store.StateStore, i int) (string, error) {
	rec, err := s.Load(ctx, keyOf(i), store.Options{})
	if err != nil {
		return "", fmt.Errorf("session %d: %w", i, err)
	}
	token, err := r.refreshToken(keyOf(i), rec)
	if err != nil {
		return "", fmt.Errorf("session %d: %w", i, err)
	}
	return token, nil
}

// stored returns those of the first n sessions.
func (r reader) stored(ctx context.Context, s store.StateStore, n int) (tokens []string, err error) {
	tokens = make([]string, n)
	for i := range tokens {
		if tokens[i], err = r.storedOf(ctx, s, i); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}
