// Package stripetest is a stateful fake of Stripe for tests: an HTTP server that behaves
// like the part of Stripe's API, version 2023-10-16, that subscriptions need. stripe-mock
// proves that requests are well formed; this proves what becomes of them over months.
//
// What is like Stripe: resources and their life (customers with balance, cards, setup-mode
// checkout, prices, subscriptions that renew at their anchor, pending updates, invoices with
// proration to the cent, dunning), form-encoded requests whose unknown parameters are
// refused, idempotency keys, expansion, pagination, errors, and events with real signatures.
// What Stripe has and this has not is refused as an unknown parameter or URL, never ignored.
// Each file cites the page of Stripe's documentation that it follows.
//
// Time is the clock that [New] is given. Nothing runs in the background: what fell due is
// done, in order and as of the moment that it was due, before the next request is served or
// the next method of [Server] returns. Events wait in a queue until the test takes, drops,
// repeats, reorders or delivers them.
//
// A test decides what cards do ([Card]), which requests fail and how ([Fault]), and reads
// what was charged ([Server.Charges]). All methods may be called concurrently; requests are
// served one after the other, but for duplicates of an idempotency key, which are refused
// while the first is under way.
package stripetest
