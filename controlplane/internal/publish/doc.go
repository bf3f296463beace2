// Package publish seals releases: it turns what the registry wants into signed manifests
// on a channel's chain. Only the leader publishes.
//
// It is level-triggered. What a channel should hold is what package compile makes of a view
// of the registry, except for documents that are held: where the wanted version is a
// suspect's or a quarantine's bad one, by hash, the good one stands in. That is compared
// with the documents at the head of the channel's chain, and with nothing else; there is no
// queue that could be lost. Watches only say where to look again.
//
// # A release
//
// A channel seals when its [Gate] is ready and something differs: changes in the order of
// the registry, at most [MaxChanges] and [MaxBytes]. The documents of one site in one
// channel stay together. Blobs are written first, then one transaction writes the manifest,
// whose key must not exist, and the head, compared by its revision. A crash in between
// leaves blobs that nothing names; the next attempt finds them. Numbers are given once: the
// head remembers the last one, also when releases are abandoned.
//
//	registry view ──compile──> wanted ──holds──┐
//	                                           ├─ differ? ──gate──> blobs ──> manifest + head
//	head ──manifests──> documents at the head ─┘
//
// # What is covered
//
// The head's cursor is the registry revision up to which every change is in the chain, or
// needs no release. A release covers the revisions from the cursor before it up to its own:
// the newest revision that was looked at where nothing is left out, else the one before the
// first change left out. Changes that need no release move the cursor alone, at most every
// [CursorInterval]. So where a change is now follows from revisions and numbers.
//
// # What moves the head back
//
// Package rollout abandons releases by moving the head to an ancestor, in a transaction of
// its own. The publisher sees that in its cache of control/ (it never decides on a cache
// that is older than its own last write or conflict), undoes the abandoned manifests in its
// own books, and looks at their documents again. Head, suspects and quarantines are always
// read from one revision, so a document can't be sealed again because its hold was not yet
// seen.
//
// # Special releases
//
// The first release of a channel is its genesis. A bisection's trial has the suspected
// versions of its first group and nothing else. A quarantined document that is tried again,
// or whose owner stored another version, goes alone. What is published again although
// nothing was stored, as after an upgrade of the compiler, goes in growing numbers, apart
// from what customers changed. The three classes take turns.
//
// # Ownership, blocking, failure
//
// [Publisher.Run] owns one goroutine a channel, so that a large release of one never delays
// another's. A failure is logged and tried again with back-off; losing the leadership ends
// Run with ledger.ErrDeposed. A document that does not compile (only possible when limits
// were lowered) keeps its version at the head and is listed in [Publisher.Status]; it never
// stops the others. At [QuotaShare] of the store's quota a channel stops, says so in the
// log, in its metrics and in [Publisher.Stopped], and goes on when there is room.
//
// A new leader looks first at what was stored after the cursor. A sweep then compares
// everything else, a little in every step, and again every hour.
//
// # What others remove
//
// Package prune removes manifests that are older than the base, and blobs that nothing names.
// A release is therefore stored on condition that each of its blobs is there as it was found
// or made: a blob that went meanwhile fails the transaction, and the next attempt makes it
// anew. A base is written of last known good when that is [BaseEvery] releases ahead of the
// one before, or much changed since, or the store fills up: also where it is too full for
// releases, because what can be pruned depends on it.
//
// # Restored backups
//
// The registry may be an older one than what was published: another cluster, or a revision
// that went back. Then the cursor begins anew, everything is compared, and the head says up to
// which number releases count in the history before. A cursor that was taken from one of
// those, because later releases were abandoned, is not believed.
//
// The edge's store may be an older one than what servers know. They report the highest number
// that they ever applied, or refused; a leader gives no number before it heard of every data
// center, or waited, and none that one of them knows.
package publish
