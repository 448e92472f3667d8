// Package logins keeps the logins that are under way, each as a sealed transaction from its start to its
// callback, and remembers for a while the completed logins, and sign-outs that a login
// under way must not outlive, here or in another process.
package logins

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Life is how long a login may take.
const Life = time.Hour

// Logins are those of a client.
type Logins struct {
	Name         string // the identifier of transactions
	Issuer       string // the configured one, of transactions that name none
	Transactions store.TransactionStore
	Sealer       *store.Sealer
	Env          *actors.Env
	Shared       bool // other processes use the state store too
	Marks        Marks

	Redirects Redirects
	Logouts   Logouts
	Framed    Logouts // by front-channel requests, which nothing authenticates: they push no other out
	StepUps   Logouts // not ended, but asked to sign in later than Ended.Until
	completed completions
}

// Init makes l ready.
func (l *Logins) Init() {
	l.Redirects.of = make(map[string]string)
	l.Logouts.init(maxLogouts)
	l.Framed.init(maxFramed)
	l.StepUps.init(maxLogouts)
	l.completed.init()
}

// Transaction is a login under way, as it is stored, sealed.
type Transaction struct {
	CodeVerifier string          `json:"code_verifier"`
	Audience     string          `json:"audience,omitempty"`
	Scope        string          `json:"requested_scope"`
	RedirectURI  string          `json:"redirect_uri"`
	AppState     json.RawMessage `json:"app_state,omitempty"`
	Domain       string          `json:"domain"`
	ClientID     string          `json:"client_id,omitempty"` // where the host has several registrations
	Organization string          `json:"organization,omitempty"`
	Nonce        string          `json:"nonce,omitempty"`
	MaxAge       *int64          `json:"max_age,omitempty"`
	AtIssuer     bool            `json:"at_issuer,omitempty"`    // Domain was named as an issuer URL, not as an Auth0 domain
	OwnRedirect  bool            `json:"own_redirect,omitempty"` // RedirectURI is of this domain's logins alone
	CreatedAt    int64           `json:"created_at"`
}

// SetAppState takes in what the host wants back, nil for nothing.
func (tx *Transaction) SetAppState(v any) error {
	if v == nil {
		return nil
	}
	b, err := asJSON(v)
	tx.AppState = b
	return err
}

// asJSON writes v as it is: a browser may have to keep it, and what JSON would escape for HTML
// is six times as long.
func asJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, &session.InvalidArgumentError{Argument: "app_state", Message: "must be a JSON value"}
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func (l *Logins) transactionKey(state string) string { return l.Name + ":" + state }

// Begin stores a login that begins.
func (l *Logins) Begin(ctx context.Context, state string, tx Transaction, o store.Options) error {
	plain, err := asJSON(tx)
	if err != nil {
		return err
	}
	key := l.transactionKey(state)
	return lookup.Attempt(ctx, l.Env, func(ctx context.Context) error {
		return l.Transactions.Put(ctx, key, l.Sealer.Seal(key, plain), Life, o)
	})
}

// Get returns the login that state belongs to, as it stands.
func (l *Logins) Get(ctx context.Context, state string, o store.Options) (Transaction, error) {
	return l.read(ctx, state, l.Transactions.Get, o)
}

// Take returns the login that state belongs to, for this call alone.
func (l *Logins) Take(ctx context.Context, state string, o store.Options) (Transaction, error) {
	return l.read(ctx, state, l.Transactions.Take, o)
}

func (l *Logins) read(ctx context.Context, state string, from transactionRead, o store.Options) (tx Transaction, err error) {
	key := l.transactionKey(state)
	var sealed []byte
	switch err = lookup.Attempt(ctx, l.Env, func(ctx context.Context) (err error) {
		sealed, err = from(ctx, key, o)
		return err
	}); {
	case errors.Is(err, store.ErrNotFound):
		return tx, &session.MissingTransactionError{}
	case err != nil:
		return tx, err
	}
	if !l.open(key, sealed, &tx) {
		_ = lookup.Attempt(ctx, l.Env, func(ctx context.Context) error { // it is of no use; else it lapses
			_, err := l.Transactions.Take(ctx, key, o)
			return err
		})
		return tx, &session.MissingTransactionError{}
	}
	return tx, nil
}

// open reports whether the stored transaction can be read and is young enough.
func (l *Logins) open(key string, sealed []byte, tx *Transaction) bool {
	plain, err := l.Sealer.Open(key, sealed)
	if err != nil || json.Unmarshal(plain, tx) != nil {
		l.Env.Log.Warn("a login transaction cannot be read; it counts as unknown")
		return false
	}
	if tx.Domain == "" {
		tx.Domain = session.DomainOf(l.Issuer)
	}
	return l.Env.Clock.Now().Unix()-tx.CreatedAt <= int64(Life.Seconds())
}

// transactionRead is Get or Take of a TransactionStore.
type transactionRead = func(ctx context.Context, key string, o store.Options) ([]byte, error)
