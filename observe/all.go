package observe

import "context"

// All returns an Observer that tells each of observers, in this order. At the end of a pair the last one hears first, as with
// defer. Each gets the context that the one before it has returned.
func All(observers ...Observer) Observer {
	switch len(observers) {
	case 0:
		return Observer{}
	case 1:
		return observers[0]
	}
	a, b := observers[0], All(observers[1:]...)
	return Observer{
		Client:  clients(a.Client, b.Client),
		Call:    pairs(a.Call, b.Call),
		Flight:  pairs(a.Flight, b.Flight),
		Request: pairs(a.Request, b.Request),
		Store:   pairs(a.Store, b.Store),
		Ended:   instants(a.Ended, b.Ended),
		Ceiling: instants(a.Ceiling, b.Ceiling),
	}
}

func clients(a, b func(func() Figures) func()) func(func() Figures) func() {
	if a == nil || b == nil {
		return either(a, b, a == nil)
	}
	return func(figures func() Figures) func() {
		endA, endB := a(figures), b(figures)
		return func() {
			if endB != nil {
				endB()
			}
			if endA != nil {
				endA()
			}
		}
	}
}

func pairs[S, E any](a, b func(context.Context, S) (context.Context, func(E))) func(context.Context, S) (context.Context, func(E)) {
	if a == nil || b == nil {
		return either(a, b, a == nil)
	}
	return func(ctx context.Context, start S) (context.Context, func(E)) {
		first, endA := a(ctx, start)
		if first == nil {
			first = ctx
		}
		second, endB := b(first, start)
		if second == nil {
			second = first
		}
		return second, func(end E) {
			if endB != nil {
				endB(end)
			}
			if endA != nil {
				endA(end)
			}
		}
	}
}

func instants[E any](a, b func(E)) func(E) {
	if a == nil || b == nil {
		return either(a, b, a == nil)
	}
	return func(e E) {
		a(e)
		b(e)
	}
}

func either[F any](a, b F, second bool) F {
	if second {
		return b
	}
	return a
}
