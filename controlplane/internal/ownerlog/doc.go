// Package ownerlog tells owners in their audit logs what the engine did to documents of their
// sites: that one was quarantined, tried again, and cleared.
//
// # Once each
//
// The engine's state and the registry may be different clusters, so no transaction can have
// both. Instead a note is kept in the registry for every quarantine: what of it was told last.
// [Log] compares what is stored of a quarantine with its note, and writes the events that lie
// between them in one transaction with the new note, under a compare of the old one. Whoever
// does it, and however often, an event is therefore written once; a leader that is gone too
// long loses the compare. Inside the transaction the engine's state is read after the note, and
// linearizably, so it is never older than what the note says.
//
// Quarantines are told by what is stored of them, not by what happened: one that came and went
// while nobody kept house leaves no event. Retries are counted in the record, so none of those
// is lost.
//
// # Ownership
//
// [Log.Run] has one goroutine, the caller's, and looks twice a second. It is for the leader of
// the registry, so that replicas do not compete; correctness does not depend on that.
package ownerlog
