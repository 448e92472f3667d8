package grpcauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/internal/bearer"
)

// Credentials send the session's access token with each RPC, as "authorization: Bearer ...". They are
// credentials.PerRPCCredentials, for grpc.WithPerRPCCredentials or for single calls grpc.PerRPCCredentials, and safe for
// concurrent use. Each RPC asks GetAccessToken, with the RPC's context. An RPC fails with its error, and nothing is sent: so
// no RPC that is begun after the ceiling, or after Logout has returned, has a token.
type Credentials struct {
	handle  *tokenward.Handle
	request tokenward.TokenRequest
	origins []bearer.Origin
}

var _ credentials.PerRPCCredentials = (*Credentials)(nil)

// NewCredentials returns credentials of the session h for servers at the origins of the URLs in origins, or where there
// are none at that of r.Audience. Each must be https, or http on a loopback host: the token is sent over TLS alone but
// to these. A test without TLS names "http://"+listener.Addr().String(); one on bufconn a made-up http://localhost:80, and
// dials with grpc.WithAuthority("localhost:80"), which gRPC takes for the server's name. It fails with an *InvalidArgumentError where one is not, or there is none.
func NewCredentials(h *tokenward.Handle, r tokenward.TokenRequest, origins ...string) (*Credentials, error) {
	c := &Credentials{handle: h, request: r}
	if len(origins) == 0 {
		origins = []string{r.Audience}
	}
	for _, u := range origins {
		origin, problem := bearer.ParseOrigin(u)
		if problem != "" {
			return nil, &tokenward.InvalidArgumentError{Argument: "origins", Message: "name the servers that the token may be sent to; one of them, or the audience, " + problem}
		}
		c.origins = append(c.origins, origin)
	}
	return c, nil
}

// Format prints c without the session.
func (c *Credentials) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "grpcauth.Credentials(%v)", c.origins)
}

// RequireTransportSecurity implements credentials.PerRPCCredentials. It is false where one of the origins is http, on a
// loopback host; then GetRequestMetadata looks at each connection.
func (c *Credentials) RequireTransportSecurity() bool {
	return !slices.ContainsFunc(c.origins, func(o bearer.Origin) bool { return strings.HasPrefix(string(o), "http:") })
}

// GetRequestMetadata implements credentials.PerRPCCredentials. It fails, with a gRPC status, where no token can be had,
// or where the connection leads to another origin. An RPC that has authorization metadata of its own is sent as it is.
func (c *Credentials) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	if to := origin(ctx, uri); to == "" || !slices.Contains(c.origins, to) {
		return nil, local(&tokenward.InvalidArgumentError{
			Argument: "origins",
			Message:  fmt.Sprintf("this connection leads to %s, and the token may be sent to %v alone (NewCredentials)", cmp.Or(to, "no server that can be named"), c.origins),
		})
	}
	if own, _ := metadata.FromOutgoingContext(ctx); len(own.Get("authorization")) > 0 {
		return nil, nil
	}
	token, err := c.handle.GetAccessToken(ctx, c.request)
	switch {
	case err != nil:
		return nil, local(err)
	case !bearer.Sendable(token.AccessToken):
		return nil, local(&tokenward.AccessTokenError{Code: "refresh_token_error", Message: "the provider issued a token with characters that no metadata may have"})
	}
	if a, ok := ctx.Value(attemptKey{c}).(*attempt); ok {
		a.note(token.AccessToken)
	}
	return map[string]string{"authorization": "Bearer " + token.AccessToken}, nil
}

// origin returns where the connection that ctx is of leads, "" where that is unknown. gRPC gives uri as https, without
// the port 443, however the connection is secured; RequestInfo says that.
func origin(ctx context.Context, uri []string) bearer.Origin {
	if len(uri) != 1 {
		return ""
	}
	u, err := url.Parse(uri[0])
	if err != nil {
		return ""
	}
	scheme, host := "http", u.Host
	info, _ := credentials.RequestInfoFromContext(ctx)
	if info.AuthInfo != nil && credentials.CheckSecurityLevel(info.AuthInfo, credentials.PrivacyAndIntegrity) == nil {
		scheme = "https"
	}
	if u.Port() == "" {
		host = u.Host + ":443"
	}
	return bearer.OriginOf(scheme, host)
}

// local returns err as credentials may: gRPC changes their INVALID_ARGUMENT, which is the server's to say, into an
// error of another type.
func local(err error) error {
	if codeOf(err) == codes.InvalidArgument {
		return withStatus(codes.Internal, err)
	}
	return Error(err)
}

// UnaryInterceptor is a grpc.UnaryClientInterceptor. An RPC that the server has refused as UNAUTHENTICATED has the token
// refreshed, once for all RPCs that were refused (TokenRequest.Refused), and is sent once more; that answer counts. The
// first refusal counts where no other token can be had. Where the user must sign in again, the error of GetAccessToken is
// returned in its place.
func (c *Credentials) UnaryInterceptor(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	var a attempt
	err := invoker(context.WithValue(ctx, attemptKey{c}, &a), method, req, reply, cc, opts...)
	if again, err := c.afterwards(ctx, &a, err); !again {
		return err
	}
	return invoker(ctx, method, req, reply, cc, opts...)
}

// StreamInterceptor is a grpc.StreamClientInterceptor. A stream that the server has ended as UNAUTHENTICATED has the token
// refreshed as UnaryInterceptor does, before its RecvMsg returns that. It is not sent again: the next RPC has the new token.
func (c *Credentials) StreamInterceptor(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	var a attempt
	stream, err := streamer(context.WithValue(ctx, attemptKey{c}, &a), desc, cc, method, opts...)
	if err != nil {
		return nil, err
	}
	return &clientStream{stream, func(err error) error { _, err = c.afterwards(ctx, &a, err); return err }}, nil
}

type clientStream struct {
	grpc.ClientStream
	afterwards func(error) error
}

// RecvMsg implements grpc.ClientStream.
func (s *clientStream) RecvMsg(m any) error { return s.afterwards(s.ClientStream.RecvMsg(m)) }

// afterwards has the token refreshed where err is the server's refusal of the one that was sent. It reports whether there is
// another one, and returns the error that counts where there is none.
func (c *Credentials) afterwards(ctx context.Context, a *attempt, err error) (again bool, _ error) {
	if status.Code(err) != codes.Unauthenticated || errors.As(err, new(*statusError)) {
		return false, err
	}
	refused := a.take()
	if refused == "" {
		return false, err
	}
	r := c.request
	r.Refused = refused
	token, failed := c.handle.GetAccessToken(ctx, r)
	switch {
	case failed != nil && (ctx.Err() != nil || tokenward.LoginRequired(failed)):
		return false, local(failed)
	case failed != nil:
		return false, err
	}
	return token.AccessToken != refused, err
}

// attempt is one try of an RPC, in its context: gRPC may ask for its metadata several times.
type attempt struct {
	mu    sync.Mutex
	token string
}

type attemptKey struct{ of *Credentials }

func (a *attempt) note(token string) {
	a.mu.Lock()
	a.token = token
	a.mu.Unlock()
}

// take returns the token that was sent last, once; "" for none.
func (a *attempt) take() (token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	token, a.token = a.token, ""
	return token
}
