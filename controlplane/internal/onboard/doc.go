// Package onboard proves that whoever adds a domain controls it, by looking at the DNS, and
// finds what the domain serves today.
//
// A [Checker] asks a recursive resolver that the deployment trusts, over UDP with EDNS0 and
// again over TCP where an answer is truncated. For a delegation that is not enough: anyone
// may run name servers that claim a domain for themselves. So the checker also finds the
// parent zone and asks one of its servers, without recursion, whom it delegates to; only
// that counts.
//
//	resolver:  NS of the domain          what the world sees; evidence only
//	resolver:  NS of the parent zone     who can say whom the domain is delegated to
//	parent:    NS of the domain, RD=0    the delegation, in the authority section
//
// Every check ends in a [Result] that says what was found, shows what was asked and
// answered, and tells apart what only time can change at the other end (definite) from what
// may be a mishap of this moment (temporary). A temporary result never changes the state of
// a site.
//
// Checks block until they have an answer, their tries are used up or the context ends; the
// time-outs of [Config] bound them in any case. A Checker has no state of its own and is
// safe for concurrent use; it starts no goroutine that outlives a call.
//
// Around it are pure functions: when to look again ([Schedule]), what token to publish
// ([VerificationToken]) and which name servers to delegate to ([AssignNameServers]). When a
// site that waits is given up is a rule of package sitestate.
package onboard
