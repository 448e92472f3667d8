package telemetry

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/observe"
)

// contained returns o, a panic of which harms nothing: neither the client's work, nor another observer.
func (t *Telemetry) contained(o observe.Observer) observe.Observer {
	return observe.Observer{
		Client:  containedClient(t, o.Client),
		Call:    containedPair(t, o.Call),
		Flight:  containedPair(t, o.Flight),
		Request: containedPair(t, o.Request),
		Store:   containedPair(t, o.Store),
		Ended:   containedInstant(t, o.Ended),
		Ceiling: containedInstant(t, o.Ceiling),
	}
}

// guard contains a panic of the observer. Its value is not printed, for it may hold anything.
func (t *Telemetry) guard() {
	if r := recover(); r != nil {
		t.failed()
		t.log.Error("an Observer panicked", zap.String("panic", fmt.Sprintf("%T", r)), zap.Stack("stack"))
	}
}

func containedClient(t *Telemetry, f func(func() observe.Figures) func()) func(func() observe.Figures) func() {
	if f == nil {
		return nil
	}
	return func(figures func() observe.Figures) (closed func()) {
		defer t.guard()
		end := f(figures)
		if end == nil {
			return nil
		}
		return func() {
			defer t.guard()
			end()
		}
	}
}

func containedPair[S, E any](t *Telemetry, f func(context.Context, S) (context.Context, func(E))) func(context.Context, S) (context.Context, func(E)) {
	if f == nil {
		return nil
	}
	return func(ctx context.Context, start S) (next context.Context, end func(E)) {
		defer t.guard()
		next, last := f(ctx, start)
		if last == nil {
			return next, nil
		}
		return next, containedInstant(t, last)
	}
}

func containedInstant[E any](t *Telemetry, f func(E)) func(E) {
	if f == nil {
		return nil
	}
	return func(e E) {
		defer t.guard()
		f(e)
	}
}
