// Package audit keeps each account's log of what happened in a chain of hashes.
//
// An event is written in its change's own transaction, below resource.AuditNewPrefix,
// where nothing is compared but the change itself: a chain inside the transaction would make
// every change of an account wait for every other. The [Sealer], which runs on the leader
// and compares the leader's key in every transaction, takes what is there in the order of
// the store's revisions, gives each event its place and its hash, appends it to the
// account's segments and deletes the loose one, all in one transaction.
//
// # Order
//
// The order of a chain is the order in which the store committed the changes: within an
// account no event of a later revision is sealed before one of an earlier revision. So the
// place of an event is known before it is sealed (the sealed ones at a revision, and then
// the loose ones at the same revision in order), and a list can be paged by places while
// events are being sealed.
//
// # Hashes
//
// The hash of an event is SHA-256 over the hash before it (32 zero bytes before the first)
// and the event in the canonical form of [Canonical], which does not depend on any library.
// Changing, removing, inserting or reordering a sealed event breaks the chain from there.
// The account's head holds the last place and hash, and, where retention has dropped
// segments, the first kept place and the hash before it, so that what is kept can always be
// verified. Whoever exports the log can verify it alone.
//
// # Ownership
//
// [Sealer.Run] has one goroutine, the caller's. Everything else is safe for concurrent use.
package audit
