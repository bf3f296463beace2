// Package pki is a small certificate authority for servers that run everything in one
// process: it makes and keeps a CA and a signing key in a data directory, and issues the
// certificates by which simulated edge servers and the report listener know each other. A
// production server is given certificates and keys as files and needs only [LoadSigner].
package pki
