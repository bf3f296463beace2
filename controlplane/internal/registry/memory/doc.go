// Package memory is the store's contract in memory, for tests of everything above the
// registry. It keeps the whole contract, history and leases included, and passes the same
// conformance suite as registry/etcd. It adds what tests need to do to a store: compact
// it, make it unavailable, lose the answer of a write, keep watches silent, and put an
// older state back.
//
// Ordering: one lock orders all transactions. A watch has a queue of its own, filled under
// that lock, so it never sees revisions out of order.
//
// Blocking: no call waits for a watcher. A watcher that lags by more than
// Config.MaxBuffered events is ended with registry.ErrUnavailable.
//
// Ownership: every watch has one goroutine, which ends with the watch's context or with
// [Store.Close], whichever is first. Time comes only from Config.Clock.
package memory
