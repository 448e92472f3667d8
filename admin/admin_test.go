package admin_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/admin"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuer   = "https://tenant.example/"
	secret   = "a secret of at least thirty-two bytes"
	operator = "operator"
	unknown  = "unknown"
)

// site is the operators' page of a client.
type site struct {
	t      *testing.T
	client *tokenward.Client
	memory *store.Memory
	mux    *http.ServeMux
	secret []string // what must be on no answer
	down   error    // why the authoriser cannot say of unknown who that is
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, memory: store.NewMemory(nil), mux: http.NewServeMux(), secret: []string{secret, "the client's secret"}}
	client, err := tokenward.New(tokenward.Config{
		Issuer: issuer, ClientID: "demo", ClientSecret: "the client's secret", Secrets: []string{secret}, RedirectURI: "http://127.0.0.1/callback",
	}, tokenward.WithStateStore(s.memory), tokenward.WithLogger(zap.NewNop()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close(context.Background()) })
	h, err := admin.New(client, func(r *http.Request) error {
		switch who := r.Header.Get("Authorization"); who {
		case operator:
			return nil
		case unknown:
			return fmt.Errorf("a text that is not shown: %w", s.down)
		}
		return errors.New("is no operator, says a text that is not shown")
	})
	if err != nil {
		t.Fatal(err)
	}
	s.client = client
	s.mux.Handle("/admin/", http.StripPrefix("/admin", h))
	return s
}

