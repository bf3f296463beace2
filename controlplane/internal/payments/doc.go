// Package payments keeps what package billing decides: it is billing's store over the
// registry, and what makes billing's work happen.
//
// # One transaction
//
// Everything that is known of an account's payments is one value ([storev1.BillingRecord]).
// A decision edits it within a change of the registry, together with whatever else belongs
// to the decision: the new version of a site whose plan changes ([billing.Tx].Entitle), the
// outbox item that has the provider told, letters, audit events. A handler's own change
// carries a decision by [Payments.Within]; billing's own go through [Payments.Update].
//
// # Work
//
// The outbox hands the one item of an account, `billing-{account}`, to [Payments.Handler],
// which settles the account; webhooks ([Payments.Webhook]) and the hourly [Reconciler] only
// touch records and ask for that item, so that there is one way to the provider.
//
// # Keys
//
// The record is the account's; an index leads from the provider's customer to the account,
// and another lists the accounts that have a record. Both are written with the record.
//
// Methods may be called concurrently; they block on the store, the provider and their
// context. The package starts no goroutine.
package payments
