// Package domain turns what a customer types into the one canonical form of a domain, and
// answers what that form is: registrable or not, an ancestor of another or not.
//
// A [Domain] is an IDNA A-label name: lower case, at least two labels, no trailing dot, at
// most 253 bytes. Because it can only be made by [Parse] or [Policy.Parse], whoever holds
// one need not check it again. It is the ID of a site, so two spellings of one name must
// always give the same Domain; a fuzz target holds the package to that.
//
// Everything here is pure: no look-ups, no state, safe for concurrent use.
package domain
