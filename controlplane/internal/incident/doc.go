// Package incident tells the public what went wrong: what, when, which data centers, how
// many sites, and what was done by itself. It never says which customers.
//
// [Step] is a pure function from the incidents that are kept and the [Facts] that are
// stored to the incidents that change; the [Tracker] is its thin driver and runs with the
// leader. Nothing depends on it: it reads what the rollout stored anyway, at its own pace,
// so that it can't hold a release up, and a notice that it misses costs half a second.
//
// # What opens an incident
//
//	topic    opened by                                          over when
//	channel  an abandoned release that hurt a data center,      nothing is looked for, nothing
//	         or that had passed its first wave                  recovers or is being undone, and
//	channel  an operator's rollback of a good release           every eligible data center serves
//	channel  quarantines of ten minutes that concern more       a live release
//	         than one account
//	fleet    a data center that does not report for 10 s        all report again, or are drained
//	none     an operator                                        an operator says so
//
// While an incident of a topic is open, what happens there is added to it. It ends when all
// was well for 10 s, so that harm that comes and goes is one incident. What an operator
// closed stays closed: what comes after that opens another one.
//
// # Once each
//
// Finished releases and quarantines are facts of the store, each with the revision that
// wrote it. The cursor says up to which revision they were told; it and the incidents that
// tell them are written by one fenced transaction. A new leader therefore neither tells
// twice nor forgets, and on an error nothing is told and all is looked at again.
//
// # Bounds
//
// At most [MaxKept] incidents are kept, oldest resolved ones first to go, of at most
// [MaxLines] lines each. A site counts once in an incident, up to [maxSites].
//
// Times are those of the day's clock, as everywhere in the engine; silence of data centers
// is measured with the machine's.
package incident
