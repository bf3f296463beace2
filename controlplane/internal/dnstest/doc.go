// Package dnstest is a small Internet of DNS servers for tests: real packets over UDP and
// TCP on loopback, addresses of its own, and faults on demand.
//
// A [Network] holds [Server]s, each with an invented address such as 192.0.2.53 and a real
// socket; [Network.Endpoint] leads from the one to the other, so that name servers can have
// glue like real ones. A server has zones, read from master files, which it serves with
// authority, delegations and glue included. A [Resolver] is a recursive resolver over all
// of them, which begins at the root zone.
//
// A [Fault] makes a server misbehave for chosen questions: drop them, fail, refuse,
// truncate, answer lamely or with rubbish. Servers count what they were asked. Everything
// ends with the test; all methods are safe for concurrent use.
package dnstest
