// Package devdns is the name server of a development machine: it is resolver, registry of
// the top-level name `test` and name server of every domain below it, all in one, so that
// onboarding works with no Internet and no registrar, with the same look-ups as in
// production.
//
// What it answers is up to callbacks, which are asked anew for every question: the domain's
// delegation and the records that prove control. Everything else about a domain exists and
// is empty. Names outside `test` are refused.
//
// A [Server] owns its sockets and goroutines from [Start] to [Server.Close], which waits
// for them. Callbacks run on those goroutines, concurrently, and should be quick.
package devdns
