package httpauth_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzFormPost posts any form as a callback that this browser has no login for: the page that answers posts the same fields once
// more and nothing else, whatever is in them; posted again, there is no session.
func FuzzFormPost(f *testing.F) {
	for _, form := range []string{
		"code=c&state=s", "state=%22%3E%3Cscript%3E&user=%7B%22a%22%3A%22%3C%2Fscript%3E%22%7D", "state=s&error=e&error_description=d&id_token=t&x=y",
		"state=s&tokenward_replay=1", "state=a&state=b", "code=c", "state=%0d%0a%00", "%zz", "state=%ff", "=&;",
	} {
		f.Add(form)
	}
	h, _ := newFuzzed(f)
	post := func(form string) *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), bare(http.MethodPost, "code=of-the-query&state=of-the-query", form)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		h.Callback(w, r)
		return w
	}
	f.Fuzz(func(t *testing.T, body string) {
		w := post(body)
		if len(w.Header().Values("Set-Cookie")) != 0 || w.Header().Get("Location") != "" {
			t.Errorf("%q: header %v", body, w.Header())
		}
		if w.Code != http.StatusOK {
			if w.Code != http.StatusBadRequest {
				t.Errorf("%q: status %d", body, w.Code)
			}
			return
		}
		sent, err := url.ParseQuery(body)
		if err != nil {
			t.Fatalf("%q was taken: %v", body, err)
		}
		page := w.Body.String()
		again := formIn(page)
		if again.Get("tokenward_replay") != "1" || strings.Count(page, "<input") != len(again) || strings.Count(page, "<script") != 1 {
			t.Fatalf("%q: %s", body, page)
		}
		again.Del("tokenward_replay")
		for name, values := range again {
			if len(values) != 1 || !strings.Contains(" state code iss session_state error error_description error_uri user ", " "+name+" ") {
				t.Errorf("%q: posts %s = %q", body, name, values)
			}
			if want := strings.ReplaceAll(strings.ToValidUTF8(sent.Get(name), ""), "\x00", ""); strings.ReplaceAll(strings.ToValidUTF8(values[0], ""), "\uFFFD", "") != strings.ReplaceAll(want, "\uFFFD", "") {
				t.Errorf("%q: posts %s = %q, want %q", body, name, values[0], want)
			}
		}
		again.Set("tokenward_replay", "1")
		if w := post(again.Encode()); w.Code != http.StatusBadRequest {
			t.Errorf("%q, posted again: status %d", body, w.Code)
		}
	})
}
