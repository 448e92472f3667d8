// Package grpcauth is for gRPC what Handle.Transport and httpauth are for HTTP: RPCs with the access token of a
// signed-in user, and servers whose calls belong to a session.
//
// A client that sends tokens, for one session or, with ContextSession, for that of each call's context:
//
//	creds, err := grpcauth.NewCredentials(auth.ContextSession(), tokenward.TokenRequest{Audience: "https://orders.example.com"})
//	...
//	conn, err := grpc.NewClient("orders.example.com:443",
//		grpc.WithTransportCredentials(credentials.NewTLS(nil)),
//		grpc.WithPerRPCCredentials(creds),
//		grpc.WithUnaryInterceptor(creds.UnaryInterceptor), // a refresh after UNAUTHENTICATED
//		grpc.WithStreamInterceptor(creds.StreamInterceptor),
//	)
//
// A server whose callers name their session in the metadata field session-id:
//
//	session := grpcauth.FromMetadata("session-id")
//	server := grpc.NewServer(
//		grpc.UnaryInterceptor(grpcauth.UnaryServerInterceptor(auth, session)),
//		grpc.StreamInterceptor(grpcauth.StreamServerInterceptor(auth, session)),
//	)
//
// # Errors
//
// Error makes a gRPC error of an error of tokenward. The interceptors and Credentials use it. FromError is its inverse: a web handler, or another
// server, that calls a server of the same application asks it of the errors that come.
//
//	if err = grpcauth.FromError(err); tokenward.CodeOf(err) != "" || ctx.Err() != nil {
//		httpauth.WriteError(w, r, err) // 401 where the user must sign in again, 503 and so on
//	}
//
// Other errors are the server's own, which have a status alone: answer them with 502, or as status.Code says.
//
//	the user must sign in again (tokenward.LoginRequired),
//	session_expired, missing_session, missing_refresh_token,
//	missing_session_domain, insufficient_user_authentication   UNAUTHENTICATED
//	mfa_required, domain_mismatch, incorrect_audience          PERMISSION_DENIED
//	overloaded                                                 RESOURCE_EXHAUSTED
//	store_error, closed; the provider did not answer, or
//	answered 429 or 5xx, or was not asked (WithBreaker)        UNAVAILABLE
//	invalid_argument, missing_required_argument_error,
//	invalid_token_format, missing_actor_token_type             INVALID_ARGUMENT; of Credentials, and where no session
//	                                                           or origin was named, INTERNAL
//	the context has ended                                      CANCELLED, DEADLINE_EXCEEDED
//	every other code                                           INTERNAL
package grpcauth
