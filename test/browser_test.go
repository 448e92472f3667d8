package test_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/store"
)

// browser keeps its cookies from one request to the next.
type browser struct {
	r      *rig
	cookie *http.Cookie // the session's; nil when there is none
	others map[string]*http.Cookie
	tls    bool
	answer *httptest.ResponseRecorder // of the latest request
}

func newBrowser(r *rig) *browser { return &browser{r: r, others: map[string]*http.Cookie{}} }

// options are those of a new request.
func (b *browser) options() tokenward.StoreOptions {
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	if b.tls {
		req.TLS = &tls.ConnectionState{}
	}
	if b.cookie != nil {
		req.AddCookie(b.cookie)
	}
	for _, c := range b.others {
		req.AddCookie(c)
	}
	b.answer = httptest.NewRecorder()
	return tokenward.HTTP(b.answer, req)
}

// took keeps the cookies that the latest answer sets, and drops those it takes away.
func (b *browser) took() {
	for _, c := range b.answer.Result().Cookies() {
		if c.Name != "_a0_session" {
			if b.others[c.Name] = c; c.MaxAge < 0 {
				delete(b.others, c.Name)
			}
			continue
		}
		if b.cookie = c; c.MaxAge < 0 {
			b.cookie = nil
		}
	}
}

func (b *browser) tryLogin() (*tokenward.LoginResult, error) {
	b.r.t.Helper()
	to := b.r.start(tokenward.LoginRequest{}, b.options())
	b.took()
	back, err := b.r.tenant.Authorize(to)
	if err != nil {
		b.r.t.Fatal(err)
	}
	res, err := b.r.client.CompleteInteractiveLogin(b.r.t.Context(), back, b.options())
	b.took()
	return res, err
}

func (b *browser) login() string {
	b.r.t.Helper()
	res, err := b.tryLogin()
	if err != nil {
		b.r.t.Fatalf("login: %v", err)
	}
	return res.SessionID
}

// randomness is crypto/rand, which a test may hand to what asks for a reader.
type randomness struct{}

func (randomness) Read(b []byte) (int, error) { return rand.Read(b) }

// recordingTransactions remembers the transaction that was put last.
type recordingTransactions struct {
	store.TransactionStore
	forever bool // forgets nothing by itself

	key  string
	data []byte
	ttl  time.Duration
}

func (s *recordingTransactions) Put(ctx context.Context, key string, data []byte, ttl time.Duration, o store.Options) error {
	s.key, s.data, s.ttl = key, append([]byte(nil), data...), ttl
	if s.forever {
		ttl = 1000 * time.Hour
	}
	return s.TransactionStore.Put(ctx, key, data, ttl, o)
}
