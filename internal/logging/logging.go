// Package logging has the logger of a client that was given none, and the lines that have a form of
// their own: those of the actor library, and losses of the store.
package logging

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Default returns a logger that writes warnings and errors to standard error, a line each.
func Default() *zap.Logger {
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.ISO8601TimeEncoder
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(config), zapcore.Lock(os.Stderr), zap.WarnLevel)).Named("tokenward")
}

// NewActorSystem returns an actor system that logs to log.
func NewActorSystem(log *zap.Logger) *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slogHandler{log.Named("actor").WithOptions(zap.WithCaller(false))})
	}))
}

// slogHandler hands what the actor library logs to zap. What the library says
// about its own life is for debugging only.
type slogHandler struct{ log *zap.Logger }

// Enabled implements slog.Handler.
func (h slogHandler) Enabled(_ context.Context, l slog.Level) bool {
	return h.log.Core().Enabled(zapLevel(l))
}

// Handle implements slog.Handler.
func (h slogHandler) Handle(_ context.Context, r slog.Record) error {
	fields := make([]zap.Field, 0, r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool {
		fields = append(fields, zapField(a))
		return true
	})
	if ce := h.log.Check(zapLevel(r.Level), r.Message); ce != nil {
		ce.Write(fields...)
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (h slogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	fields := make([]zap.Field, len(attrs))
	for i, a := range attrs {
		fields[i] = zapField(a)
	}
	return slogHandler{h.log.With(fields...)}
}

// WithGroup implements slog.Handler.
func (h slogHandler) WithGroup(name string) slog.Handler {
	return slogHandler{h.log.With(zap.Namespace(name))}
}

// zapField keeps plain values. Of anything else, which may be a message or the value
// of a panic, it shows the type.
func zapField(a slog.Attr) zap.Field {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString, slog.KindInt64, slog.KindUint64, slog.KindFloat64, slog.KindBool, slog.KindDuration, slog.KindTime:
		return zap.String(a.Key, v.String())
	default:
		if pid, ok := v.Any().(*actor.PID); ok {
			return zap.String(a.Key, pid.GetId())
		}
		return zap.String(a.Key, fmt.Sprintf("%T", v.Any()))
	}
}

func zapLevel(l slog.Level) zapcore.Level {
	switch {
	case l >= slog.LevelError:
		return zapcore.ErrorLevel
	case l >= slog.LevelWarn:
		return zapcore.WarnLevel
	}
	return zapcore.DebugLevel
}
