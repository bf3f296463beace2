// Package store is what an agent keeps on its disk, so that it starts and serves with
// nothing else up: documents, generations, the manifests behind them, what was rejected,
// and how the last process ended. It is one bbolt file.
//
// A generation is the state of one channel at one release. They form a log: each holds
// what it changes relative to the one before, and at times a checkpoint holds a whole
// list, so that what a release costs depends on what it changes. Every record carries its
// own checksum, documents are kept once by their digest, and a state is believed only
// when its documents have the state hash that was signed. At least three checkpoints
// ([keepCheckpoints]) and all generations after the oldest of them are kept; a damaged
// checkpoint is made good by an older one and the records after it.
//
//	meta                      format, how processes ended, what was lost, the cluster last seen
//	blobs, refs               documents by digest, and how often each is needed
//	rejections                what was refused, by channel and release
//	{channel}/generations     records by sequence
//	{channel}/applied         which of them the data plane took
//	{channel}/checkpoints     whole lists by sequence
//	{channel}/manifests       signed manifests by release
//
// [Open] checks the file's structure before bbolt sees it (package boltfile), and then
// everything that it is going to serve. Damage, also a file cut short, is never an error:
// what is whole is copied to a new file, and the damaged one is put aside, once. Damage that
// only a write finds is [ErrDamaged]: the store is to be closed and opened again, which then
// copies. A generation that is begun is applying until it is finished; one that is found
// applying by the next process is for the agent to judge. A full disk is [ErrFull]: nothing
// is changed then, and a store that is whole opens without a write.
//
// One process at a time has a store. Methods may be called by several goroutines, writers
// wait for each other. No goroutine is started. Reads do not block writes.
package store
