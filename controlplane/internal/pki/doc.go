// Package pki is a small certificate authority: it makes and keeps a CA and a signing key in
// a directory, and issues the certificates by which edge servers and the report listener
// know each other. A development server uses it in its own process; small installations
// make their certificates with it by `breakwaterd edge-cert` and `server-cert`. Larger ones
// have an authority of their own and need only [LoadSigner].
package pki
