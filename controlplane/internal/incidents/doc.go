// Package incidents replays disasters of the field against the real engine: a whole control
// plane with its store, and the real agents in simulated data centers. It has tests only.
//
// Each replay makes the change that did the damage then, while other tenants make theirs,
// and asserts what Breakwater promises: no data center beyond the first wave is hurt, every
// other change arrives, the harm is undone and its culprit named, and last known good never
// was the bad one. The replay of 2025-10-29 is about what is promised for harm that shows
// after every gate passed: it is undone everywhere within seconds.
//
// Times are taken from what the engine and the agents log, since they know best when a
// server went down and when a release was abandoned; what data centers serve is sampled
// over the API. The short form runs with small bakes; with BREAKWATER_SOAK=1 the replays
// have the whole fleet and the bakes of a development server, and with
// BREAKWATER_FIGURES=1 the figures of docs/fail-small.md are measured and printed.
package incidents
