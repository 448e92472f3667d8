package idptest

import (
	"cmp"
	"maps"
	"net/http"
	"strconv"
)

// shaped returns r as the profile's provider words it.
func (t *Tenant) shaped(r *reply) *reply {
	refusals := &t.profile().Refusals
	switch {
	case r.oauth != nil:
		return refusals.refuse(r)
	case refusals.OK && r.status == http.StatusOK:
		r.edit(func(body map[string]any) { body["ok"] = true })
	}
	return r
}

// refuse rewrites an error answer.
func (f *Refusals) refuse(r *reply) *reply {
	code, description, status := r.oauth.code, r.oauth.description, http.StatusBadRequest
	if code == "invalid_client" {
		status = http.StatusUnauthorized
	}
	status = cmp.Or(f.Status[code], status)
	if r.refresh {
		status = cmp.Or(f.Refresh.Status, status)
		description = cmp.Or(f.Refresh.Description, description)
		code = cmp.Or(f.Refresh.Code, code)
	}
	code = cmp.Or(f.Codes[code], code)
	body := map[string]any{"error": code}
	if f.OK {
		status, body["ok"] = http.StatusOK, false
	} else if description != "" {
		body["error_description"] = description
	}
	out := jsonReply(status, body)
	out.oauth = r.oauth
	maps.Copy(out.header, r.header)
	return out
}

// throttled answers a refresh in place of the provider, or returns nil.
func (t *Tenant) throttled(c *call) *reply {
	th := t.profile().Refusals.Throttled
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.kind != Refresh || c.family == nil || c.family.throttled >= th.Refreshes {
		return nil
	}
	c.family.throttled++
	r := plain(th.Status, th.Body)
	if th.Type != "" {
		r.header.Set("Content-Type", th.Type)
	}
	if th.RetryAfter > 0 {
		r.header.Set("Retry-After", strconv.Itoa(int(th.RetryAfter.Seconds())))
	}
	return r
}
