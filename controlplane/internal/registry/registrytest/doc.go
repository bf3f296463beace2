// Package registrytest is the one conformance suite of registry.Store. Each subtest is
// named after the guarantee it checks, so that a failure says what an implementation broke.
//
// The suite writes below prefixes of its own, so that subtests may share a store. It
// assumes that nobody else writes to the store while it runs.
package registrytest
