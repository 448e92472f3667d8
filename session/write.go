package session

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A writer appends JSON as encoding/json would write it, without escaping for HTML,
// the members of each object in order. A session is written with every refresh,
// so what its claims and tokens consist of is written without reflection; whatever
// else the host put into User is left to encoding/json.
type writer struct {
	text []byte
	err  error // the first one
}

// objectWriter writes the members of one object, which must come in order. What others
// wrote comes in between.
type objectWriter struct {
	*writer
	extra map[string]json.RawMessage
	names []string // of extra, those not written yet, in order
	some  bool     // something was written
}

func (w *writer) object(extra map[string]json.RawMessage) objectWriter {
	w.text = append(w.text, '{')
	o := objectWriter{writer: w, extra: extra}
	if len(extra) > 0 {
		o.names = slices.Sorted(maps.Keys(extra))
	}
	return o
}

// member writes a name of ours, which needs no escape. Its value is to follow.
func (o *objectWriter) member(name string) {
	for len(o.names) > 0 && o.names[0] < name {
		o.others()
	}
	o.comma()
	o.text = append(o.text, '"')
	o.text = append(o.text, name...)
	o.text = append(o.text, '"', ':')
}

func (o *objectWriter) name(name string) {
	o.comma()
	o.string(name)
	o.text = append(o.text, ':')
}

func (o *objectWriter) comma() {
	if o.some {
		o.text = append(o.text, ',')
	}
	o.some = true
}

// others writes the next member that others wrote.
func (o *objectWriter) others() {
	name := o.names[0]
	o.names = o.names[1:]
	o.name(name)
	o.encode(o.extra[name])
}

func (o *objectWriter) end() {
	for len(o.names) > 0 {
		o.others()
	}
	o.text = append(o.text, '}')
}

func (o *objectWriter) setText(name, s string) {
	o.member(name)
	o.string(s)
}

// setSome is setText for a member that is absent when empty.
func (o *objectWriter) setSome(name, s string) {
	if s != "" {
		o.setText(name, s)
	}
}

func (o *objectWriter) setInt(name string, i int64) {
	o.member(name)
	o.text = strconv.AppendInt(o.text, i, 10)
}

// deepest is how deep values are followed here. Deeper down encoding/json takes over, which
// notices when a value holds itself.
const deepest = 32

// value writes what encoding/json decodes into an any, and what it can encode.
func (w *writer) value(v any, depth int) {
	switch v := v.(type) {
	case nil:
		w.text = append(w.text, "null"...)
	case bool:
		w.text = strconv.AppendBool(w.text, v)
	case string:
		w.string(v)
	case int64:
		w.text = strconv.AppendInt(w.text, v, 10)
	case json.Number:
		w.number(v)
	case map[string]any:
		if v == nil || depth == deepest {
			w.encode(v)
			return
		}
		w.members(v, depth)
	case []any:
		if v == nil || depth == deepest {
			w.encode(v)
			return
		}
		w.elements(v, depth)
	default:
		w.encode(v)
	}
}

func (w *writer) number(n json.Number) {
	if n == "" || len(n) != digits(string(n)) || len(n) > 1 && n[0] == '0' {
		w.encode(n) // not plain digits, perhaps no number at all
		return
	}
	w.text = append(w.text, n...)
}

func (w *writer) elements(list []any, depth int) {
	w.text = append(w.text, '[')
	for i, element := range list {
		if i > 0 {
			w.text = append(w.text, ',')
		}
		w.value(element, depth+1)
	}
	w.text = append(w.text, ']')
}

func (w *writer) members(m map[string]any, depth int) {
	var few [24]string // more is rare
	names := few[:0]
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	o := w.object(nil)
	for _, name := range names {
		o.name(name)
		w.value(m[name], depth+1)
	}
	o.end()
}

// encode has encoding/json write v.
func (w *writer) encode(v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // what others wrote stays as they wrote it
	if err := e.Encode(v); err != nil {
		if w.err == nil {
			w.err = err
		}
		return
	}
	w.text = append(w.text, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// string writes s as a JSON string (RFC 8259 section 7).
func (w *writer) string(s string) {
	if !plain(s) {
		w.encode(s)
		return
	}
	w.text = append(w.text, '"')
	w.text = append(w.text, s...)
	w.text = append(w.text, '"')
}

// plain reports whether s needs no escape, as most text does.
func plain(s string) bool {
	var high byte
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c == '"' || c == '\\' {
			return false
		}
		high |= c
	}
	return high < utf8.RuneSelf || utf8.ValidString(s) && !strings.ContainsAny(s, "\u2028\u2029") // line ends to JavaScript
}
