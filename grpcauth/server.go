package grpcauth

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tokenward/tokenward"
)

// Session says whose session an incoming call is about, as a rule by its metadata (metadata.FromIncomingContext). An error
// refuses the call: with the error's own gRPC status, or UNAUTHENTICATED where it has none. ErrPublic lets it in without
// a session.
type Session func(ctx context.Context) (tokenward.StoreOptions, error)

// ErrPublic is what a Session returns for a call that needs no session, such as a health check. grpc.Method names the call.
var ErrPublic = errors.New("grpcauth: the call needs no session")

// FromMetadata returns a Session that takes the session's id from a field of the metadata. The id opens the session, so it
// belongs on encrypted connections only, and strangers may try ids: each costs a look into the store. A call that lacks the
// field, or has it twice, is refused. Its callers are servers of the same application, which have the id from
// tokenward.LoginResult.SessionID (httpauth.OnLogin), and send it by metadata.AppendToOutgoingContext; the Client here has the
// same store, Secrets and registration as theirs.
func FromMetadata(field string) Session {
	return func(ctx context.Context) (tokenward.StoreOptions, error) {
		ids := metadata.ValueFromIncomingContext(ctx, field)
		if len(ids) != 1 {
			return tokenward.SessionID(""), nil
		}
		return tokenward.SessionID(ids[0]), nil
	}
}

// UnaryServerInterceptor lets in calls whose session lives, and answers the others with UNAUTHENTICATED and missing_session,
// whether the session has ended, was never there or was not named; or with what the package's table says of the error of
// GetUser. Of a user whom the provider has revoked the next GetAccessToken says so. In the handler calls of c with zero StoreOptions are about that session,
// and so is c.ContextSession. Errors of tokenward that the handler returns get the status of the table.
func UnaryServerInterceptor(c *tokenward.Client, session Session) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		ctx, err := attach(ctx, c, session)
		if err != nil {
			return nil, err
		}
		answer, err := handler(ctx, req)
		return answer, Error(err)
	}
}

// StreamServerInterceptor is UnaryServerInterceptor for streams. The session is looked at when the stream begins. A
// stream that outlives it goes on, but gets no more tokens: one that must end then asks c.GetUser from time to time, or is
// ended by Hooks.SessionEnded.
func StreamServerInterceptor(c *tokenward.Client, session Session) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx, err := attach(stream.Context(), c, session)
		if err != nil {
			return err
		}
		return Error(handler(srv, &streamWith{stream, ctx}))
	}
}

// streamWith is a stream with another context.
type streamWith struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // grpc.ServerStream has one
}

// Context implements grpc.ServerStream.
func (s *streamWith) Context() context.Context { return s.ctx }

// attach returns ctx with the session of an incoming call, or the error that answers it.
func attach(ctx context.Context, c *tokenward.Client, session Session) (context.Context, error) {
	o, err := session(ctx)
	switch _, has := status.FromError(err); {
	case errors.Is(err, ErrPublic):
		return ctx, nil
	case !has && codeOf(err) == codes.Unknown: // the host's own words, which are not for strangers
		return nil, withStatus(codes.Unauthenticated, err)
	case err != nil:
		return nil, Error(err)
	}
	user, err := c.GetUser(ctx, o)
	var unnamed *tokenward.InvalidArgumentError
	switch {
	case errors.As(err, &unnamed) && unnamed.Argument == "session":
		return nil, withStatus(codes.Unauthenticated, tokenward.ErrMissingSession)
	case err != nil:
		return nil, Error(err)
	case user == nil:
		return nil, withStatus(codes.Unauthenticated, tokenward.ErrMissingSession)
	}
	return tokenward.ContextWith(ctx, o), nil
}
