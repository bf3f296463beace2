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
// A data center has applied it when all its live servers serve its releases or later ones.
//
// [Index] reads the engine's state from the cache of control/, and keeps what it decoded
// until that changes. It is safe for concurrent use.
package propagation
