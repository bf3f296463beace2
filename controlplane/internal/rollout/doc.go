// Package rollout moves releases through waves, and back.
//
// It has two parts. The machine is [Step], a pure function from a [State] and an
// [Observation] to the next state and the [Action]s that make it true: no clock but
// [Observation.Now], no I/O, nothing that depends on the order of a map. The [Driver] feeds
// it: it loads the state from etcd, calls Step whenever something changed or a deadline
// passed, and commits each step's actions with the new state in one fenced transaction.
// A new leader therefore goes on exactly where the old one died.
//
// # A release
//
//	         first wave opens          last gate passes           soaked everywhere
//	SEALED ────────────────> ROLLING ────────────────> LIVE ─────────────────────> GOOD
//	  │                         │                        │             (last known good)
//	  └────────────┬────────────┴────────────────────────┘
//	               │  harm, an operator's rollback, or an ancestor abandoned
//	               v
//	           ABANDONED   for ever; its number is never used again
//
// GOOD and ABANDONED releases leave the state; their progress is archived. The last known
// good release stays in it as the anchor of the chain. An operator's hold stops a release
// and its descendants in any state and changes nothing else.
//
// # A wave of a release
//
//	WAITING ── opens: servers frozen, targets set ──> BAKING ── all attest ──> PASSED
//	   ^                                                │
//	   └── every data center of it was drained ─────────┤
//	                                                    └── harm ──> the release is ABANDONED
//
// Waves are fixed when a release is first seen, from the policy then in force. A wave that
// has no member by that policy (a small fleet) does not exist. A wave whose members are all
// ineligible exists and does not open: the release waits, because skipping a wave would
// mean that a later one meets the release first.
//
// Two releases of a channel are never in the same wave, and a release enters a wave only
// when for every data center of it every ancestor passed the wave that the data center has
// there. With an unchanged policy that is "all ancestors passed wave k"; when operators
// changed the waves in between it still keeps a data center from meeting two new releases at
// once.
//
// # Harm
//
// Harm is attributed when a server rejects a release, which its agent also does after a
// restart that followed applying it; otherwise it is circumstantial: a frozen server that
// started anew, turned unhealthy or was lost while its release baked.
//
//	a document named by a rejection      quarantine it; abandon the release that brought it
//	  (and really changed by it)
//	attributed, no name, at its gate     abandon the release
//	attributed, no name, behind it       in its first wave, or when two data centers say so,
//	                                     undo the channel; else, while it rolls, abandon it,
//	                                     and when it is live only that data center goes
//	                                     back, and tries again later
//	circumstantial, at a gate            abandon the release whose gate is open there, newest
//	                                     entered first; the data center then settles: what
//	                                     it applied in other channels waits, and harm that
//	                                     lasts convicts the next newest
//	circumstantial, behind the gates     in two data centers, undo every channel of which both
//	                                     have something that did not soak; in one of the
//	                                     first wave, abandon what still rolls there; else
//	                                     only that data center goes back to last known good,
//	                                     and joins again soon
//	a server gone, others of its data    wait 5 s for its agent's post-mortem, then as above
//	  center report
//	a whole data center dark             wait 5 s; then its wave goes on with its other data
//	                                     centers or, once, with the next one; a second loss
//	                                     convicts
//	a server that reports, is well, and  after a patience of ten bakes, at least a minute, as
//	  neither serves nor rejects         if it were dark; a second data center convicts only
//	                                     where nobody serves the release and most act on
//	                                     their orders, else the gate waits, and says so
//	more than half of the fleet silent,  nobody is convicted, nothing moves forward; servers
//	  or the observer just started       that come back with a new incarnation bake anew
//	a wrong hash or signature            the release waits: no document did that
//
// A crash behind the gates is a server that comes back with a new incarnation within the time
// of a post-mortem. One data center alone may be chance: fleets restart servers, and a release
// is nearly always soaking.
//
// To undo a channel is to take it back to last known good, everywhere and at once: behind the
// gates nobody can tell which of the releases that did not soak does it, and convicting one
// after the other would hurt the fleet once for each. All of their changes become suspects. Of
// a document that several of them changed the newest version is held, and the version of last
// known good serves meanwhile. Where it is not known which channel hurt, each tries all of its
// suspects at once before any halves: the innocent ones are back after one trial. What it
// costs: everybody's changes of the last soak wait for that search. It costs no version, since
// bisection clears who is innocent; only a document that is younger than last known good and
// hurts alone has no good version, and is absent until its next one.
//
// A release that is abandoned without a name leaves its changes as suspects: the publisher
// keeps these documents at their good versions and seals everything else anew. The suspects
// are then bisected (see [Bisection]): the first wave tries half of those that hurt, in
// series, each half on top of what passed; a half that passes is an ordinary release and
// goes on; a single document that hurts is quarantined. A rollback's suspects wait for the
// operator instead.
//
// # Break-glass
//
// Operators may ask that a release skip its bakes, and another operator may approve it.
// From then on the bakes of all its waves but the first are zero, also of one that is open;
// everything else holds: the first wave bakes, waves open in their order and one at a time,
// each gate needs every frozen server well and with the right state hash, and a release
// waits for its ancestors, which bake unless they are expedited themselves.
//
// # Moves
//
// Forward moves happen through a wave, or one data center at a time to the newest release
// that passed every wave (new, restored, unpinned ones: they join, and take part in waves
// once they have). Backward moves go to the nearest live ancestor or to last known good, at
// once and everywhere, the data centers that were hurt first. A data center without a
// target gets last known good.
//
// A server may blame a release for a crash of another cause, and refuses whatever stands on
// it. Where nobody takes that release back, its data center goes back alone, and is told
// again after a while, which the server takes for a new order.
//
// # Invariants
//
// The model test checks after every step:
//
//  1. at most one release of a channel is in a wave;
//  2. no release enters two waves in one step, and none enters wave k before it passed k-1;
//  3. a data center moves forward only into a release that it meets in an open wave of it,
//     with every unsoaked ancestor clear there, or into one that passed every wave;
//  4. a gate passes only when each frozen server attested the bake in its incarnation, was
//     lost within the rules above, or is tolerated;
//  5. targets name live releases only: never an abandoned one, and sequences grow;
//  6. last known good never hurt: it is never abandoned, and only moves to descendants;
//  7. a channel that is frozen and a release that is held do not move forward;
//  8. no bake is shorter than the policy's at the release's sealing, but those after the
//     first wave of a release that one operator expedited and another one approved;
//  9. when agents, reports and the leader work and nothing hurts, every release becomes
//     LIVE, then GOOD, and every eligible data center serves it;
//  10. what is abandoned for harm without a name is held or in quarantine afterwards, or is
//     back at the version of the live chain.
//
// # Ownership
//
// Step copies what it changes; the State that goes in stays valid. The slices of
// [Release.Changes] are shared and never modified. A Driver is one goroutine in
// [Driver.Run]; its other methods may be called from anywhere.
package rollout
