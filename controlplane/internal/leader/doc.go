// Package leader elects one leader among processes by a leased key in a registry.Store, and
// gives it what it needs to write safely.
//
// An election does not exclude: a leader that was paused may go on for a moment after its
// lease ended and another took over. So every transaction of a leader includes
// [Term.Fence], a condition that holds only while the leader's key is the one that it
// wrote. The context that the leader works under ends well before the lease could, which
// keeps such moments rare; the fence makes them harmless.
//
// A term's number grows with every election, and is kept in the store beside the leader's
// key. It is never below the clock's seconds either, so that it also grows when an older
// backup of the store is put in place.
//
// Candidates wait on a watch and do not poll. A leader that stops, or whose function
// returns, gives the lease back at once, so that the next takes over without waiting for
// the lease to end; a leader that dies is replaced after Config.TTL.
//
// [Elector.Run] owns all goroutines and returns when they are done. It never runs the
// function twice at a time: one that does not heed its context delays the next campaign.
package leader
