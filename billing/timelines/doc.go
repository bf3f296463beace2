// Package timelines proves plan billing over random lives of accounts; it has no code but
// tests.
//
// A timeline is some accounts with several sites, the real [billing.Engine] over an in-test
// store with compare-and-set, the real client of package stripe, and the stateful fake of
// Stripe behind it. Customers sign up, upgrade, downgrade, cancel, revoke, lose domains, delete
// sites and accounts, bring them back, and change their cards, which fail or require action;
// two dashboards decide at once; webhooks come twice, late, in any order or never; Stripe fails
// in every way that it can; the process dies between any two steps, and stays away for days;
// clocks jump.
//
// At the end the trouble stops and what is left to be done is done. Then the oracle, which
// knows only what was decided and what Stripe recorded, and nothing of the engine, computes
// what each account should have paid, to the cent, and what each site should be entitled to.
// What was charged must equal it, no charge may be without its decision, and what our record
// says must be what Stripe has.
//
// BREAKWATER_SOAK runs 10,000 timelines. A failure prints what happened, and rapid's file
// repeats it.
package timelines
