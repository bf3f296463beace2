// Package simfleet runs simulated data centers: servers with the real edge agent around a
// data plane that decodes what it is given, serves it from memory, and has the bugs it is
// told to have. It is what `dev` shows releases on, and what tests and replays of
// incidents run against.
//
// # Servers
//
// A server is an agent with a store below [Config.Dir], and a supervisor that starts the
// agent again a second after it ended. A crash takes the real way: the agent is stopped as
// a killed process is, the data plane's memory is gone, and the next agent opens the same
// store. [Fleet.Kill] takes the power from a data center and [Fleet.Revive] gives it back.
// The stores are not synced to the disk: this is a simulation, and 46 of them share one.
//
// # Bugs
//
// A bug bites when a server takes a new version of a document whose name matches. What a
// server serves already is left alone until it is applied again, and going back to an
// older release never bites, else nothing could be undone. A version that bit, and that a
// restarted server finds on its disk, bites again. After some crashes the agent leaves it by itself.
//
// # Ownership
//
// [Start] returns a running fleet, whose goroutines [Fleet.Close] ends and waits for.
// Connections are made by the functions in [Config] and given back through what these
// return. All methods may be called at any time by several goroutines; Kill and Close
// block until the servers stopped.
package simfleet
