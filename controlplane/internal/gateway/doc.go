// Package gateway serves the gRPC API as REST: JSON over HTTP, by the routes that the protos
// declare.
//
// # Order
//
// A request is given its ID, routed, admitted (by who sends it, how often, and what for), and
// only then read. Once it was read it waits for a place to run, which it has until the API
// has answered. Then headers, query and body are checked against the request's descriptor,
// with all faults named at once, but at most a hundred of them. What is left is handed to the
// generated gateway, which calls the API over the connection that it was given. That
// connection should be in-process and run the same interceptors as any other, so that both
// doors lead to the same answers.
//
// # Trust
//
// Only the headers that package call names become metadata; a client can't set any other.
// The socket's peer and X-Forwarded-For travel under reserved keys, which interceptors
// believe only on the in-process connection.
//
// # Errors
//
// Every error, also one of the gateway's own, is a google.rpc.Status out of package rpcerr's
// table, also on the fixed paths that are no routes of the API. A stream that fails before its
// first message answers like any other call; after that the error is the last line.
//
// # Bounds
//
// Headers, bodies (their bytes, nesting and number of values), and the time of each call and
// each write are bounded; see [Config] and [NewServer]. The handler owns no goroutine beyond
// its requests and is safe for concurrent use.
package gateway
