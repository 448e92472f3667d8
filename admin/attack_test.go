package admin_test

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/admin"
	"github.com/tokenward/tokenward/session"
)

// Methods that the page does not have end nothing, and each answer, an error too, may be neither kept nor framed.
func TestHandler_methods(t *testing.T) {
	s := newSite(t)
	id := s.plant("ada")[0]
	form := url.Values{"key": {session.KeyOf("_a0_session", id).String()}, "issuer": {issuer}, "subject": {"ada"}}
	for _, method := range []string{http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodTrace, http.MethodGet} {
		for _, path := range []string{"/end", "/sign-out", "/end-issuer"} {
			s.want(method+" "+path, s.ask(method, path, form, asOperator...), http.StatusMethodNotAllowed, "")
		}
	}
	for _, method := range []string{http.MethodOptions, http.MethodPut, http.MethodDelete, http.MethodPost} {
		for _, path := range []string{"/", "/sessions"} {
			s.want(method+" "+path, s.ask(method, path, form, asOperator...), http.StatusMethodNotAllowed, "")
		}
	}
	for _, path := range []string{"/", "/sessions"} {
		s.want("HEAD "+path, s.ask(http.MethodHead, path, nil, asOperator...), http.StatusOK, "")
		s.want("HEAD, not authorised, "+path, s.ask(http.MethodHead, path, nil), http.StatusForbidden, "")
	}
	for _, path := range []string{"/nothing", "/end/", "/sessions/x"} {
		if w := s.ask(http.MethodGet, path, nil, asOperator...); w.Code < 300 {
			t.Errorf("GET %s: %d", path, w.Code)
		}
	}
	browser := append([]string{"Accept", "text/html", "Sec-Fetch-Mode", "navigate"}, asOperator...)
	s.want("an error, to a browser", s.ask(http.MethodGet, "/?limit=x", nil, browser...), http.StatusBadRequest, "limit")
	s.want("a form that is none, by a browser", s.ask(http.MethodPost, "/end", url.Values{"key": {"<script>"}}, browser...), http.StatusBadRequest, "key")
	s.want("a form that is too large", s.ask(http.MethodPost, "/end", url.Values{"key": {strings.Repeat("x", 10<<20)}}, asOperator...), http.StatusBadRequest, "form")
	if !s.lives(id) {
		t.Error("the session has ended")
	}
}

// A parameter that comes twice, or cannot be read, is refused: the others alone would name more sessions, or some that were not meant.
func TestHandler_parameters(t *testing.T) {
	s := newSite(t)
	ids := s.plant("ada", "bob")
	for _, query := range []string{"subject=a%zz", "subject=ada;x", "subject=ada&subject=bob", "issuer=&issuer=", "used_from=&used_from=", "limit=1&limit=2", "after=&after="} {
		for _, path := range []string{"/sessions?", "/?"} {
			s.want(path+query, s.ask(http.MethodGet, path+query, nil, asOperator...), http.StatusBadRequest, "invalid_argument")
		}
	}
	key := session.KeyOf("_a0_session", ids[0]).String()
	for path, form := range map[string]url.Values{
		"/sign-out?email=%zz": {"issuer": {issuer}, "subject": {"ada"}},
		"/sign-out":           {"issuer": {issuer}, "subject": {"ada", "bob"}},
		"/end":                {"key": {key, key}},
		"/end-issuer":         {"issuer": {issuer, "https://other.example/"}},
	} {
		s.want(path, s.ask(http.MethodPost, path, form, asOperator...), http.StatusBadRequest, "invalid_argument")
	}
	if !s.lives(ids[0]) || !s.lives(ids[1]) {
		t.Error("a session has ended")
	}
}

// A sub is one to the letter: of two that differ by a space alone, the one that is named is signed out.
func TestHandler_signsOutToTheLetter(t *testing.T) {
	s := newSite(t)
	ids := s.plant("ada", "ada ")
	s.want("sign out", s.ask(http.MethodPost, "/sign-out", url.Values{"issuer": {" " + issuer}, "subject": {"ada "}}, asOperator...), http.StatusOK, `{"ended":1}`)
	if !s.lives(ids[0]) || s.lives(ids[1]) {
		t.Errorf("ada lives: %v, the other: %v", s.lives(ids[0]), s.lives(ids[1]))
	}
}