// plant signs users in, by their sub, and returns the id of each session.
func (s *site) plant(subs ...string) []string {
	s.t.Helper()
	sealer, err := store.NewSealer("_a0_session", rand.Reader, secret)
	if err != nil {
		s.t.Fatal(err)
	}
	codec := store.Codec{Sealer: sealer, Domain: issuer}
	ids := make([]string, len(subs))
	for i, sub := range subs {
		ids[i] = session.RandomString(rand.Reader, 32)
		state := session.NewState(session.Login{
			Claims: map[string]any{"iss": issuer, "sub": sub, "sid": "sid-" + ids[i], "name": "<b>Ada</b>", "email": sub + "@example.com", "email_verified": true},
			Response: session.TokenResponse{
				AccessToken: "access-" + ids[i], RefreshToken: "refresh-" + ids[i], IDToken: "idtoken-" + ids[i], ExpiresIn: 3600, HasExpiresIn: true,
			},
			Domain: issuer, Now: time.Now().Add(-time.Hour), Random: rand.Reader, //nolint:forbidigo // a login of the past
		})
		key := session.KeyOf("_a0_session", ids[i])
		r, err := codec.Encode(key, state, session.NewVersion(rand.Reader), session.NewIncarnation(rand.Reader))
		if err == nil {
			err = s.memory.Replace(s.t.Context(), key, r, store.Options{})
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return ids
}

// ask sends a request and fails where its answer has a secret on it, or may be kept or framed.
func (s *site) ask(method, path string, form url.Values, head ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequest(method, "http://app.example/admin"+path, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	for _, text := range append(s.secret, "access-", "refresh-", "idtoken-", "sid-", "that is not shown") {
		if strings.Contains(w.Body.String(), text) {
			s.t.Errorf("%s %s shows %q", method, path, text)
		}
	}
	if h := w.Result().Header; h.Get("Cache-Control") != "no-store" || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") ||
		!strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") || h.Get("X-Content-Type-Options") != "nosniff" {
		s.t.Errorf("%s %s: header %v", method, path, h)
	}
	return w
}

var asOperator = []string{"Authorization", operator}

func (s *site) want(doing string, w *httptest.ResponseRecorder, status int, text string) {
	s.t.Helper()
	if w.Code != status || !strings.Contains(w.Body.String(), text) {
		s.t.Errorf("%s: %d %.300s, want %d and %q", doing, w.Code, w.Body, status, text)
	}
}

func (s *site) lives(id string) bool {
	s.t.Helper()
	u, err := s.client.GetUser(s.t.Context(), tokenward.SessionID(id))
	if err != nil {
		s.t.Fatal(err)
	}
	return u != nil
}

func TestNew_needsAnAuthoriser(t *testing.T) {
	s := newSite(t)
	var wrong *tokenward.ConfigurationError
	if _, err := admin.New(s.client, nil); !errors.As(err, &wrong) {
		t.Errorf("no authoriser: %v", err)
	}
	if _, err := admin.New(nil, func(*http.Request) error { return nil }); !errors.As(err, &wrong) {
		t.Errorf("no client: %v", err)
	}
}

// Without the host's word nothing is shown and nothing ends, and neither does it by another site's form.
func TestHandler_refuses(t *testing.T) {
	s := newSite(t)
	id := s.plant("ada")[0]
	s.secret = append(s.secret, id, "ada")
	key := url.Values{"key": {session.KeyOf("_a0_session", id).String()}}
	user := url.Values{"issuer": {issuer}, "subject": {"ada"}}
	for _, path := range []string{"/", "/sessions", "/nothing"} {
		s.want("GET "+path, s.ask(http.MethodGet, path, nil), http.StatusForbidden, "forbidden")
	}
	for path, form := range map[string]url.Values{"/end": key, "/sign-out": user, "/end-issuer": {"issuer": {issuer}}} {
		s.want("not authorised: "+path, s.ask(http.MethodPost, path, form), http.StatusForbidden, "forbidden")
		for _, foreign := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
			s.want("another origin: "+path, s.ask(http.MethodPost, path, form, append(foreign, asOperator...)...), http.StatusForbidden, "forbidden")
		}
		s.want("by GET: "+path, s.ask(http.MethodGet, path+"?"+form.Encode(), nil, asOperator...), http.StatusMethodNotAllowed, "")
	}
	if !s.lives(id) {
		t.Error("the session has ended")
	}
}

// Where the authoriser itself fails, for it asks a store that is down, that is the answer, and no refusal. Nothing is shown, and nothing ends.
func TestHandler_theAuthoriserFails(t *testing.T) {
	s := newSite(t)
	id := s.plant("ada")[0]
	s.secret = append(s.secret, id, "ada")
	for code, down := range map[string]error{"store_error": tokenward.ErrStore, "overloaded": tokenward.ErrOverloaded, "closed": tokenward.ErrClosed} {
		s.down = down
		for _, path := range []string{"/", "/sessions", "/nothing"} {
			s.want("GET "+path, s.ask(http.MethodGet, path, nil, "Authorization", unknown), http.StatusServiceUnavailable, code)
		}
		form := url.Values{"key": {session.KeyOf("_a0_session", id).String()}}
		w := s.ask(http.MethodPost, "/end", form, "Authorization", unknown)
		if s.want("POST /end", w, http.StatusServiceUnavailable, code); w.Header().Get("Retry-After") == "" {
			t.Error("it does not say when to try again")
		}
	}
	s.down = context.Canceled
	s.want("any other failure", s.ask(http.MethodGet, "/", nil, "Authorization", unknown), http.StatusForbidden, "forbidden")
	if !s.lives(id) {
		t.Error("the session has ended")
	}
}

// Each form ends what it names, once, and nothing else.
func TestHandler_ends(t *testing.T) {
	s := newSite(t)
	ids := s.plant("ada", "ada", "ada", "bob", "eve")
	keyOf := func(i int) string { return session.KeyOf("_a0_session", ids[i]).String() }
	html := append([]string{"Accept", "text/html,*/*", "Sec-Fetch-Site", "same-origin"}, asOperator...)

	w := s.ask(http.MethodPost, "/end", url.Values{"key": {keyOf(0)}}, html...)
	if s.want("end", w, http.StatusSeeOther, ""); w.Header().Get("Location") != "./?ended=1" {
		t.Errorf("Location = %q", w.Header().Get("Location"))
	}
	if s.lives(ids[0]) || !s.lives(ids[1]) {
		t.Error("it is not that session that has ended")
	}
	s.want("sign out", s.ask(http.MethodPost, "/sign-out", url.Values{"issuer": {issuer}, "email": {"ADA@example.com"}}, asOperator...), http.StatusOK, `{"ended":2}`)
	if s.lives(ids[1]) || s.lives(ids[2]) || !s.lives(ids[3]) {
		t.Error("it is not that user who was signed out")
	}
	for path, form := range map[string]url.Values{
		"/end": {"key": {"zz"}}, "/sign-out": {"issuer": {issuer}}, "/end-issuer": {},
	} {
		s.want("nothing named: "+path, s.ask(http.MethodPost, path, form, asOperator...), http.StatusBadRequest, "invalid_argument")
	}
	s.want("no form", s.ask(http.MethodPost, "/end-issuer", nil, asOperator...), http.StatusBadRequest, "form")
	s.want("by last use", s.ask(http.MethodGet, "/?used_from=2000-01-02T03:04:05Z", nil, asOperator...), http.StatusOK, `name="used_from" value="2000-01-02T03:04:05Z"`)
	s.want("by deadline", s.ask(http.MethodGet, "/?deadline_until=2000-01-02T03:04:05Z", nil, asOperator...), http.StatusOK, "There are none here.")
	s.want("no time", s.ask(http.MethodGet, "/sessions?used_from=today", nil, asOperator...), http.StatusBadRequest, "used_from")
	s.want("no number", s.ask(http.MethodGet, "/sessions?limit=x", nil, asOperator...), http.StatusBadRequest, "limit")
	s.want("no page", s.ask(http.MethodGet, "/sessions?after=x", nil, asOperator...), http.StatusBadRequest, "after")
	if !s.lives(ids[3]) || !s.lives(ids[4]) {
		t.Error("a form that names nothing has ended a session")
	}
	s.want("the issuer's", s.ask(http.MethodPost, "/end-issuer", url.Values{"issuer": {issuer}}, asOperator...), http.StatusOK, `{"ended":2}`)
	if s.lives(ids[3]) || s.lives(ids[4]) {
		t.Error("a session of that issuer lives")
	}
}

// Of very many sessions the page has one page of rows, as the JSON has, and pages follow one another.
func TestHandler_hundredThousand(t *testing.T) {
	s := newSite(t)
	subs := make([]string, 100_000)
	for i := range subs {
		subs[i] = fmt.Sprintf("user-%d", i)
	}
	ids := s.plant(subs...)
	s.secret = append(s.secret, ids[:100]...)
	w := s.ask(http.MethodGet, "/", nil, asOperator...)
	s.want("the page", w, http.StatusOK, "1,000 or more")
	if rows := strings.Count(w.Body.String(), "<tr>") - 1; rows != 50 || w.Body.Len() > 100<<10 {
		t.Errorf("the page has %d rows and %d bytes, want 50 rows", rows, w.Body.Len())
	}
	if strings.Contains(w.Body.String(), "<b>Ada") {
		t.Error("a name is markup")
	}
	seen := map[string]bool{}
	after := ""
	for range 10 {
		var page struct {
			Sessions []struct{ Key, Sub string }
			Next     string
		}
		w := s.ask(http.MethodGet, "/sessions?limit=250&after="+url.QueryEscape(after), nil, asOperator...)
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || w.Code != http.StatusOK || len(page.Sessions) != 250 || page.Next == "" {
			t.Fatalf("a page of %d sessions, %v", len(page.Sessions), err)
		}
		for _, one := range page.Sessions {
			seen[one.Sub] = true
		}
		after = page.Next
	}
	if len(seen) != 2500 {
		t.Errorf("%d sessions are on ten pages, want 2500", len(seen))
	}
	s.want("one user", s.ask(http.MethodGet, "/?subject=user-77", nil, asOperator...), http.StatusOK, "user-77")
	if w := s.ask(http.MethodGet, "/sessions?email=USER-77@example.com", nil, asOperator...); strings.Count(w.Body.String(), `"key"`) != 1 {
		t.Errorf("by email: %s", w.Body)
	}
}
