// Package propagation answers where a version of a site is now, from release numbers alone:
// nothing is stored for a change, and an answer costs no more than the number of data
// centers.
//
// A version was stored at a registry revision. A release covers the revisions after its
// from_revision up to its covered_revision; the chain of live releases therefore says which
// release of a channel carries a version, or that none was needed:
//
//	from(5)      covered(5)=from(6)     covered(6)   from(7)   covered(7)   cursor
//	   |<------- release 5 ----->|<- release 6 ->|<- none ->|<- release 7 ->|<- none ->|<- not looked at yet
//
// A revision in a stretch that needed no release is carried by the release before it. The
// version is LIVE when in every channel its release, or a later one, passed its last wave.
// A data center has applied it when all its live servers serve its releases or later ones:
// every later number stands on the carrying release, since only what is above it in the
// chain can have been abandoned.
//
// Two things are not told by numbers. Documents that are held (suspects and quarantines)
// stay at their good version whatever was released: whether a site's are among them is
// decided by what the site compiles to, which is looked at only for documents that are
// held. And a trial of a bisection carries documents that are older than its revisions:
// its manifest is read, while it is on its way.
//
// # States
//
//	PENDING      no data center has any of it: it waits for a release, for the first wave, for the
//	             site to be active, for the pause after versions before it that hurt, or it is
//	             held as a suspect, as the reason says
//	ROLLING_OUT  on its way; the reason says what it waits for where something holds it up
//	LIVE         the last wave's bake passed, for it or for a newer version. For a site
//	             that is not to be served any more: nothing of it is left
//	QUARANTINED  it hurt a data center, and the last good version serves
//	SUPERSEDED   as QUARANTINED or held, but a newer version took its place
//
// A version that the site no longer remembers is taken to be as new as the oldest that it
// does: the answer is never too optimistic.
//
// [Index] keeps what it decoded until that changes. It and its [State]s are safe for
// concurrent use.
package propagation
