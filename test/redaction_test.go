package test_test

import (
	"encoding/hex"
	"go/ast"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/grants"
	"github.com/tokenward/tokenward/internal/testing/source"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/cookie"
)

// tokenSets are the fields of token sets that may be printed.
const tokenSets = "TokenSet.Audience TokenSet.Scope TokenSet.RequestedScope TokenSet.ActualAudience " +
	"ConnectionTokenSet.Connection ConnectionTokenSet.LoginHint ConnectionTokenSet.Scope"

// shows lists every exported struct of the packages whose values a host, an error or a
// message may carry, each with the text fields that may be printed: none of
// them is a secret. A struct that is new, or a field of one, has to be decided on here.
var shows = []struct {
	of     reflect.Type
	fields string
}{
	{reflect.TypeFor[tokenward.Client](), "issuer Config.ClientID"},
	{reflect.TypeFor[tokenward.CloseError](), ""},
	{reflect.TypeFor[tokenward.Config](), "Domain Issuer ClientID"},
	{reflect.TypeFor[tokenward.BreakerPolicy](), ""},
	{reflect.TypeFor[tokenward.ConnectionRequest](), "Connection LoginHint"},
	{reflect.TypeFor[tokenward.ConnectionToken](), "Connection LoginHint Scope"},
	{reflect.TypeFor[tokenward.Cookies](), "Domain Path"},
	{reflect.TypeFor[tokenward.Credentials](), "Auth"},
	{reflect.TypeFor[tokenward.ExchangeRequest](), "Audience Scope"},
	{reflect.TypeFor[tokenward.ExchangedToken](), "Token.Audience Token.Scope Token.ActualAudience"},
	{reflect.TypeFor[tokenward.Handle](), ""},
	{reflect.TypeFor[tokenward.Hooks](), ""},
	{reflect.TypeFor[tokenward.Limits](), ""},
	{reflect.TypeFor[tokenward.Login](), "User AppState Domain"},
	{reflect.TypeFor[tokenward.LoginRefusedError](), ""},
	{reflect.TypeFor[tokenward.Refreshed](), "Audience Connection Scope"},
	{reflect.TypeFor[tokenward.RefreshFailure](), "Audience Connection"},
	{reflect.TypeFor[tokenward.StepUp](), "ACRValues"},
	{reflect.TypeFor[tokenward.StepUpError](), "StepUp.ACRValues"},
	{reflect.TypeFor[tokenward.SessionEnd](), "Reason Subject SID Domain"},
	{reflect.TypeFor[tokenward.LoginRequest](), "AppState AuthorizationParams Organization Invitation"},
	{reflect.TypeFor[tokenward.LoginResult](), "AppState Session.User Session.Domain " + tokenSets},
	{reflect.TypeFor[tokenward.LogoutRequest](), "ReturnTo Params"},
	{reflect.TypeFor[tokenward.MachineRequest](), "Audience Scope TokenRequest.Audience TokenRequest.Scope"},
	{reflect.TypeFor[tokenward.NotReadyError](), ""},
	{reflect.TypeFor[tokenward.RetryPolicy](), ""},
	{reflect.TypeFor[tokenward.Session](), "User Domain " + tokenSets},
	{reflect.TypeFor[tokenward.Stats](), ""},
	{reflect.TypeFor[tokenward.StoreOptions](), ""},
	{reflect.TypeFor[tokenward.Token](), "Audience Scope ActualAudience"},
	{reflect.TypeFor[tokenward.TokenRequest](), "Audience Scope"},

	{reflect.TypeFor[session.APIError](), "Code Description"},
	{reflect.TypeFor[session.AccessTokenError](), "Code Message"},
	{reflect.TypeFor[session.ApplyOptions](), "ClientID Issuer"},
	{reflect.TypeFor[session.BackchannelLogoutError](), "Message"},
	{reflect.TypeFor[session.BreakerOpenError](), "Issuer"},
	{reflect.TypeFor[session.BreakerPolicy](), ""},
	{reflect.TypeFor[session.ConfigurationError](), "Message"},
	{reflect.TypeFor[session.ConnectionToken](), "Connection LoginHint Scope"},
	{reflect.TypeFor[session.ConnectionTokenError](), "Code Message"},
	{reflect.TypeFor[session.ConnectionTokenSet](), "Connection LoginHint Scope"},
	{reflect.TypeFor[session.Demand](), ""},
	{reflect.TypeFor[session.Demanded](), ""},
	{reflect.TypeFor[session.DomainResolverError](), "Message"},
	{reflect.TypeFor[session.FlightKey](), "Audience Scopes Connection LoginHint"},
	{reflect.TypeFor[session.Held](), ""},
	{reflect.TypeFor[session.IDClaims](), "Issuer Subject Audience All"},
	{reflect.TypeFor[session.Internal](), "SID GrantedAudience GrantedScope AskedScope ClientID"},
	{reflect.TypeFor[session.InvalidArgumentError](), "Argument Message"},
	{reflect.TypeFor[session.IssuerValidationError](), "Message"},
	{reflect.TypeFor[session.Limits](), ""},
	{reflect.TypeFor[session.Login](), "Audience Claims Domain ClientID Scope IDClaims.* TokenResponse.Scope TokenResponse.TokenType TokenResponse.TokenAudience TokenResponse.AuthorizationDetails TokenResponse.IssuedTokenType"},
	{reflect.TypeFor[session.MFARequiredError](), "MFAToken Requirements AccessTokenError.Code AccessTokenError.Message"}, // the token is sealed
	{reflect.TypeFor[session.MissingRequiredArgumentError](), "Argument"},
	{reflect.TypeFor[session.MissingTransactionError](), ""},
	{reflect.TypeFor[session.OrganizationTokenValidationError](), "Message"},
	{reflect.TypeFor[session.Packed](), ""},
	{reflect.TypeFor[session.Policy](), "Audience Scope ScopeFor"},
	{reflect.TypeFor[session.RegistrationID](), "Issuer ClientID"},
	{reflect.TypeFor[session.TokenQuery](), "Audience configured named Scope Want FlightKey.*"},
	{reflect.TypeFor[session.RetryPolicy](), ""},
	{reflect.TypeFor[session.Session](), "User Domain " + tokenSets},
	{reflect.TypeFor[session.SessionExpiredError](), "Message"},
	{reflect.TypeFor[session.State](), "User Domain Internal.SID Internal.GrantedAudience Internal.GrantedScope Internal.AskedScope Internal.ClientID " + tokenSets},
	{reflect.TypeFor[session.Token](), "Audience Scope ActualAudience"},
	{reflect.TypeFor[session.TokenCache](), ""},
	{reflect.TypeFor[session.TokenExchangeError](), "Code Message"},
	{reflect.TypeFor[session.TokenResponse](), "Scope TokenType TokenAudience AuthorizationDetails IssuedTokenType IDClaims.*"},
	{reflect.TypeFor[session.TokenSet](), "Audience Scope RequestedScope ActualAudience"},

	{reflect.TypeFor[store.Beginning](), "Owner"},
	{reflect.TypeFor[store.Begun](), "Record.Sealed Record.Release"},
	{reflect.TypeFor[store.Call](), "Op Options.Values"},
	{reflect.TypeFor[store.Codec](), "Domain"},
	{reflect.TypeFor[store.Ending](), "Reason Remainder.Sealed"},
	{reflect.TypeFor[store.Encoder](), "domain sid"},
	{reflect.TypeFor[store.GoneError](), "Reason Remainder.Sealed"},
	{reflect.TypeFor[store.Intent](), ""},
	{reflect.TypeFor[store.LeasedError](), "Owner"},
	{reflect.TypeFor[store.Memory](), ""},
	{reflect.TypeFor[store.NotServingError](), "Why Remedy"},
	{reflect.TypeFor[tokenward.Registration](), "Domain Issuer ClientID"},
	{reflect.TypeFor[tokenward.SessionQuery](), "Issuer Subject SID Email"},
	{reflect.TypeFor[tokenward.SessionInfo](), "Issuer ClientID Subject Name Email"},
	{reflect.TypeFor[tokenward.EndRequest](), "Issuer Subject SID Email"},
	{reflect.TypeFor[tokenward.ProviderConfig](), "MetadataURL Algorithms"},
	{reflect.TypeFor[tokenward.Provider](), "Issuer ClientAuth Algorithms LoginScope PKCE Nonce UserInfo Logout"},
	{reflect.TypeFor[store.Options](), "Values"},
	{reflect.TypeFor[store.StaleIntent](), ""},
	{reflect.TypeFor[store.Listing](), "After"},
	{reflect.TypeFor[store.Listed](), "Sealed"},
	{reflect.TypeFor[store.Page](), "Listed.Sealed Next"},
	{reflect.TypeFor[store.Record](), "Sealed Release"},
	{reflect.TypeFor[store.Ref](), ""},
	{reflect.TypeFor[store.Remainder](), "Sealed"},
	{reflect.TypeFor[store.Sealer](), ""},
	{reflect.TypeFor[store.Simple](), "prefix"},
	{reflect.TypeFor[store.Transactions](), "transaction.key"},
	{reflect.TypeFor[store.UnreadableError](), "Why"},

	{reflect.TypeFor[cookie.Attributes](), "Domain Path"},
	{reflect.TypeFor[cookie.Incoming](), ""},
	{reflect.TypeFor[cookie.States](), "identifier name Attributes.Domain Attributes.Path"},
	{reflect.TypeFor[cookie.Transactions](), "prefix taken.name Attributes.Domain Attributes.Path"},

	{reflect.TypeFor[idp.Client](), "clientID"},
	{reflect.TypeFor[idp.ClientCredentials](), "Issuer Audience Scope"},
	{reflect.TypeFor[idp.CodeExchange](), "Issuer"},
	{reflect.TypeFor[idp.Config](), "ClientID"},
	{reflect.TypeFor[idp.SignedToken](), "Issuer JTI Claims"},
	{reflect.TypeFor[idp.StreamEndpoints](), "Configuration Verification"},
	{reflect.TypeFor[idp.ConnectionExchange](), "Issuer Connection"},
	{reflect.TypeFor[idp.Credentials](), "Auth"},
	{reflect.TypeFor[idp.Expect](), "Nonce Organization"},
	{reflect.TypeFor[idp.LogoutOptions](), ""},
	{reflect.TypeFor[idp.LogoutToken](), "Issuer SID Subject JTI"},
	{reflect.TypeFor[idp.MFAChallenge](), ""},
	{reflect.TypeFor[idp.Metadata](), "* tenants.* StreamEndpoints.*"},
	{reflect.TypeFor[idp.RefreshRequest](), "Issuer Audience Scope"},
	{reflect.TypeFor[idp.TokenExchange](), "Issuer Audience Scope"},

	{reflect.TypeFor[messages.Abort](), ""},
	{reflect.TypeFor[messages.AbortedRest](), ""},
	{reflect.TypeFor[messages.Adopt](), ""},
	{reflect.TypeFor[messages.AtRest](), ""},
	{reflect.TypeFor[messages.Busy](), ""},
	{reflect.TypeFor[messages.CeilingReached](), ""},
	{reflect.TypeFor[messages.Changed](), ""},
	{reflect.TypeFor[messages.Close](), ""},
	{reflect.TypeFor[messages.EndSession](), ""},
	{reflect.TypeFor[messages.Finish](), ""},
	{reflect.TypeFor[messages.RecoverIntent](), ""},
	{reflect.TypeFor[messages.NeedToken](), ""},
	{reflect.TypeFor[messages.OpenSession](), ""},
	{reflect.TypeFor[messages.Passivate](), ""},
	{reflect.TypeFor[messages.Recover](), ""},
	{reflect.TypeFor[messages.Redacted](), ""},
	{reflect.TypeFor[messages.ReplaceSession](), ""},
	{reflect.TypeFor[messages.ReadRecord](), ""},
	{reflect.TypeFor[messages.SessionBegan](), ""},
	{reflect.TypeFor[messages.UpdateSession](), ""},
	{reflect.TypeFor[directory.OvertakenError](), ""},
	{reflect.TypeFor[messages.SessionEnded](), ""},
	{reflect.TypeFor[messages.SessionFailed](), ""},

	{reflect.TypeFor[directory.Answer](), "Token.Audience Token.Scope Token.ActualAudience ConnectionToken.Connection ConnectionToken.LoginHint ConnectionToken.Scope"},
	{reflect.TypeFor[directory.Call](), ""},
	{reflect.TypeFor[directory.Directory](), ""},
	{reflect.TypeFor[directory.EarlyRefresh](), ""},
	{reflect.TypeFor[directory.Entry](), ""},
	{reflect.TypeFor[directory.Flight](), ""},
	{reflect.TypeFor[directory.Freshness](), ""},
	{reflect.TypeFor[directory.Pending](), ""},
	{reflect.TypeFor[directory.Snapshot](), ""},
	{reflect.TypeFor[directory.Outcome](), "Reason"},
	{reflect.TypeFor[directory.Stats](), ""},
	{reflect.TypeFor[directory.Reading](), ""},

	{reflect.TypeFor[grants.Cache](), ""},
	{reflect.TypeFor[grants.Call](), ""},
	{reflect.TypeFor[grants.Config](), "ApplyOptions.ClientID ApplyOptions.Issuer"},
	{reflect.TypeFor[grants.Source](), "RegistrationID.ClientID RegistrationID.Issuer"},
	{reflect.TypeFor[grants.Token](), "Token.Audience Token.Scope Token.ActualAudience"},
}

