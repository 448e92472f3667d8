package logging_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/internal/logging"
)

// Fields, groups, names and levels arrive as a slog.Logger would have written them.
func TestFromSlog_keepsWhatALineSays(t *testing.T) {
	tests := map[string]struct {
		log  func(*zap.Logger)
		want map[string]any
	}{
		"fields": {
			func(l *zap.Logger) {
				l.Warn("m", zap.String("s", "a"), zap.Int("n", 3), zap.Duration("d", time.Second), zap.Error(errors.New("e")))
			},
			map[string]any{"level": "WARN", "msg": "m", "s": "a", "n": 3.0, "d": 1e9, "error": "e"},
		},
		"with, and a name": {
			func(l *zap.Logger) { l.Named("actor").With(zap.String("s", "a")).Error("m") },
			map[string]any{"level": "ERROR", "msg": "m", "s": "a", "logger": "actor"},
		},
		"a group": {
			func(l *zap.Logger) { l.Info("m", zap.Int("out", 1), zap.Namespace("g"), zap.Int("in", 2)) },
			map[string]any{"level": "INFO", "msg": "m", "out": 1.0, "g": map[string]any{"in": 2.0}},
		},
		"a group with": {
			func(l *zap.Logger) {
				l.With(zap.Int("out", 1), zap.Namespace("g"), zap.Int("in", 2)).Info("m", zap.Int("x", 3))
			},
			map[string]any{"level": "INFO", "msg": "m", "out": 1.0, "g": map[string]any{"in": 2.0, "x": 3.0}},
		},
		"too low":   {func(l *zap.Logger) { l.Debug("m") }, nil},
		"a context": {func(l *zap.Logger) { l.Info("m", logging.Of(context.Background())) }, map[string]any{"level": "INFO", "msg": "m"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			tt.log(logging.FromSlog(slog.NewJSONHandler(&out, nil)))
			var got map[string]any
			if out.Len() > 0 {
				if err := json.Unmarshal(out.Bytes(), &got); err != nil {
					t.Fatal(err)
				}
				delete(got, "time")
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("the line is %v, want %v", got, tt.want)
			}
		})
	}
}

// The handler gets the context of the line, or of the logger, and the place of the call.
func TestFromSlog_contextAndCaller(t *testing.T) {
	type key struct{}
	h := &seen{}
	log := logging.FromSlog(h)
	log.Info("m", logging.Of(context.WithValue(t.Context(), key{}, 1)))
	log.With(logging.Of(context.WithValue(t.Context(), key{}, 2))).Info("m")
	if len(h.contexts) != 2 || h.contexts[0].Value(key{}) != 1 || h.contexts[1].Value(key{}) != 2 {
		t.Errorf("contexts: %v", h.contexts)
	}
	if source := h.last.Source(); source == nil || source.Line == 0 {
		t.Errorf("the caller is %v", source)
	}
}

// seen is a handler that keeps what it got.
type seen struct {
	contexts []context.Context //nolint:containedctx // looked at afterwards
	last     slog.Record
}

func (h *seen) Enabled(context.Context, slog.Level) bool { return true }

func (h *seen) Handle(ctx context.Context, r slog.Record) error {
	h.contexts, h.last = append(h.contexts, ctx), r
	return nil
}

func (h *seen) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h *seen) WithGroup(string) slog.Handler      { return h }
