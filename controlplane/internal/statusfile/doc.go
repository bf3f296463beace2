// Package statusfile keeps the public status as one signed JSON file, to be copied to where
// it can be read when nothing of this network answers.
//
// The file holds the text of the status and a signature over exactly that text, by the key
// that signs manifests, under a context of its own. It is written when the status changed
// and at least every minute, whole or not at all: a reader never sees half of it, and a file
// whose observeTime is old says that its writer is away.
//
// Every replica writes its own file, from the newest state that it has, also while etcd
// does not answer. What fails is logged and tried again; it never stops the server. A
// [Writer] is one goroutine in [Writer.Run].
package statusfile
