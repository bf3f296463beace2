// Package feed brings an agent what etcd holds: one watch on edge/ that tells the targets
// of its data center and stages content before a target names it, and reads of what is
// missing when one does.
//
// # Ordering
//
// A list of the targets at revision R, then a watch from R+1. The publisher writes
// documents before the manifest that names them, and that before the target, so whoever
// sees a target may have all it needs. Staged content is hashed and counted against a
// quota; it is not decoded, and the oldest is dropped when the quota is reached: it is
// read by key when it is needed.
//
// # What can go wrong
//
// A compacted watch, or one that ended, is followed by a new list. A cluster that changed
// its ID, or whose revision is below one that was seen, was restored from a backup: then
// what is staged is dropped, and the list is read again. With every list, [Feed.Epoch]
// grows: its user then compares releases and not only their numbers, since a restored
// cluster gives numbers again. A heartbeat reads the targets now and then: it finds
// a watch that is silent though a target changed, and a restored cluster on which the
// watch waits for a revision that is long to come. A target that is gone changes nothing.
//
// [Feed.Run] owns the watch and returns when its context ends. Other methods may be called
// at any time by several goroutines; those with a context block on etcd.
package feed
