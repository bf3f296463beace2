// Package service implements the gRPC services of the API for customers, one file or a few
// per resource.
//
// A handler checks what the interceptors could not (they have authenticated, authorised,
// decoded and validated the request), reads from a consistent view or changes through
// package change, and answers with the API's messages. It returns typed errors; package
// rpcerr turns them into statuses. Handlers hold no state of their own but caches, block
// only on the store and their context, and are safe for concurrent use.
package service
