package store

import "reflect"

// As finds an optional ability (Exclusive, Index, Leaser, ...) of s, which may be
// wrapped. T is the ability's interface:
//
//	if ix, ok := store.As[store.Index](s); ok { ... }
//
// Abilities are looked for this way only, never by asserting on s itself, so that a
// wrapper can pass them on. A wrapper has two ways, and may have both:
//
//   - Unwrap() StateStore names the store inside. What the wrapper itself does not
//     have is looked for there.
//   - Ability(target any) bool answers for the wrapper itself, in place of its
//     method set: target is a *T, and the wrapper either sets it and returns true, or
//     returns false. That is for a wrapper whose abilities depend on the store
//     inside. Where it returns false, the search goes on with Unwrap, if there is
//     one; a wrapper without Unwrap hides the ability.
//
// A wrapper that embeds a StateStore and has neither method has no ability but
// those of its own methods.
func As[T any](s StateStore) (T, bool) {
	var ability T
	ok := Ability(s, &ability)
	return ability, ok
}

// Ability is As for a wrapper that passes on a target it was given: target is a
// non-nil pointer to the ability's interface, and is set when the answer is true.
// It panics when target is anything else.
func Ability(s StateStore, target any) bool {
	out := reflect.ValueOf(target)
	if out.Kind() != reflect.Pointer || out.IsNil() || out.Type().Elem().Kind() != reflect.Interface {
		panic("store: the target of Ability must be a non-nil pointer to an interface")
	}
	want := out.Type().Elem()
	for s != nil {
		if a, ok := s.(interface{ Ability(target any) bool }); ok {
			if a.Ability(target) {
				return true
			}
		} else if v := reflect.ValueOf(s); v.Type().Implements(want) {
			out.Elem().Set(v)
			return true
		}
		w, ok := s.(interface{ Unwrap() StateStore })
		if !ok {
			return false
		}
		s = w.Unwrap()
	}
	return false
}

// IsExclusive reports whether s belongs to this process alone. A store that does
// not say so counts as shared.
func IsExclusive(s StateStore) bool {
	e, ok := As[Exclusive](s)
	return ok && e.Exclusive()
}
