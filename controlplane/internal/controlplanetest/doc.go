// Package controlplanetest starts a whole control plane for a test: embedded etcd, API,
// engine, simulated data centers, on free ports of loopback and in a temporary directory.
// A test then reads as a story, over gRPC ([ControlPlane.As]) or REST ([ControlPlane.REST]).
//
// Everything is stopped when the test ends, and the test fails when stopping does. The
// helpers fail the test on errors that a story does not expect; where it does, use the
// clients themselves.
package controlplanetest
