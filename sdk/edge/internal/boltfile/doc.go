// Package boltfile reads bbolt files without trusting them.
//
// bbolt maps its file into memory and follows what the pages say. On a damaged page it
// makes slices of any length at any address, which can end the process in ways that nothing
// recovers from. So a file is looked at here first, through bounded reads: [Check] says
// whether it is sound, and [Each] finds what can still be read of one that is not. bbolt is
// given only files that are sound.
//
// The format is bbolt's version 2, which has no document of its own; its source is the
// reference (internal/common in go.etcd.io/bbolt). A file is a row of pages: two meta
// pages, of which the newer whole one counts, and the tree of the root bucket, whose leaves
// hold keys with values, and keys with buckets. A small bucket is a page inside the value.
// Numbers are in the byte order of the machine.
package boltfile
