// Package call carries what one API call brings with it, from the interceptors that find it
// out to the handlers and the write path: who calls, by which method, from where, and under
// which options. Values live in the context under a private key; there is one accessor
// pair.
package call
