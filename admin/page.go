package admin

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tokenward/tokenward"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// view is what the page shows.
type view struct {
	Nonce string
	Query tokenward.SessionQuery
	Rows  []row
	Count string
	Times []timeField
	Timed bool   // one of them is set
	First string // the address of the first page of these, empty where this is it
	Next  string // that of the next, empty where this is the last
	Ended string // how many sessions a form has ended; empty: none has
}

// timeField is an input of the form, for a bound of the listing.
type timeField struct{ Name, Label, Value string }

// times returns the inputs for bounds, with those of query, and whether one is set.
func times(query url.Values) (fields []timeField, set bool) {
	fields = []timeField{{Name: "used_from", Label: "Last used from"}, {Name: "used_until", Label: "until"}, {Name: "deadline_from", Label: "Ends from"}, {Name: "deadline_until", Label: "until"}}
	for i, f := range fields {
		fields[i].Value = query.Get(f.Name)
		set = set || fields[i].Value != ""
	}
	return fields, set
}

// row is a session. Short is the beginning of its key, by which people tell it from others.
type row struct {
	Key, Short, Issuer, Subject, Name, Email string
	Verified                                 bool
	SignedIn, Deadline, LastUse              string
}

// mostCounted bounds what a count costs the store.
const mostCounted = 1000

func (h *Handler) page(w http.ResponseWriter, r *http.Request) {
	sessions, next, ok := h.list(w, r)
	if !ok {
		return
	}
	q, _ := queryOf(r.URL.Query().Get)
	count, err := h.client.CountSessions(r.Context(), q, mostCounted, tokenward.StoreOptions{})
	if err != nil {
		fail(w, r, err)
		return
	}
	v := view{Nonce: rand.Text(), Query: q, Count: strconv.Itoa(count)}
	v.Times, v.Timed = times(r.URL.Query())
	if count == mostCounted {
		v.Count = "1,000 or more"
	}
	if n, err := strconv.Atoi(r.URL.Query().Get("ended")); err == nil {
		v.Ended = strconv.Itoa(n)
	}
	if r.URL.Query().Get("after") != "" {
		v.First = pageFrom(r.URL.Query(), "")
	}
	if next != "" {
		v.Next = pageFrom(r.URL.Query(), next)
	}
	for _, s := range sessions {
		v.Rows = append(v.Rows, row{
			s.Key.String(), s.Key.String()[:12], s.Issuer, s.Subject, s.Name, s.Email, s.EmailVerified,
			moment(s.SignedIn), moment(s.Deadline), moment(s.LastUse),
		})
	}
	var text bytes.Buffer
	if err := pageTemplate.Execute(&text, v); err != nil {
		fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", policy(v.Nonce))
	_, _ = w.Write(text.Bytes()) // the client has gone
}

// pageFrom returns the address of another page of what query lists: the one that begins at after, where that is empty the first.
func pageFrom(query url.Values, after string) string {
	query.Del("ended")
	query.Del("after")
	if after != "" {
		query.Set("after", after)
	}
	if len(query) == 0 {
		return "./"
	}
	return "./?" + query.Encode()
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04")
}
