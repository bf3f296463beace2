// Package etcd is the registry's store over etcd 3.7, embedded or external. It holds the
// client side only: registry/etcd/embedded runs a server in this process.
//
// Guarantees: those of the contract. Every call has a deadline. A watch carries its own
// heartbeat, because etcd's may be silent for ten minutes and a broken connection for
// longer: once in each Config.ProgressInterval the store's revision is read, and a watch
// that does not reach it within Config.Silence ends with registry.ErrUnavailable. The same
// read shows a store whose revision went back, which ends the watch with a
// registry.ResetError, as another cluster ID does.
//
// Blocking: a watch is read as fast as etcd sends. A consumer that lags by more than
// Config.MaxBuffered events, or Config.MaxBufferedBytes, loses its watch, never the server's.
//
// Ownership: a watch's goroutines end with its context and are gone when its channel is
// closed. The client belongs to whoever dialled it, and outlives the store.
package etcd
