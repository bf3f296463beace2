// Package embedded runs one etcd member in this process: the engine of a control plane
// that has nothing to install. It listens on a unix socket, for this process and for
// others on the machine, and on TCP where asked to.
//
// Ownership: [Start] returns a server that its caller closes. The server owns its client
// and its goroutines; [Server.Close] ends watches first, since etcd would wait seconds for
// them, and returns when all is stopped.
//
// A directory has one owner: a lock file keeps a second process from it. The package uses
// flock and unix sockets, so it runs where these exist.
package embedded
