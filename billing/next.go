package billing

import (
	"slices"
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// action is what is to be done next for an account.
type action int

const (
	// nothing is to be done before a time.
	nothing action = iota

	// These are transactions of the registry.

	// entitleSites gives some sites what they should have.
	entitleSites
	// fallSites lets some sites fall to their next plans.
	fallSites
	// remind sends a letter.
	remind
	// degrade gives all sites the cheapest plan's entitlements.
	degrade
	// writeOffDebt gives the overdue invoices up, and the sites fall for good.
	writeOffDebt
	// closeDebt ends what is left of a debt that was written off.
	closeDebt
	// expireMove has a move taken back that waited for too long.
	expireMove
	// failMove ends a move that was not submitted.
	failMove
	// expireCall forgets a call whose key the provider may have forgotten.
	expireCall
	// begin stores a call that is to be made.
	begin

	// These ask the provider.

	// ask fetches the account's state.
	ask
	// call makes the call that is stored.
	call
)

// step is what is to be done next, and with what.
type step struct {
	action action
	// sites are for entitleSites and fallSites, operation for begin, reason for failMove.
	sites     []string
	operation operation
	reason    string
	// subject is what an operation is about, where the record leaves a choice.
	subject string
	// again is when to look again, for nothing; zero for when asked.
	again time.Time
}

// callLife is how long a call is repeated with one key: the provider forgets keys after a day.
const callLife = 23 * time.Hour

// next says what follows from a record. What needs no provider comes first, so that no
// outage of it keeps a plan from falling; then the call that is under way, since nothing else
// may be asked of the provider before its outcome is known; then what the provider must be
// asked; then what it must be told, in the order in which it must happen.
func (r *rules) next(rec *storev1.BillingRecord, now time.Time) step {
	if s := r.local(rec, now); s.action != nothing {
		return s
	}
	if c := rec.GetCall(); c != nil {
		if now.Sub(at(c.GetFirstTime())) >= callLife {
			return step{action: expireCall}
		}
		return step{action: call}
	}
	if rec.GetRefetch() || due(r.askAt(rec), now) {
		return step{action: ask}
	}
	for _, follow := range []func(*storev1.BillingRecord, time.Time) step{
		r.dunning, r.customer, r.move, r.sync, r.credit,
	} {
		if s := follow(rec, now); s.action != nothing {
			return s
		}
	}
	return step{again: r.again(rec, now)}
}

// maxSites is how many sites get their new versions in one transaction, each with the record:
// so that an account with thousands of them does not write its record as often.
const maxSites = 16

// local is what needs no provider.
func (r *rules) local(rec *storev1.BillingRecord, now time.Time) step {
	var wrong, fallen []string
	for domain, s := range rec.GetSites() {
		if r.effective(rec, s) != entitled(s) {
			wrong = append(wrong, domain)
		}
		if s.GetNextPlan() != s.GetPlan() && due(at(s.GetFallTime()), now) {
			fallen = append(fallen, domain)
		}
	}
	first := func(sites []string) []string {
		slices.Sort(sites)
		return sites[:min(len(sites), maxSites)]
	}
	switch {
	case len(wrong) > 0:
		return step{action: entitleSites, sites: first(wrong)}
	case len(fallen) > 0:
		return step{action: fallSites, sites: first(fallen)}
	case due(reminderAt(rec), now) && !due(harshAt(rec), now):
		return step{action: remind}
	}
	return step{}
}

// customer is what the provider must know of the customer.
func (r *rules) customer(rec *storev1.BillingRecord, _ time.Time) step {
	switch {
	case rec.GetCustomer() == "" && rec.GetNeedCustomer():
		return step{action: begin, operation: opCreateCustomer}
	case rec.GetCustomer() != "" && rec.GetDetailsNumber() > rec.GetSentDetails():
		return step{action: begin, operation: opUpdateCustomer}
	case len(rec.GetStrays()) > 0:
		return step{action: begin, operation: opCancel, subject: rec.GetStrays()[0]}
	}
	return step{}
}

// move is what is next for the change in flight.
func (r *rules) move(rec *storev1.BillingRecord, now time.Time) step {
	m := rec.GetMove()
	switch {
	case m == nil || m.GetSubscription() != "" && m.GetSubmitted() && rec.GetSubscription() == "":
		return step{}
	case !m.GetSubmitted():
		return r.submit(rec, now)
	case !m.GetAbandon() && due(at(m.GetExpireTime()), now) && m.GetInvoice() != "":
		return step{action: expireMove}
	}
	open := m.GetInvoice() != "" // As far as is known: observe ends a move whose invoice is not.
	if rec.GetSeen().GetLatestInvoice() == m.GetInvoice() {
		open = rec.GetSeen().GetLatestInvoiceState() == breakwaterv1.Invoice_OPEN
	}
	begins := Status(rec.GetSeen().GetStatus()) == Incomplete
	switch {
	case m.GetAbandon() && open:
		return step{action: begin, operation: opVoid, subject: m.GetInvoice()}
	case m.GetAbandon() && begins:
		return step{action: begin, operation: opCancel, subject: rec.GetSubscription()}
	case begins && !m.GetTried():
		return step{action: begin, operation: opPay, subject: m.GetInvoice()}
	}
	return step{}
}

// submit is what is next for a move that the provider was not told of. The state was fetched
// since the move was asked for.
func (r *rules) submit(rec *storev1.BillingRecord, now time.Time) step {
	m, seen := rec.GetMove(), rec.GetSeen()
	start, end := at(seen.GetPeriodStart()), at(seen.GetPeriodEnd())
	prorate := at(m.GetProrationTime())
	fail := func(why string) step { return step{action: failMove, reason: why} }
	switch {
	case m.GetAbandon():
		return fail("")
	case !now.Before(at(m.GetCreateTime()).Add(moveLife)):
		return fail("The payment could not be made in time.")
	case standing(rec) != breakwaterv1.Billing_GOOD:
		return fail("An invoice is overdue.")
	case seen.GetPaymentMethod() == nil:
		return fail("There is no payment method.")
	case m.GetQuoted() && seen.GetBalance() > m.GetBalance():
		return fail("The account's credit was used meanwhile, and the price is another one.")
	case m.GetSubscription() != rec.GetSubscription():
		return fail("The subscription has changed meanwhile.")
	case m.GetSubscription() == "":
		return step{action: begin, operation: opCreateSubscription}
	case !live(rec):
		return step{}
	case prorate.Before(start):
		return fail("A new month has begun meanwhile.")
	case !prorate.Before(end):
		return step{} // The renewal comes first.
	}
	if s := r.sync(rec, now); s.action != nothing {
		return s
	}
	return step{action: begin, operation: opUpgrade}
}

// sync is what the provider must be told of the next renewal.
func (r *rules) sync(rec *storev1.BillingRecord, _ time.Time) step {
	m := rec.GetMove()
	if rec.GetSubscription() == "" || m.GetSubmitted() {
		return step{}
	}
	if !live(rec) { // Nothing waits for its first payment any more.
		return step{action: begin, operation: opCancel, subject: rec.GetSubscription()}
	}
	q, cancel := r.target(rec)
	switch {
	case !same(q, rec.GetSeen().GetQuantities()):
		return step{action: begin, operation: opQuantities}
	case cancel != rec.GetSeen().GetCancelAtPeriodEnd():
		return step{action: begin, operation: opCancelAtPeriodEnd}
	}
	return step{}
}

// credit is the first credit that may be given.
func (r *rules) credit(rec *storev1.BillingRecord, now time.Time) step {
	for _, c := range rec.GetCredits() {
		if c.GetDue() && !c.GetUnsure() && rec.GetCustomer() != "" {
			if now.Sub(at(rec.GetSeen().GetCustomerTime())) > minPoll {
				return step{action: ask} // The balance tells later whether it was given.
			}
			return step{action: begin, operation: opCredit, subject: c.GetId()}
		}
	}
	return step{}
}

// due says whether a time that is set has come.
func due(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }
