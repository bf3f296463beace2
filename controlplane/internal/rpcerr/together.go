package rpcerr

import "slices"

// Together makes one refusal of two whose fields break rules, so that the caller learns of
// all at once: each field once, as the first says it. Of other errors the first one counts.
func Together(first, second error) error {
	switch {
	case second == nil:
		return first
	case first == nil:
		return second
	}
	a, b := typed(first), typed(second)
	if a == nil || b == nil || a.Reason != ReasonInvalidField || b.Reason != ReasonInvalidField {
		return first
	}
	all := slices.Clone(a.Violations)
	for _, v := range b.Violations {
		if !slices.ContainsFunc(a.Violations, func(known Violation) bool { return known.Field == v.Field }) {
			all = append(all, v)
		}
	}
	return Invalid(all...)
}
