package httpauth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/tokenward/tokenward"
)

// RequireStepUp is Require, for users whose sign-in was as need says: lately, or in a certain way (RFC 9470). A browser that asks
// for a page is sent to log in once more, with max_age and acr_values, and comes back; every other request gets 401
// insufficient_user_authentication, with the challenge of RFC 9470 section 3.
//
// The login is held to need when it comes back: its ID token must say so by auth_time and acr. Where the provider ignores what it was
// asked for, the callback is answered with 403 insufficient_user_authentication, and the user stays signed in as before: so no browser
// goes round in circles. A login of the same user keeps the values of UpdateSession.
//
// A provider that says auth_time only where max_age was asked for, as OpenID Connect allows, has a user with a MaxAge to meet sign in once more
// also after an ordinary sign-in a moment ago. A generous max_age in Config.AuthorizationParams has it say auth_time each time.
//
// Where a security event (package signals) or the client's AskStepUp has asked for a sign-in later than the user's, the page needs that, too,
// whatever else need says: with the zero StepUp it needs nothing else.
//
// It needs the login of these Handlers at LoginPath, or under Register. Make it once for each kind of page: it is
// remembered for the life of the Handlers. With a need that cannot be met every request gets configuration_error.
func (h *Handlers) RequireStepUp(need tokenward.StepUp, next http.Handler) http.Handler {
	id, err := h.rememberStepUp(need)
	return h.require(id, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err != nil {
			h.o.onError(w, r, err)
			return
		}
		user, err := h.client.GetUser(r.Context(), tokenward.StoreOptions{})
		if err == nil && user != nil { // nil: it has ended since Require looked
			err = h.client.CheckStepUp(user, need)
		}
		switch {
		case err == nil && user != nil:
			next.ServeHTTP(w, r)
		case err == nil:
			h.o.onError(w, r, tokenward.ErrMissingSession)
		case errors.As(err, new(*tokenward.StepUpError)) && navigates(r):
			login, _ := h.loginPath() // Require has asked for it
			redirect(w, withStepUp(h.loginFrom(r, login), id))
		default:
			h.o.onError(w, r, err)
		}
	}))
}

// stepUpParam is the query parameter of a login that names what RequireStepUp needs. A request can name nothing but that.
const stepUpParam = "step_up"

// rememberStepUp returns the name under which a login finds need.
func (h *Handlers) rememberStepUp(need tokenward.StepUp) (string, error) {
	if err := need.Check(); err != nil {
		return "", wrong("RequireStepUp: " + err.Error())
	}
	params := need.AuthorizationParams()
	sum := sha256.Sum256([]byte(params["max_age"] + " " + params["acr_values"]))
	id := base64.RawURLEncoding.EncodeToString(sum[:9])
	h.stepUps.Store(id, need)
	return id, nil
}

// stepUp returns what a login needs that names it, and the name.
func (h *Handlers) stepUp(id string) (need tokenward.StepUp, name string) {
	if found, ok := h.stepUps.Load(id); ok {
		return found.(tokenward.StepUp), id
	}
	return tokenward.StepUp{}, ""
}

// stepUpOf returns what the login that r begins needs, and the name. A sign-in later than an event needs more than the name stands for.
func (h *Handlers) stepUpOf(w http.ResponseWriter, r *http.Request) (need tokenward.StepUp, name string) {
	need, name = h.stepUp(r.URL.Query().Get(stepUpParam))
	if name == "" {
		return need, ""
	}
	user, _ := h.client.GetUser(r.Context(), tokenward.HTTP(w, r)) // without a session any sign-in is a new one
	if asked := new(tokenward.StepUpError); user != nil && errors.As(h.client.CheckStepUp(user, need), &asked) {
		need = asked.Need
	}
	return need, name
}

// steppedUp reports why a login is not what it was begun for, nil where it is.
func (h *Handlers) steppedUp(login *tokenward.LoginResult) error {
	var state appState
	_ = json.Unmarshal(login.AppState, &state)
	need, id := h.stepUp(state.StepUp)
	if id == "" || h.client.CheckStepUp(login.Session.User, need) == nil {
		return nil
	}
	return errNotSteppedUp
}

var errNotSteppedUp = &handlerError{
	http.StatusForbidden, codeStepUp,
	"the provider did not sign the user in as this page needs it: its ID token does not say so by auth_time or acr",
}

const codeStepUp tokenward.Code = "insufficient_user_authentication"

// withStepUp returns the login's address with what it needs.
func withStepUp(login, id string) string {
	if id == "" {
		return login
	}
	sep := "?"
	if strings.Contains(login, "?") {
		sep = "&"
	}
	return login + sep + stepUpParam + "=" + url.QueryEscape(id)
}

// stepUpChallenge returns the challenge of RFC 9470 section 3.
func stepUpChallenge(e *tokenward.StepUpError) string {
	s := noCredential + `, error="` + string(codeStepUp) + `", error_description="sign in again"`
	params := e.Need.AuthorizationParams()
	if acr := params["acr_values"]; acr != "" {
		s += fmt.Sprintf(`, acr_values="%s"`, acr)
	}
	if age := params["max_age"]; age != "" {
		s += ", max_age=" + strconv.Quote(age)
	}
	return s
}
