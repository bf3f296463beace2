// Package stripe takes payments through Stripe: it implements [billing.Provider] over
// stripe-go, keeps Stripe's products and prices like the plans that are sold, and verifies
// webhooks. Nothing else of Breakwater imports stripe-go.
//
// # What is at Stripe
//
// One product for each plan that costs something, with one active monthly price that is
// found by its lookup key ([Provider.Sync] makes both). One customer for each account and
// at most one subscription, with an item for each plan whose quantity is a number of sites.
// Metadata says whose they are: breakwater_account on customers and subscriptions,
// breakwater_plan on products and prices. An item keeps the price it was made with: after a
// change of price old items go on at the old one, and are still known by its metadata.
//
// # Calls
//
// Every method is one decision of the caller, and one call that changes something (two for
// a customer with tax IDs), after reads where Stripe wants IDs of items. Reads are harmless
// to a repeat: where what they see is what was asked for, the change was made before and
// nothing is sent; otherwise the same parameters go out with the same key, and Stripe tells
// a repeat from a first call. Answers are expanded, so that the state after a call is in it.
//
// The library's own retries are off: they would hide from the outbox, which stored the
// request, how often it was made. Every HTTP request has a deadline of its own besides the
// caller's. Errors carry Stripe's type, code, message and request ID, never an object:
// payment intents have secrets. Logs neither.
//
// A [Provider] may be used concurrently. It has no goroutines. Besides its configuration it
// keeps only the IDs of prices and of the portal's configuration, for some minutes.
//
// # The key
//
// A restricted key needs to write customers, checkout sessions, portal sessions,
// subscriptions, invoices and tax IDs, and to read prices, products and the portal's
// configurations; for a sync it writes the last three, and webhook endpoints where their
// address is given.
//
// # Sources
//
//   - Errors: https://docs.stripe.com/error-low-level and https://docs.stripe.com/error-codes
//   - Idempotency: https://docs.stripe.com/api/idempotent_requests (a key is kept for 24
//     hours with the first answer, a failed one too, once the work had begun)
//   - default_incomplete and the life of subscriptions:
//     https://docs.stripe.com/billing/subscriptions/overview
//   - Pending updates: https://docs.stripe.com/billing/subscriptions/pending-updates and
//     https://docs.stripe.com/billing/subscriptions/pending-updates-reference
//   - Prorations: https://docs.stripe.com/billing/subscriptions/prorations
//   - Prices and lookup keys: https://docs.stripe.com/products-prices/manage-prices
//   - The portal: https://docs.stripe.com/customer-management/configure-portal
//   - Webhook signatures: https://docs.stripe.com/webhooks/signature
package stripe