// P10: whatever prints a value of ours, the text has nothing that was not decided on.
func TestRedaction_ofEveryExportedStruct(t *testing.T) {
	listed := make(map[string]bool)
	for _, s := range shows {
		listed[s.of.String()] = true
		v := reflect.New(s.of)
		fill(v.Elem(), s.of.Name(), 0)
		values := []any{v.Interface()}
		if copied(s.of) {
			values = append(values, v.Elem().Interface())
		}
		for _, value := range values {
			for _, name := range planted(everyPrint(value)) {
				if !mayShow(s.of.Name(), s.fields, name) {
					t.Errorf("%T prints %s", value, name)
				}
			}
		}
	}
	for _, folder := range []string{".", "session", "store", "store/cookie", "idp", "messages", "internal/directory", "internal/grants"} {
		for _, name := range structsIn(t, folder) {
			if !listed[name] {
				t.Errorf("%s is not in the list: say which of its fields may be printed", name)
			}
		}
	}
}

// everyPrint returns v as fmt, encoding/json, slog and zap print it.
func everyPrint(v any) string {
	var b strings.Builder
	b.WriteString(printed(v))
	out := zapcore.AddSync(&b)
	for _, encoder := range []zapcore.Encoder{zapcore.NewJSONEncoder(zap.NewDevelopmentEncoderConfig()), zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig())} {
		log := zap.New(zapcore.NewCore(encoder, out, zap.DebugLevel))
		log.Info("m", zap.Any("v", v), zap.Reflect("reflected", v), zap.Any("some", []any{v}))
		log.Sugar().Infof("%v %+v", v, v)
	}
	return b.String()
}

