// Package registry states the contract of the store that everything else stands on, and
// its errors. Implementations live below it: registry/etcd (production, embedded or
// external) and registry/memory (tests); registry/registrytest is the one conformance
// suite that both must pass.
//
// The contract is a small subset of etcd's, so that the guarantees are etcd's:
//
//   - Keys and values live in one flat, ordered key space with one 64-bit revision that
//     grows by one with every committed transaction.
//   - Every write is a transaction that compares modification revisions. A failed compare
//     answers with the values it saw, so that the writer can try again without reading.
//   - Get, List and Revision are linearizable. A List may name an older revision and then
//     is a consistent page of that revision.
//   - A watch is a revision, then events in revision order, then progress. All events of
//     one revision arrive in one batch. A gap is never silent: the watch ends with a
//     [CompactedError] or a [ResetError], and the watcher lists again.
//
// The same contract serves three key spaces: registry/ (the source of truth), edge/ with
// base/ (what data centers read) and control/ (the engine's own state beside edge/).
package registry
