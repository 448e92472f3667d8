package bench

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

// Asked is the plain actor: one for each session, asked for every token by
// RequestFuture, and refreshing while it handles the request. Requests that arrive
// during a refresh wait for it and find the new token; so does every other message to the session.
type Asked struct {
	system *actor.ActorSystem
	mu     sync.RWMutex
	pids   map[string]*actor.PID
}

type (
	askToken  struct{ request Request }
	askExpire struct{}
	reply     struct {
		token Token
		err   error
	}
)

type askedSession struct {
	idp          *idp.Client
	refreshToken string
	ceiling      session.Ceiling
	tokens       map[Request]Token
}

// Receive implements actor.Actor.
func (a *askedSession) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *askToken:
		ctx.Respond(a.answer(m.request))
	case *askExpire:
		clear(a.tokens)
		ctx.Respond(&reply{})
	}
}

func (a *askedSession) answer(r Request) *reply {
	now := time.Now()
	if a.ceiling.Reached(now) {
		return &reply{err: errExpired}
	}
	if t, ok := a.tokens[r]; ok && now.Before(t.ExpiresAt) {
		return &reply{token: t}
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	t, next, err := refresh(ctx, a.idp, a.refreshToken, r)
	a.refreshToken = next
	if err == nil {
		a.tokens[r] = t
	}
	return &reply{t, err}
}

// NewAsked starts an actor for each session.
func NewAsked(c *idp.Client, sessions []Session) *Asked {
	quiet := actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.NewTextHandler(io.Discard, nil))
	})
	a := &Asked{system: actor.NewActorSystem(quiet), pids: make(map[string]*actor.PID)}
	for _, s := range sessions {
		a.pids[s.ID] = a.system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor {
			return &askedSession{c, s.RefreshToken, s.Ceiling, map[Request]Token{
				{}: {AccessToken: s.Token, ExpiresAt: s.ExpiresAt},
			}}
		}))
	}
	return a
}

// Token returns an access token of the session.
func (a *Asked) Token(id string, r Request) (Token, error) { return a.ask(id, &askToken{r}) }

// Expire makes every cached token of the session stale.
func (a *Asked) Expire(id string) {
	if _, err := a.ask(id, &askExpire{}); err != nil {
		panic(err)
	}
}

func (a *Asked) ask(id string, m any) (Token, error) {
	a.mu.RLock()
	pid := a.pids[id]
	a.mu.RUnlock()
	if pid == nil {
		return Token{}, errNoSession
	}
	v, err := a.system.Root.RequestFuture(pid, m, 2*requestTimeout).Result()
	if err != nil {
		return Token{}, err
	}
	r := v.(*reply)
	return r.token, r.err
}

// Close ends the actors.
func (a *Asked) Close() {
	for _, pid := range a.pids {
		a.system.Root.Stop(pid)
	}
	a.system.Shutdown()
}
