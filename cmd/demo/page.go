package main

import (
	"crypto/rand"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is what people look at. It is the same for everybody: what it shows it asks of
// the routes beside it.
func (a *app) page(w http.ResponseWriter, _ *http.Request) {
	nonce := rand.Text()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", fmt.Sprintf(
		"default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; connect-src 'self'; img-src https: data:; "+
			"form-action 'self'; base-uri 'none'; frame-ancestors 'none'", nonce, nonce))
	_ = pageTemplate.Execute(w, map[string]any{ // who has left is not told
		"Nonce": nonce, "Issuer": a.issuer, "OwnTenant": a.tenant != nil,
	})
}
