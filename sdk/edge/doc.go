// Package edge is the agent: it runs on every server of a data center, follows what the
// control plane releases, and hands it to the server's data plane.
//
//	etcd ── one watch ──▶ feed ──▶ worker ──▶ store ──▶ Applier (the data plane)
//	                                  │                    ▲
//	                                  ▼                    │ health checks
//	              control plane ◀── reports ◀──────────────┘
//
// # What it does on a target
//
// A target names the release of a channel that this data center must serve. The agent
// finds the way from what serves to there: forward and back over signed manifests, through
// a common ancestor, or from a base when there is no way. It checks signatures, numbers,
// every document's digest and the state hash, writes the new generation to its store as
// applying, calls the [Applier] under a watchdog, marks it applied, and reports. Nothing
// is decoded before a target names it. If anything does not check out, what serves goes on
// serving and the release is rejected. Only the newest target of a channel counts.
//
// # What it does without
//
// It starts from its store, with no control plane and no etcd, from the newest generation
// that is whole, and serves it for as long as needed. A target that disappears changes
// nothing. Where damage left nothing whole of a channel, the server reports that it is not
// well, and tries to fetch everything anew until it has it.
//
// On a full disk, the store's or the data plane's, it starts, serves what it has, and says
// so in its reports. Targets that need a write wait and are tried again, with pauses that
// grow; no release is refused for it.
//
// # What it refuses
//
// A release that the data plane refused, did not finish, or crashed on is not tried again
// under the same target; another target, with a higher sequence, is a new order. A
// descendant of a refused release is refused too, until the refused one is abandoned, or
// the control plane answered: by a target before the refused release, or by ordering the
// descendant again. What a rejection blames may be innocent, and then nobody abandons it.
//
// A generation that is found applying at start crashed its server: it is undone and
// refused, with the document that the data plane had in hand ([Generation.InHand]). Where
// the process was stopped in order, the whole machine started anew, or the process before
// crashed too, it is tried once more. A move back that was cut short is tried again
// several times: what is being left is the likelier cause, and to refuse would be to keep
// it.
//
// # What crashes it later
//
// At every start after a crash, the crash is counted against what served of every channel,
// unless a release was refused for it. At three in a row, the newest generation of all is
// left for that of a release before it, and its release refused, with the time after which
// the server crashed; should the server crash on, the next crash is blamed on the next
// newest. A channel whose generation changes begins at zero; where something new comes with
// every start, six in a row are enough for what is older. After four generations that were
// left, the server keeps what it has: then the cause is another one. A process that has
// served well for [Config.CrashWindow] ends the row, and so does an order to go back, since
// then the control plane knows whom to blame. All this is kept in the store, so it
// needs nobody else: a server that lives too short to hear an order comes back by itself. A
// machine that starts anew is not counted, since power cuts look the same; the control plane
// sees them.
//
// A server that crashes in a row also says so, and hears what it is to serve, before it serves
// again, where both can be had within [Config.AskTimeout]: what was taken back meanwhile is
// then left before it can crash the server once more.
//
// An agent does not roll back by itself when a health check fails after applying: it says
// so, and the control plane decides.
//
// # Ownership
//
// [Agent.Run] owns the store and every goroutine, and waits for them; the etcd client and
// the report connection belong to whoever made them. One exception: an Applier that does
// not return after its context ended cannot be waited for; Run gives up with [ErrStuck],
// for a supervisor to restart the server. The Applier is called by one goroutine at a
// time, but for Healthy, which may be called at any moment.
package edge
