package signals

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
)

const maxToken = 256 << 10 // bytes of a token, as it is sent

// Push returns the handler that the transmitter pushes events to (RFC 8935). It answers 202 once the sessions that an event
// names have ended in the store; 400 with {"err": CODE, "description": TEXT} where the token is refused (invalid_key: also where its kid is
// not among the keys, which were fetched for it); 503 with
// Retry-After where a session could not be ended, the keys cannot be had or may not be fetched again yet, or the token did not arrive whole: the
// transmitter sends it again.
func (r *Receiver) Push() http.Handler { return http.HandlerFunc(r.push) }

func (r *Receiver) push(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	kind, _, _ := mime.ParseMediaType(req.Header.Get("Content-Type"))
	switch {
	case req.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case r.cfg.PushAuthorization != "" && !same(req.Header.Get("Authorization"), r.cfg.PushAuthorization):
		writeRefusal(w, &refusal{code: authenticationFailed, text: "the Authorization header is not the one that was agreed on"})
		return
	case kind != "application/secevent+jwt":
		writeRefusal(w, &refusal{code: invalidRequest, text: "the Content-Type must be application/secevent+jwt"})
		return
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxToken))
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		err = &refusal{code: invalidRequest, text: "the token is too long"}
	case err == nil:
		err = r.take(req.Context(), string(raw))
	}
	var no *refusal
	switch {
	case err == nil:
		w.WriteHeader(http.StatusAccepted)
	case errors.As(err, &no):
		writeRefusal(w, no)
	default:
		r.log.WarnContext(req.Context(), "an event that was pushed could not be dealt with now", "error", err)
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func writeRefusal(w http.ResponseWriter, no *refusal) {
	writeJSON(w, http.StatusBadRequest, map[string]string{"err": no.code, "description": no.text})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Language", "en")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has left has no use for it
}

// same reports whether two secrets are equal, in a time that tells nothing of them.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
