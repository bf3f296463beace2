package billing

import (
	"fmt"
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

const (
	// degradeNotice is how long before degrading the last reminder goes out.
	degradeNotice = 3 * 24 * time.Hour
	// writeOffNotice is the same before a debt is written off.
	writeOffNotice = 7 * 24 * time.Hour
)

// The reminders that were sent, in Standing.reminders.
const (
	toldPastDue int32 = iota + 1
	toldDegradesSoon
	toldDegraded
	toldWriteOffSoon
)

// reminderAt is when the next reminder that is no news of a change goes out; zero for none.
func reminderAt(rec *storev1.BillingRecord) time.Time {
	st := rec.GetStanding()
	switch {
	case st.GetWrittenOff():
	case st.GetState() == breakwaterv1.Billing_PAST_DUE && st.GetReminders() < toldDegradesSoon:
		return at(st.GetDegradeTime()).Add(-degradeNotice)
	case st.GetState() == breakwaterv1.Billing_DEGRADED && st.GetReminders() < toldWriteOffSoon:
		return at(st.GetWriteOffTime()).Add(-writeOffNotice)
	}
	return time.Time{}
}

// harshAt is when something is taken away for an overdue invoice; zero for never.
func harshAt(rec *storev1.BillingRecord) time.Time {
	switch st := rec.GetStanding(); standing(rec) {
	case breakwaterv1.Billing_PAST_DUE:
		return at(st.GetDegradeTime())
	case breakwaterv1.Billing_DEGRADED:
		return at(st.GetWriteOffTime())
	default:
		return time.Time{}
	}
}

// dunning is what is next for an overdue invoice.
func (r *rules) dunning(rec *storev1.BillingRecord, now time.Time) step {
	st := rec.GetStanding()
	state := standing(rec)
	switch {
	case state == breakwaterv1.Billing_GOOD:
	case st.GetWrittenOff() && rec.GetSubscription() != "":
		return step{action: begin, operation: opCancel, subject: rec.GetSubscription()}
	case st.GetWrittenOff() && st.GetInvoice() != "":
		return step{action: begin, operation: opUncollectible, subject: st.GetInvoice()}
	case st.GetWrittenOff():
		return step{action: closeDebt}
	case st.GetInvoice() != "" && untried(rec):
		return step{action: begin, operation: opPay, subject: st.GetInvoice()}
	case !due(harshAt(rec), now):
	case state == breakwaterv1.Billing_PAST_DUE:
		return step{action: degrade}
	default:
		return step{action: writeOffDebt}
	}
	return step{}
}

// untried says that there is a card with which the overdue invoice was not tried yet. One try for
// each card that is entered: whatever came of it, the card is a tried one from the moment on at
// which the call begins.
func untried(rec *storev1.BillingRecord) bool {
	card := rec.GetSeen().GetPaymentMethodId()
	return card != "" && card != rec.GetStanding().GetTriedMethod()
}

// judge sets the standing by what is known of the renewals' invoices. complete says that all
// that are overdue are among them.
func (r *rules) judge(tx Tx, overdue *Invoice, complete bool) error {
	rec := tx.Record()
	st := rec.GetStanding()
	switch {
	case st.GetWrittenOff():
		if complete {
			rec.Standing.Invoice = overdue.id()
		}
		return nil
	case overdue == nil && (standing(rec) == breakwaterv1.Billing_GOOD || !complete):
		return nil
	case overdue == nil:
		rec.Standing = nil
		tx.Audit(billingResource, "everything is paid: what was paid for is there again")
		return tx.Mail(st.GetInvoice()+"-paid", "Your payment arrived",
			"Thank you: nothing is overdue any more, and your sites have everything that their plans have.\n")
	case standing(rec) == breakwaterv1.Billing_GOOD:
		degradeAt := overdue.Created.Add(r.grace)
		rec.Standing = &storev1.Standing{
			State:        breakwaterv1.Billing_PAST_DUE,
			Invoice:      overdue.ID,
			SinceTime:    stamp(overdue.Created),
			DegradeTime:  stamp(degradeAt),
			WriteOffTime: stamp(degradeAt.Add(r.writeOff)),
			Reminders:    toldPastDue,
			TriedMethod:  overdue.FailedMethodID,
		}
		tx.Audit(billingResource, fmt.Sprintf("the renewal's invoice is not paid; everything holds until %s", day(degradeAt)))
		return tx.Mail(overdue.ID+"-overdue", "Your payment did not go through", fmt.Sprintf(
			"Your card could not be charged for the monthly invoice%s. Everything stays as it is until %s: please enter another card, or pay the invoice, before then.\n%s",
			numbered(overdue), day(degradeAt), page(overdue)))
	}
	if st.GetInvoice() != overdue.ID {
		st.Invoice, st.TriedMethod = overdue.ID, overdue.FailedMethodID
	}
	return nil
}

// remind sends the reminder that is due.
func (r *rules) remind(tx Tx) error {
	st := tx.Record().GetStanding()
	if st.GetState() == breakwaterv1.Billing_PAST_DUE {
		st.Reminders = toldDegradesSoon
		return tx.Mail(st.GetInvoice()+"-degrades-soon", "Your invoice is still unpaid", fmt.Sprintf(
			"An invoice is overdue. On %s your sites lose what the free plan does not have; they stay online. Please enter another card, or pay the invoice, before then.\n",
			day(at(st.GetDegradeTime()))))
	}
	st.Reminders = toldWriteOffSoon
	return tx.Mail(st.GetInvoice()+"-ends-soon", "Your subscription is about to end", fmt.Sprintf(
		"An invoice has been overdue for long. On %s your subscription ends, and all your sites stay on the free plan. Pay the invoice before then to get back what you had.\n",
		day(at(st.GetWriteOffTime()))))
}

// degrade begins the time in which paid sites have what free ones have; their own transactions
// follow.
func (r *rules) degrade(tx Tx) error {
	st := tx.Record().GetStanding()
	st.State, st.Reminders = breakwaterv1.Billing_DEGRADED, toldDegraded
	tx.Audit(billingResource, "an invoice was overdue for too long: paid sites have what free ones have until it is paid")
	return tx.Mail(st.GetInvoice()+"-degraded", "Your sites are on free features", fmt.Sprintf(
		"An invoice was not paid, so your sites have only what the free plan has. They are online, and everything comes back when the invoice is paid; on %s the subscription ends.\n",
		day(at(st.GetWriteOffTime()))))
}

// writeOffDebt ends all that was paid for. The sites have what free ones have already.
func (r *rules) writeOffDebt(tx Tx) {
	rec := tx.Record()
	rec.Standing.WrittenOff = true
	rec.Sites = nil
	rec.Credits = nil
	rec.Generation++
	tx.Audit(billingResource, "the debt is written off: the subscription ends, and all sites stay on the free plan")
}

func day(t time.Time) string { return t.UTC().Format("2 January 2006") }

func numbered(i *Invoice) string {
	if i.Number == "" {
		return ""
	}
	return " " + i.Number
}

// page says where an invoice can be paid, where it can.
func page(i *Invoice) string {
	if i.HostedURL == "" {
		return ""
	}
	return "\nThe invoice can be paid at " + i.HostedURL + "\n"
}

// id is the invoice's ID; empty for none.
func (i *Invoice) id() string {
	if i == nil {
		return ""
	}
	return i.ID
}
