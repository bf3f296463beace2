// Package controlplane is the map of the server; it has no code.
//
// A request passes, from the outside in:
//
//   - gateway: REST over an in-process gRPC connection; its own errors, limits, headers.
//   - intercept: what happens around every RPC, in one order: identity, limits, access,
//     options, validation, errors.
//   - authn, authz: who calls; whether they may.
//   - ratelimit: how much of the server one tenant may use.
//   - service: the handlers, one file per resource; service/ops for operators.
//   - call: what one call brings with it. rpcerr: the one table from errors to statuses.
//   - listing, masks: pages, filters and orders; field masks.
//
// What a handler decides is made of:
//
//   - resource: names, tenant-scoped keys, etags.
//   - domain, zone: domain names; DNS records and zone files. internet: which networks,
//     addresses and URLs there can be on it.
//   - catalog, expression: the apps and their settings; the match language.
//   - entitle: what a plan allows of a site's configuration.
//   - sitestate: a site's record as pure functions.
//
// It is stored by:
//
//   - change: one transaction per change.
//   - registry: the store's contract, over etcd or in memory.
//   - watchcache: a prefix of the store in memory, linearizable when asked.
//   - agenda: stored values that fall due. outbox: work outside that changes asked for. mail:
//     letters to people.
//   - payments: what billing decides, in the registry and to the payment provider.
//   - audit: the chain of events. secret: what is sealed at rest. retention: what is purged.
//
// The leader (package leader) carries it to the edge:
//
//   - compile: registry objects to edge documents; pure.
//   - publish: seals releases. rollout: moves them through waves. fleet: what edges report.
//     prune: removes what nothing needs any more.
//   - incident: what the public is told went wrong. statusfile: the same as a signed file.
//     ownerlog: what owners are told of it in their audit logs.
//   - ledger: the keys of the engine's state. propagation: where a change is now.
//   - activation, onboard: sites' proofs and expiries; the DNS look-ups behind them.
//     safedial: the dialer for addresses that customers choose.
//
// It is put together by:
//
//   - server: the composition root. lifecycle: loops and closing. telemetry: logs, metrics,
//     traces. clock: a clock that moves forward. pki: certificates of a development server.
//   - simfleet, fleetdata: simulated data centers around the real agent; where they are.
//   - apidocs: the reference as pages.
//
// Tests have dnstest, controlplanetest and archtest; incidents replays disasters of the field,
// chaos breaks real processes.
package controlplane
