// Package server is the composition root: it turns a [Config] into a running control plane
// and knows every room. Nothing else does.
//
// [Start] validates the configuration, opens what it stands on (keys, etcd, caches), builds
// the handlers once, and starts the listeners and the leader's engine; [Server.Close] ends
// all of it in reverse order and waits. [Run] is both, for a program. Tests start the same
// Server with a temporary data directory.
package server