// planted returns the names of the canaries in text, each once.
func planted(text string) []string {
	text = hexadecimals.ReplaceAllStringFunc(text, func(s string) string {
		plain, err := hex.DecodeString(s[:len(s)&^1])
		if err != nil {
			return s
		}
		return string(plain)
	})
	found := make(map[string]bool)
	for _, m := range canary.FindAllString(text, -1) {
		found[m] = true
	}
	return slices.Sorted(maps.Keys(found))
}

var (
	canary       = regexp.MustCompile(`canary_[0-9A-Za-z]+_[0-9A-Za-z]+_`)
	hexadecimals = regexp.MustCompile(`63616e6172795f[0-9a-f]*`) // of "canary_" and what follows
)

// mayShow reports whether fields, those of the struct named of, have the canary name.
func mayShow(of, fields, name string) bool {
	for field := range strings.FieldsSeq(fields) {
		owner, field, dotted := strings.Cut(field, ".")
		if !dotted {
			owner, field = of, owner
		}
		prefix := "canary_" + owner + "_"
		if field == "*" && strings.HasPrefix(name, prefix) || strings.EqualFold(name, prefix+field+"_") {
			return true
		}
	}
	return false
}

const ourPackages = "github.com/tokenward/tokenward"

// fill writes a canary into every text that v holds, in unexported fields too. Types that
// are not ours are left as they are.
func fill(v reflect.Value, name string, depth int) {
	t := v.Type()
	if depth > 6 || t.PkgPath() != "" && !strings.HasPrefix(t.PkgPath(), ourPackages) && t.Kind() == reflect.Struct {
		return
	}
	text := "canary_" + strings.ReplaceAll(name, ".", "_") + "_"
	switch t.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Pointer:
		if e := t.Elem(); strings.HasPrefix(e.PkgPath(), ourPackages) {
			v.Set(reflect.New(e))
			fill(v.Elem(), name, depth+1)
		}
	case reflect.Struct:
		for i := range t.NumField() {
			f := v.Field(i)
			f = reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
			fill(f, t.Name()+"."+t.Field(i).Name, depth+1)
		}
	case reflect.Slice:
		switch e := t.Elem(); {
		case t.String() == "json.RawMessage":
			v.SetBytes([]byte(`"` + text + `"`))
		case e.Kind() == reflect.Uint8:
			v.SetBytes([]byte(text))
		default:
			v.Set(reflect.MakeSlice(t, 1, 1))
			fill(v.Index(0), name, depth+1)
		}
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return
		}
		value := reflect.New(t.Elem()).Elem()
		fill(value, name, depth+1)
		v.Set(reflect.MakeMap(t))
		v.SetMapIndex(reflect.ValueOf("key").Convert(t.Key()), value)
	case reflect.Interface:
		if t.NumMethod() == 0 {
			v.Set(reflect.ValueOf(text))
		}
	default: // numbers, times, functions
	}
}

