// Package resource holds what every resource has in common: its name, the keys that it is
// stored under, and its etag.
//
// Names are the API's (`accounts/acme/sites/example.com`); parsing one checks and
// canonicalises it. Keys are the store's. The only way to a key of an account's data is
// through a [Tenant], and the only way to a Tenant is an account's ID, so that no handler
// can write a key that crosses tenants. All functions are pure.
package resource
