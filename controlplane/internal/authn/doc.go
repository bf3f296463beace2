// Package authn finds out who calls: an operator, a program by its API token, a person by
// their login, or an edge server by its certificate.
//
// A credential is looked up in the cache of the registry, so that a revocation holds within
// the cache's delay, well under a second. A server that is cut off from its store accepts
// nobody but operators after three seconds. Only SHA-256 digests of secrets are stored and
// compared, in constant time. What the caller may do is the question of package authz.
package authn
