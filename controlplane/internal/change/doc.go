// Package change is the write path: every change of the registry that a caller or the
// system makes goes through [Do].
//
// One change is one transaction. A function reads what it needs through a [Tx], decides,
// and puts what shall be; [Do] then commits all of it at once under a compare of every key
// that was read: the new values, numbered versions, the audit event, the kept answer for
// the idempotency key, and outbox items for what must happen outside. Either all of it is
// stored or nothing is.
//
// # Reading
//
// The first attempt reads from the cache, which costs no round trip. When it fails in any
// way, or finds nothing to do, the function runs again on a linearizable view before that
// counts, so a stale cache can cost time but never a wrong answer. With validateOnly
// everything but the commit runs, on a linearizable view from the start.
//
// # Contention
//
// When a compare fails, the function runs again on the values that the compare returned, a
// bounded number of times; it must therefore have no effects but on its Tx. Changes of this
// server that lost on the same key go one after another. A commit whose outcome is not
// known is never tried again.
//
// # Idempotency keys
//
// The answer of a finished call is kept for a day, by the digest of principal, method and
// key, in the change's own transaction under a compare that it was not there. Two replicas
// that run the same key at once therefore make one change, and the later one answers with
// the first one's answer. Failures are not kept. Answers that hold a secret are sealed, and
// erased by the change that rolls or revokes it.
package change
