package events_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/signals"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/bolt"
	"github.com/tokenward/tokenward/store/redis"
)

// childEnv holds what a receiver is to be. The test program that finds it is one.
const childEnv = "TOKENWARD_EVENTS"

// plan says what a receiver is.
type plan struct {
	Issuer string
	Poll   string // the endpoint that it polls
	Home   home
}

// home is where the sessions are.
type home struct {
	File   string // of bolt; empty: Redis
	URL    string
	Prefix string
}

func (h home) open(ctx context.Context) (store.StateStore, io.Closer, error) {
	if h.File != "" {
		b, err := bolt.Open(h.File)
		return b, b, err
	}
	r, err := redis.Open(ctx, h.URL, redis.Prefix(h.Prefix))
	return r, r, err
}

// client returns a client on a store. What it logs goes to standard error.
func (h home) client(ctx context.Context, issuer string) (*tokenward.Client, io.Closer, error) {
	s, closer, err := h.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.Lock(os.Stderr), zap.WarnLevel))
	c, err := tokenward.New(tokenward.Config{
		Issuer: issuer, ClientID: idptest.ClientID, ClientSecret: idptest.ClientSecret,
		Secrets: []string{"a secret of at least thirty-two bytes"}, RedirectURI: "http://127.0.0.1/callback",
	}, tokenward.WithStateStore(s), tokenward.WithProvider(tokenward.ProviderConfig{Algorithms: []string{"ES256"}}), tokenward.WithLogger(log))
	if err != nil {
		return nil, nil, errors.Join(err, closer.Close())
	}
	return c, closer, nil
}

// receive is the main of a receiver: it polls, and takes pushes at the address that it says on standard output, until it is
// killed or its standard input ends.
func receive() error {
	var p plan
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &p); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client, closer, err := p.Home.client(ctx, p.Issuer)
	if err != nil {
		return err
	}
	defer func() { _ = closer.Close() }()
	receiver, err := signals.NewReceiver(client, signals.Config{Issuer: p.Issuer, Audience: idptest.EventAudience, Algorithms: []string{"ES256"}})
	if err != nil {
		return err
	}
	defer receiver.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: receiver.Push(), ReadHeaderTimeout: time.Minute}
	defer func() { _ = server.Close() }()
	go func() { _ = server.Serve(listener) }()
	go func() { _ = receiver.Poll(ctx, p.Poll) }()
	fmt.Printf("http://%s/\n", listener.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