// The links to the next and to the first page keep the filter.
func TestHandler_links(t *testing.T) {
	s := newSite(t)
	s.plant("ada", "ada", "ada", "bob")
	const query = "limit=2&subject=ada"
	first := s.ask(http.MethodGet, "/?ended=1&"+query, nil, asOperator...).Body.String()
	if strings.Contains(first, "First page") {
		t.Error("the first page leads to itself")
	}
	_, rest, _ := strings.Cut(first, `<a href=".`)
	next, _, _ := strings.Cut(rest, `" rel="next"`)
	last := s.ask(http.MethodGet, html.UnescapeString(next), nil, asOperator...).Body.String()
	if n := strings.Count(last, "<tr>") - 1; n != 1 || strings.Contains(last, `rel="next"`) {
		t.Errorf("the second page, %q, has %d rows", next, n)
	}
	if want := `<a href="./?` + strings.ReplaceAll(query, "&", "&amp;") + `">First page`; !strings.Contains(last, want) {
		t.Errorf("the second page lacks %s:\n%s", want, last)
	}
}

// A function that panics lets no one in: the request goes as net/http has it, unanswered.
func TestHandler_authoriserPanics(t *testing.T) {
	s := newSite(t)
	id := s.plant("ada")[0]
	h, err := admin.New(s.client, func(*http.Request) error { panic("a secret of the host") })
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, "http://app.example/end-issuer", strings.NewReader("issuer="+url.QueryEscape(issuer)))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		func() {
			defer func() { _ = recover() }()
			h.ServeHTTP(w, r)
		}()
		if w.Body.Len() != 0 {
			t.Errorf("%s: %d %s", method, w.Code, w.Body)
		}
	}
	if !s.lives(id) {
		t.Error("the session has ended")
	}
}

// What users can write, in their profiles and in addresses, is text, in the page and in the JSON.
func TestHandler_markup(t *testing.T) {
	s := newSite(t)
	evil := []string{`"><script>alert(1)</script>`, `'onmouseover='alert(1)`, "{{.}}", "javascript:alert(1)", "\u2028</td>", `\u003cimg src=x onerror=alert(1)\u003e`, "\x00\r\nSet-Cookie: a=b"}
	s.plant(evil...)
	w := s.ask(http.MethodGet, "/?subject="+url.QueryEscape(evil[0])+"&sid="+url.QueryEscape(evil[1])+"&issuer="+url.QueryEscape(evil[1])+"&ended="+url.QueryEscape(evil[0]), nil, asOperator...)
	all := s.ask(http.MethodGet, "/", nil, asOperator...).Body.String()
	for _, body := range []string{w.Body.String(), all} {
		for _, text := range []string{"<script", "'onmouse", `">alert`, "</td>\">", "<img", "<b>"} {
			if strings.Contains(strings.ReplaceAll(body, "<script nonce", ""), text) {
				t.Errorf("the page has %q:\n%s", text, body)
			}
		}
	}
	w = s.ask(http.MethodGet, "/sessions", nil, asOperator...)
	var page struct{ Sessions []struct{ Sub string } }
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || len(page.Sessions) != len(evil) || strings.ContainsAny(w.Body.String(), "<>") ||
		w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%v %v %s", err, w.Header(), w.Body)
	}
}

// An after that no page came with, and sizes of pages beyond the largest, are refused or bounded; none is a defect.
func TestHandler_cursors(t *testing.T) {
	s := newSite(t)
	subs := make([]string, 600)
	for i := range subs {
		subs[i] = fmt.Sprint("user-", i)
	}
	s.plant(subs...)
	for _, after := range []string{"x", ".", "0", "0.x", "-1.", "1.", "99999999999999999999.", "0.0.0", "0.%00", "0." + strings.Repeat("f", 1<<16), "0.../../etc", "0.' or 1=1"} {
		s.want("after="+after[:min(len(after), 20)], s.ask(http.MethodGet, "/sessions?after="+url.QueryEscape(after), nil, asOperator...), http.StatusBadRequest, "after")
	}
	for limit, want := range map[string]int{"1": 1, "250": 250, "251": 250, "2147483647": 250} {
		w := s.ask(http.MethodGet, "/sessions?limit="+limit, nil, asOperator...)
		if n := strings.Count(w.Body.String(), `"key"`); w.Code != http.StatusOK || n != want {
			t.Errorf("limit=%s: %d, %d rows", limit, w.Code, n)
		}
	}
	for _, limit := range []string{"0", "-1", "1e3", "99999999999999999999", " 5"} {
		s.want("limit="+limit, s.ask(http.MethodGet, "/sessions?limit="+url.QueryEscape(limit), nil, asOperator...), http.StatusBadRequest, "limit")
	}
}
