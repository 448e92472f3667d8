package logging

import (
	"context"
	"log/slog"
	"maps"
	"slices"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Of is a field that says to whose call a line belongs. A logger of FromSlog gives ctx to its handler, so that this can add the
// ids of its trace; other cores of zap leave the field out, or look for a context in it.
func Of(ctx context.Context) zap.Field {
	return zap.Field{Key: "context", Type: zapcore.SkipType, Interface: ctx}
}

// FromSlog returns a logger that writes to h: levels, fields, groups, times and callers are kept, a name is the field logger.
func FromSlog(h slog.Handler) *zap.Logger { return zap.New(&slogCore{handler: h}, zap.AddCaller()) }

// slogCore is a zapcore.Core that writes to a slog.Handler.
type slogCore struct {
	handler slog.Handler
	ctx     context.Context //nolint:containedctx // of the fields that it has
}

// Enabled implements zapcore.LevelEnabler.
func (c *slogCore) Enabled(l zapcore.Level) bool {
	return c.handler.Enabled(context.Background(), slogLevel(l))
}

// With implements zapcore.Core.
func (c *slogCore) With(fields []zap.Field) zapcore.Core {
	next := *c
	var attrs []slog.Attr
	for i, f := range fields {
		if f.Type == zapcore.NamespaceType {
			next.handler = next.handler.WithAttrs(attrs).WithGroup(f.Key)
			return next.With(fields[i+1:])
		}
		next.ctx, attrs = attrOf(next.ctx, attrs, f)
	}
	if len(attrs) > 0 {
		next.handler = next.handler.WithAttrs(attrs)
	}
	return &next
}

// Check implements zapcore.Core.
func (c *slogCore) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return to.AddCore(e, c)
	}
	return to
}

// Write implements zapcore.Core.
func (c *slogCore) Write(e zapcore.Entry, fields []zap.Field) error {
	r := slog.NewRecord(e.Time, slogLevel(e.Level), e.Message, e.Caller.PC)
	if !e.Caller.Defined {
		r.PC = 0
	}
	if e.LoggerName != "" {
		r.AddAttrs(slog.String("logger", e.LoggerName))
	}
	ctx, attrs := attrsOf(c.ctx, fields)
	r.AddAttrs(attrs...)
	if e.Stack != "" {
		r.AddAttrs(slog.String("stacktrace", e.Stack))
	}
	if ctx == nil {
		ctx = context.Background()
	}
	return c.handler.Handle(ctx, r)
}

// Sync implements zapcore.Core.
func (c *slogCore) Sync() error { return nil }

// attrsOf returns fields as attributes, and the context among them, or else ctx.
func attrsOf(ctx context.Context, fields []zap.Field) (context.Context, []slog.Attr) {
	var attrs []slog.Attr
	for i, f := range fields {
		if f.Type == zapcore.NamespaceType {
			inner, rest := attrsOf(ctx, fields[i+1:])
			return inner, append(attrs, slog.Attr{Key: f.Key, Value: slog.GroupValue(rest...)})
		}
		ctx, attrs = attrOf(ctx, attrs, f)
	}
	return ctx, attrs
}

func attrOf(ctx context.Context, attrs []slog.Attr, f zap.Field) (context.Context, []slog.Attr) {
	if f.Type == zapcore.SkipType {
		if of, ok := f.Interface.(context.Context); ok {
			return of, attrs
		}
		return ctx, attrs
	}
	values := zapcore.NewMapObjectEncoder()
	f.AddTo(values)
	for _, key := range slices.Sorted(maps.Keys(values.Fields)) { // an error may have a second one, with all of its text
		attrs = append(attrs, slog.Any(key, values.Fields[key]))
	}
	return ctx, attrs
}

func slogLevel(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError + slog.Level(l-zapcore.ErrorLevel)
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	case l == zapcore.InfoLevel:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}
