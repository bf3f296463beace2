// Package watchcache keeps one prefix of a registry.Store in memory and current: it lists
// once, watches from there, and answers reads from immutable snapshots.
//
// # Guarantees
//
//   - A [View] is the exact content of the prefix at one revision. Views never go back in
//     revision, unless the store itself was reset to an older state.
//   - [Cache.Read] is linearizable: its view includes every write acknowledged before the
//     call. It costs one revision read of the store, which all readers that wait at the
//     same time share; a reader never joins one that began before its own call.
//   - [Cache.Cached] answers at once and says how old its answer may be.
//   - A gap is never silent. After a compaction the cache lists again, replaces its content
//     in one step, and gives subscribers the difference as one batch. After a reset of the
//     store (another cluster, or a revision that went back) it does the same, but
//     subscriptions end with a [LaggedError], since revisions no longer compare. Where the
//     other history is ahead already, reads show the old one until the watch notices, which
//     takes a heartbeat at most.
//   - What can't be known to be current fails with a [StaleError], which is a
//     registry.ErrUnavailable, within Config.ReadLimit.
//
// # Ordering
//
// One goroutine applies batches in revision order. It publishes a snapshot first, then
// wakes readers, then subscribers: whoever got an event finds it in the next view, but
// whoever has a view may get its events a moment later.
//
// # Blocking and bounds
//
// Neither readers nor subscribers can slow the cache. Events are kept for subscribers in a
// ring of Config.RingEvents and Config.RingBytes; one that falls behind its end gets a [LaggedError] and reads
// everything again. Reading a view takes no lock.
//
// # Ownership
//
// [Cache.Run] owns all goroutines and returns when they are done. Subscriptions have none.
package watchcache
