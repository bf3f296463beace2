// Package lifecycle starts and ends the parts of a program in order: a [Stack] closes what
// was opened, last first; a [Group] runs loops that end together; [ServeHTTP] and
// [ServeGRPC] run servers that finish their calls before they end; [Ready] answers whether
// the program can do its work.
//
// Nothing here outlives its Close, Wait or return: each waits for the goroutines that it
// started. All types are safe for concurrent use.
package lifecycle
