package registry

import "fmt"

// Validate checks the form of a transaction, so that every implementation refuses the same
// ones: it fails with [ErrInvalid] when there is nothing to write, a key is empty or
// written twice, and with [ErrTooLarge] above [MaxTxnOps] or [MaxRequestBytes].
func (t Txn) Validate() error {
	if len(t.Then) == 0 {
		return fmt.Errorf("%w: a transaction that writes nothing", ErrInvalid)
	}
	if len(t.Then) > MaxTxnOps || len(t.If) > MaxTxnOps {
		return fmt.Errorf("%w: %d operations and %d compares, at most %d are allowed",
			ErrTooLarge, len(t.Then), len(t.If), MaxTxnOps)
	}
	size := 0
	for _, c := range t.If {
		if c.Key == "" {
			return fmt.Errorf("%w: a compare with an empty key", ErrInvalid)
		}
		size += len(c.Key)
	}
	written := make(map[string]struct{}, len(t.Then))
	for _, op := range t.Then {
		if op.Key == "" {
			return fmt.Errorf("%w: an operation with an empty key", ErrInvalid)
		}
		if _, ok := written[op.Key]; ok {
			return fmt.Errorf("%w: key %q is written twice", ErrInvalid, op.Key)
		}
		written[op.Key] = struct{}{}
		size += len(op.Key) + len(op.Value)
	}
	if size > MaxRequestBytes {
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrTooLarge, size, MaxRequestBytes)
	}
	return nil
}

// Bounds of a page. See [ListRequest.Limit].
const (
	defaultListLimit = 1000
	maxListLimit     = 10_000
)

// PageLimit returns the number of keys that the page holds at most, with the default and
// the bound of [ListRequest.Limit] applied.
func (r ListRequest) PageLimit() int {
	switch {
	case r.Limit <= 0:
		return defaultListLimit
	case r.Limit > maxListLimit:
		return maxListLimit
	default:
		return r.Limit
	}
}
