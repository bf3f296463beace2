// Package local is the payment provider that is built in: it takes no money, keeps the same
// rules as Stripe with a ledger of its own, and is what there is without a Stripe key. In
// development the customer's card is what a test says ([Provider.SetCard]); in production
// without Stripe every invoice counts as paid when it is made, and is settled by whatever
// means the operator has.
//
// # The ledger
//
// Each customer has one [storev1.Ledger] and numbered invoices, which are never removed. A
// call is one change of them ([Store]): first everything that time asked for since the last
// call is done, in its order and at its time (renewals, retries, what expires), then the call
// itself. So a clock that jumps over months leaves every invoice that those months would
// have had, and nothing needs to run in the background.
//
// # Its rules
//
// Periods are calendar months from the subscription's creation; a month without that day ends
// on its last day, as Stripe's do (https://docs.stripe.com/billing/subscriptions/billing-cycle).
// A renewal makes one invoice with a line for each plan. An upgrade is prorated by the second:
// a line that gives back the rest of the old quantity and one that takes the rest of the new
// one, each rounded half away from zero to cents
// (https://docs.stripe.com/billing/subscriptions/prorations). The balance goes first. An
// invoice that is not paid is tried again after three, five and seven days. What a customer
// does not confirm within 23 hours is void.
//
// Idempotency keys hold for 24 hours, as Stripe's; one that comes back with another request
// is refused.
package local
