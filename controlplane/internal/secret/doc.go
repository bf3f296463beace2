// Package secret keeps secrets from being read where they should not be: at rest, by the
// [Keyring], which seals bytes with XChaCha20-Poly1305 bound to associated data (the tenant
// and the resource, so that a sealed value can't be moved to another place), and in logs,
// by [String], which never shows itself.
//
// A keyring is a file with one key a line, oldest first. The last key seals; all of them
// open. Rotating adds a key; an old key may be removed once nothing sealed with it is left.
// The file is readable by its owner alone and is refused otherwise.
//
// A Keyring is safe for concurrent use and does not change; load it again after a rotation.
package secret
