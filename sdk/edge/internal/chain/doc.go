// Package chain reads releases and finds the way from one to another. A manifest says
// what its release changes relative to its parent; the state of a channel at a release is
// what the manifests on its parent path add up to. So a way from the release that serves
// to the release that a target names goes back over manifests whose changes are undone,
// and forward over manifests whose changes are done, and meets at a common ancestor.
//
// Nothing is believed: signatures, numbers, order, digests and the state hash after every
// step are checked, and a way that does not check out is an error of type [CorruptError].
// A manifest that cannot be had is [ErrMissing]; then a base may help, see [OpenBase].
//
// The package does no I/O of its own and starts no goroutine; manifests come from the
// [Source] that its user brings. Values are not changed after they are made, so they may
// be shared.
package chain
