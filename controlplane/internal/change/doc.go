// Package change is the write path: every change of the registry that a caller or the
// system makes goes through [Do].
//
// One change is one transaction. A function reads what it needs through a [Tx], decides,
// and puts what shall be; [Do] then commits all of it at once under a compare of every key
// that was read: the new values, numbered versions, the audit event, the kept answer for
// the idempotency key, and outbox items for what must happen outside. Either all of it is
// stored or nothing is.
//
// The first attempt reads from the cache, which costs no round trip; when it fails in any
// way, the function runs again on a linearizable view before its error counts, so a stale
// cache can cost time but never a wrong answer. When a compare fails, the function runs
// again on fresh values, a bounded number of times. The function must therefore have no
// effects but on its Tx.
//
// With validateOnly everything runs but the commit.
package change
