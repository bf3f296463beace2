// Package activation does what time asks for of sites: it checks the proofs of their
// domains, gives up those that waited too long, ends development mode and firewall entries,
// and purges what was deleted.
//
// A [Worker] is an agenda of all sites by [sitestate.NextDue]; see package agenda for when
// what runs. It belongs to the leader.
//
// Every result is one change of the site through package change, as the system, decided
// again on what is stored then: a worker that is not the leader any more, or acts on an old
// view, changes nothing that it should not. Whatever affects the edge is a new version and
// so goes out as a release; no edge ever looks at a clock.
//
// A site is active in one account only. The newest proof wins: activating a site moves the
// one of another account to MOVED in the same transaction, so that the domain is never
// without an owner in between. A site that lost its domain that way takes it back by itself
// only with a delegation, which can name one account's servers at a time, or when its owner
// asks for a check; otherwise two accounts with a record each would take turns for ever.
//
// Who loses a domain pays for it no longer than the period, and has its plan again where the
// domain comes back before that ends: billing is told in the same transaction, whichever
// account's it is.
//
// A proof of a domain that an operator suspended in any account, or of a name below it, leads
// to SUSPENDED: nobody ends a suspension by adding the domain somewhere else.
//
// A check that found nothing definite changes no state. An active site moves after several
// definite failures in a row, counted in memory: a new leader counts again, which errs on
// the side of serving.
package activation
