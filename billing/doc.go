// Package billing knows what is sold and sees to it that it is paid: the plans, their prices
// and what each entitles a site to, and the [Engine], which carries every account's payments
// through a payment provider without charging twice and without ever taking a site offline.
// It declares what it needs of a registry ([Store], [Tx]) and of a provider ([Provider]).
//
// # Plans
//
// Plans come from an embedded data file that is validated when it is loaded; changing a
// price or a count is a change of data, and the currency too while nobody pays. [Load] is called
// once, by the composition root.
// A [Plans] never changes afterwards: its methods may be called concurrently, never block,
// and hand out shared messages that callers must not modify. It is the one place that
// answers entitlements, so that every refusal can name the plan that would allow what was
// asked.
//
// # What is paid
//
// Plans are per site; an account has one customer, one monthly subscription and one invoice a
// month. The subscription's quantities are what the next renewal bills; what a site is
// entitled to now is the record's own. So there are two plans to a site, `plan` and
// `next_plan`, and this is all that happens to them:
//
//	                Change to a dearer plan             Change to a dearer plan
//	┌─────────────┐ ───────────────────────▶ ┌────────┐ ◀────────────────────── ┌─────────────┐
//	│ steady      │                          │ moving │                         │ falling     │
//	│ next = plan │ ◀─────────────────────── │        │                         │ next < plan │
//	└─────────────┘ paid: plan = next = to   └────────┘                         └─────────────┘
//	    │     ▲     failed: next = plan                                            ▲     │
//	    │     ├──── Revoke: next = plan; fall_time comes: plan = next ─────────────┼─────┤
//	    │     └──── SiteRestored, AccountRestored: next = restore_plan ────────────┼─────┘
//	    └────────── Change to a cheaper plan, Cancel; ─────────────────────────────┘
//	                SiteDeleted, SiteLost, AccountDeleted: restore_plan = next
//
// fall_time is the end of the period that is paid. Revoke, and whatever else raises what the
// next renewal bills, ends five minutes before it. A fall that only the loss of the site or of
// its account scheduled is taken back when both are there again; later than that, or where the
// owner decided something since, it stays. What was to fall to a cheaper plan then does so.
//
// A change that moves money is the record's Move, of which an account has at most one:
//
//	asked ──▶ submitted ──┬──────────────────────────────────────▶ paid: the site has its plan
//	  │                   ├──▶ waiting for the customer ─────────▶ paid
//	  │                   │        │ given up, or not confirmed in time
//	  │                   ▼        ▼
//	  │                declined ──▶ abandoned: the invoice is ───▶ failed: the site keeps what
//	  │                             to be voided                   it has, and says why
//	  │                                 └────────────────────────▶ paid, where that came first
//	  └──▶ dropped, before it was submitted
//
// A customer has 23 hours to confirm a payment, and until ten minutes before the period ends,
// so that what else was decided reaches the provider before the renewal.
//
// A renewal that was declined is tried once more with each card that is entered, whenever it is: also
// where the card was there before the decline was seen, and where it has the same digits.
//
// An account's standing is good; past due from a renewal's first failed attempt on, when
// everything holds; degraded 14 days after the invoice was made, when paid sites have what
// free ones have, until it is paid; and 60 days later the debt is written off and the sites
// fall for good. Sites stay online in all of them, and nothing is taken away on news that is
// older than its time.
//
// The last site that is paid for keeps its item, and the subscription ends with the period.
// What a renewal billed although a fall had been decided before it is given back as a credit
// once its invoice is paid; a fall that was taken back too late for the renewal does not
// stick, and the site falls.
//
// # How it is carried out
//
// All that is known of an account's payments is one value of the registry, the
// BillingRecord of the storage format. Decisions ([Engine.Change] and its like) edit it within a
// transaction of the caller's, and ask for work. [Engine.Settle] is the work: it looks at the
// record, does the one thing that follows (rules.next), stores what came of it
// (rules.observe and its like) and looks again. Both are functions of the record and a time,
// without any I/O; Settle around them is thin. It is level-triggered: it may be stopped
// anywhere, run at any time, any number of times, and twice at once.
//
// A call that changes something at the provider is stored with its idempotency key before it
// is made, and repeated with that key until there is an answer; nothing else is asked of the
// provider meanwhile. Past 23 hours, and where the provider says that the key is spent, the
// call is forgotten, the state is fetched and everything is decided anew: only what had no
// effect is asked for again, under another key. What webhooks say is never believed; they
// have the state fetched ([Engine.Ask]). [Engine.Reconcile] compares all of it.
//
// A site's entitlement changes in one transaction with the site's new version ([Tx.Entitle]).
// Falls, reminders and entitlements need no provider and come before anything that does.
//
// # Ordering and concurrency
//
// An [Engine] has no goroutines and no state but its configuration; its methods may be called
// concurrently. Those that take a [Tx] do nothing but what it offers, and may be run again on
// a newer record. Those that take a context block for the store and the provider. Transactions
// of one account are ordered by the store; a fetched state is dropped where something newer
// became known while it was fetched.
package billing
