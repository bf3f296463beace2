// Package prune removes from the store of the edge what nothing can need any more:
// manifests and the marks of abandoned ones, documents, and the history of old releases.
// Only the leader prunes. Old bases go where new ones are written, in package publish.
//
// # What stays
//
// A channel has a floor ([Channel.Floor]): the oldest release that somebody may have to
// come to. It is the oldest of last known good's last [Generations], of the releases that
// are on their way, of the targets, of the head, and of the base. Manifests from the floor on
// stay, abandoned ones too; older ones go, each with its mark. A data center that is drained,
// pinned or dark keeps its target's manifests for [Behind] releases, or until the store is
// half full; then it bootstraps when it returns.
//
// The floor is never above the base, which lists all documents at one release of the live
// chain. Whoever has a release above the floor goes from there to any other one above it,
// back and forth over manifests that are there; whoever has an older one, or nothing, begins
// with the base. Only manifests and the base define states, never what etcd remembers.
//
// Of documents those stay that the base lists, that a kept manifest brings or replaces, and
// that are the good version of a suspect or of a quarantine. The state at any kept release is
// thereby whole: a document has there the version that the base lists, or one that a kept
// manifest on the way brought, or replaced.
//
// Of finished releases the [History] newest of each channel stay, those whose manifest is
// kept, and those that a quarantine, a suspect or a revert names.
//
// # Why nothing goes that is needed a moment later
//
// Manifests go in a transaction that compares the leader's key, the channel's head, its
// rollout record and its base, that is, everything that the floor follows from.
//
// Documents go in a transaction that compares the leader's key and the heads of all channels,
// after everything was marked that these heads, the bases and the holds need. A new reference
// to a document can only come from two sides:
//
//   - A release is sealed. That changes the head, so a removal decided before it fails. And
//     the release is stored on condition that every document of it is there, as it was found
//     or made: a release decided before the removal fails, and makes its documents anew. One
//     of the two transactions is the first, and the other one then fails; the order in which
//     processes do things, and what became of a write that nobody heard of again, plays no
//     part.
//   - A document becomes held: its good version is one that a manifest replaced, which is
//     marked as long as the manifest is kept. An operator's rollback reads an old manifest
//     before it holds: while such a command waits no document goes, and one that comes later
//     finds the manifest gone.
//
// # Work
//
// It is level-triggered: every round decides from what is stored, so that a new leader goes on
// wherever the old one was, and nothing is remembered but when the last sweep was. Removing
// manifests takes transactions of a few, with pauses; documents are found by a sweep over all
// their keys, in pages, when manifests went, and now and then anyway for those that a crash
// left before any manifest named them. A sweep needs 8 bytes of memory for each document.
// What can't be read (a manifest that nobody trusted signed) keeps all documents, and says so.
//
// # Ownership
//
// [Pruner.Run] is one goroutine, of the leader. Decisions ([Channel]) are pure.
package prune
