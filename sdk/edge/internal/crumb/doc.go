// Package crumb keeps a breadcrumb: the document that the data plane has in hand, in a
// small file beside the store, so that after a crash its successor knows what to blame. It
// is written for every document, so it costs one write to the page cache and is not
// synced; it outlives the process and not a power cut, after which nothing is blamed.
//
// A file has one owner and may be used by several goroutines. Writing never fails for the
// caller: a breadcrumb is a hint, and the lack of one must stop nothing.
package crumb