// copied reports whether values of t are passed around as such, and not by pointer:
// those that hold a lock are not, nor those whose pointers print themselves.
func copied(t reflect.Type) bool {
	for _, method := range []string{"Format", "Error", "GoString"} {
		_, of := t.MethodByName(method)
		if _, ofPointer := reflect.PointerTo(t).MethodByName(method); ofPointer && !of {
			return false
		}
	}
	return !holdsLock(t)
}

func holdsLock(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		f := t.Field(i).Type
		if strings.HasPrefix(f.PkgPath(), "sync") || holdsLock(f) {
			return true
		}
	}
	return false
}

// structsIn returns the exported structs of a folder, as reflect names them.
func structsIn(t *testing.T, folder string) (names []string) {
	for _, file := range source.Files(t, folder) {
		if slash := strings.LastIndex(file.Path, "/"); max(slash, 0) != len(strings.TrimPrefix(folder, ".")) {
			continue // of a folder below
		}
		ast.Inspect(file.AST, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.IsExported() {
				if _, ok := spec.Type.(*ast.StructType); ok {
					names = append(names, file.AST.Name.Name+"."+spec.Name.Name)
				}
			}
			return true
		})
	}
	if len(names) == 0 {
		t.Errorf("no structs in %q", folder)
	}
	return names
}
