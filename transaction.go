package tokenward

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// transaction is a login under way, as it is stored, sealed.
type transaction struct {
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

func (tx *transaction) setAppState(v any) error {
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
		return nil, &InvalidArgumentError{Argument: "app_state", Message: "must be a JSON value"}
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func (c *Client) transactionKey(state string) string { return c.opts.txName + ":" + state }

func (c *Client) putTransaction(ctx context.Context, state string, tx transaction, o store.Options) error {
	plain, err := asJSON(tx)
	if err != nil {
		return err
	}
	key := c.transactionKey(state)
	return c.attempt(ctx, func(ctx context.Context) error {
		return c.opts.transactions.Put(ctx, key, c.sealer.Seal(key, plain), transactionLife, o)
	})
}

// transaction returns the login that state belongs to: with Get as it stands, with Take for this
// call alone.
func (c *Client) transaction(ctx context.Context, state string, from transactionRead, o store.Options) (tx transaction, err error) {
	key := c.transactionKey(state)
	var sealed []byte
	switch err = c.attempt(ctx, func(ctx context.Context) (err error) {
		sealed, err = from(ctx, key, o)
		return err
	}); {
	case errors.Is(err, store.ErrNotFound):
		return tx, &MissingTransactionError{}
	case err != nil:
		return tx, err
	}
	if !c.openTransaction(key, sealed, &tx) {
		_ = c.attempt(ctx, func(ctx context.Context) error { // it is of no use; else it lapses
			_, err := c.opts.transactions.Take(ctx, key, o)
			return err
		})
		return tx, &MissingTransactionError{}
	}
	return tx, nil
}

// openTransaction reports whether what is stored can be read and is young enough.
func (c *Client) openTransaction(key string, sealed []byte, tx *transaction) bool {
	plain, err := c.sealer.Open(key, sealed)
	if err != nil || json.Unmarshal(plain, tx) != nil {
		c.log.Warn("a login transaction cannot be read; it counts as unknown")
		return false
	}
	if tx.Domain == "" {
		tx.Domain = session.DomainOf(c.issuer)
	}
	return c.clock.Now().Unix()-tx.CreatedAt <= int64(transactionLife.Seconds())
}

// transactionRead is Get or Take of a TransactionStore.
type transactionRead = func(ctx context.Context, key string, o store.Options) ([]byte, error)

func blank(s string) bool { return strings.TrimSpace(s) == "" }
