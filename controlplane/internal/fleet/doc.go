// Package fleet knows what the edge servers say of themselves.
//
// The leader takes their reports over one stream each ([Reports], the EdgeService), keeps
// the newest of every server in memory ([Fleet]) for the rollout to observe, and writes a
// summary of every data center to control/fleet/{dc}, so that every replica can answer
// where a change is. Replicas that do not lead refuse streams as UNAVAILABLE, and agents
// try the next address.
//
// Who reports is what the server's client certificate says, as the interceptors found it.
// A server that ends its stream, or is silent for three report intervals, is not connected
// any more; what it last said is kept, since what it serves does not end with its voice.
// Nothing here judges: what harm is, package rollout decides.
//
// A leader that is new is found by the whole fleet at once. So only so many streams begin in
// a second ([Limits]); the rest are refused as RESOURCE_EXHAUSTED, each with a time of its
// own at which to come again, which agents heed.
//
// One stream speaks for a server, the newest; an older one is ended when it reports again.
// [Reports.Lead] and [Fleet.Write] are goroutines of the leader: both end with its term.
// Memory is bounded by the number of servers that certificates were issued for, and by what
// one report may hold.
package fleet
