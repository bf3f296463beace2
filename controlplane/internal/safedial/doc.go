// Package safedial dials addresses that customers gave: webhooks, origins, activation
// checks. It is the only way to them, so that nobody can make the control plane reach into
// its own network.
//
// The address is judged at connect time, on the IP address that the socket is about to be
// connected to, at every dial: what a name resolved to before, or to whom else it resolves,
// does not count. What is refused is package zone's table, which also says what the edge may
// proxy to: private, shared, loopback, link-local, multicast, reserved and metadata
// addresses, also where an IPv6 address carries them. Documentation ranges may be dialled.
//
// A connection is bounded in time and in what is read from it, whatever is spoken on it. An
// HTTP client follows no redirect, asks no proxy, and uses a connection for one request.
//
// A Dialer is safe for concurrent use, and has no goroutines of its own.
package safedial
