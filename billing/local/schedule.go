package local

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
)

const day = 24 * time.Hour

// retries are when an unpaid renewal is tried again, from the first attempt.
var retries = []time.Duration{3 * day, 5 * day, 7 * day}

// confirmLife is how long a customer has to confirm a payment.
const confirmLife = 23 * time.Hour

// occurrence is something that time asks for.
type occurrence struct {
	at time.Time
	do func() error
}

// catchUp does what time asked for up to now, each at its own time.
func (b *book) catchUp(now time.Time) error {
	for {
		next, err := b.next()
		if err != nil || next == nil || next.at.After(now) {
			return err
		}
		b.now = next.at
		if err := next.do(); err != nil {
			return err
		}
	}
}

// next is what time asks for first, or nil. What expires goes before a retry, and that before
// a renewal at the same time.
func (b *book) next() (*occurrence, error) {
	s := b.current()
	if s == nil || billing.Status(s.GetStatus()).Over() {
		return nil, nil
	}
	var first *occurrence
	offer := func(at time.Time, do func() error) {
		if first == nil || at.Before(first.at) {
			first = &occurrence{at, do}
		}
	}
	if s.GetExpireTime() != nil {
		offer(s.GetExpireTime().AsTime(), func() error { return b.void(s, s.GetLatestInvoice()) })
	}
	for _, n := range s.GetOpenInvoices() {
		inv, err := b.invoice(n)
		if err != nil {
			return nil, err
		}
		if inv.GetNextTime() != nil {
			offer(inv.GetNextTime().AsTime(), func() error {
				b.attempt(s, inv)
				return b.put(inv)
			})
		}
	}
	if s.GetStatus() != string(billing.Incomplete) {
		offer(month(s.GetAnchorTime().AsTime(), s.GetPeriods()).end, func() error { return b.renew(s) })
	}
	return first, nil
}

// renew ends a period: the subscription goes on with an invoice for the next one, or ends.
func (b *book) renew(s *storev1.LedgerSubscription) error {
	if s.GetCancelAtPeriodEnd() {
		return b.end(s)
	}
	s.Periods++
	p := month(s.GetAnchorTime().AsTime(), s.GetPeriods())
	inv := b.bill(s, billing.ReasonCycle, months(b.cfg.Plans, s.GetQuantities(), p))
	if inv.GetState() == breakwaterv1.Invoice_OPEN {
		s.OpenInvoices = append(s.GetOpenInvoices(), inv.GetNumber())
		b.attempt(s, inv)
	}
	return b.put(inv)
}

// end cancels a subscription: what waits for its payment is void, what is owed stays.
func (b *book) end(s *storev1.LedgerSubscription) error {
	if s.GetExpireTime() != nil {
		if err := b.void(s, s.GetLatestInvoice()); err != nil {
			return err
		}
	}
	s.Status = string(billing.Canceled)
	for _, n := range s.GetOpenInvoices() {
		inv, err := b.invoice(n)
		if err != nil {
			return err
		}
		inv.NextTime = nil
		if err := b.put(inv); err != nil {
			return err
		}
	}
	return nil
}

// bill makes the next invoice of a subscription. The balance goes first; what it covers is
// paid at once, and what is negative goes to it.
func (b *book) bill(s *storev1.LedgerSubscription, reason billing.Reason, lines []*storev1.LedgerLine) *storev1.LedgerInvoice {
	b.ledger.InvoiceCount++
	inv := &storev1.LedgerInvoice{
		Number: b.ledger.GetInvoiceCount(), Subscription: s.GetId(), Reason: string(reason),
		State: breakwaterv1.Invoice_OPEN, CreateTime: timestamppb.New(b.now), Lines: lines,
		Email: b.ledger.GetEmail(), Details: proto.CloneOf(b.ledger.GetDetails()),
	}
	s.LatestInvoice = inv.GetNumber()
	total := sum(lines)
	take := min(total, -b.ledger.GetBalance()) // Negative where the balance gets something.
	b.ledger.Balance += take
	inv.FromBalance = take
	if total == take {
		b.paid(s, inv)
	}
	return inv
}

// attempt charges the card for an open invoice.
func (b *book) attempt(s *storev1.LedgerSubscription, inv *storev1.LedgerInvoice) {
	inv.Attempts++
	inv.TriedCard = b.ledger.GetCardCount()
	inv.Waits, inv.Failure, inv.NextTime = false, "", nil
	switch b.ledger.GetCard() {
	case storev1.Ledger_ACCEPTS:
		b.paid(s, inv)
		return
	case storev1.Ledger_WAITS:
		inv.Waits, inv.Failure = true, "The payment waits for your confirmation."
	case storev1.Ledger_DECLINES, storev1.Ledger_CARD_UNSPECIFIED:
		inv.Failure = "Your card was declined."
	}
	if inv.GetReason() != string(billing.ReasonCycle) {
		return
	}
	s.Status = string(billing.PastDue)
	for _, after := range retries {
		if at := inv.GetCreateTime().AsTime().Add(after); at.After(b.now) {
			inv.NextTime = timestamppb.New(at)
			return
		}
	}
}

// paid is the end of an invoice that was paid, and what it pays for begins.
func (b *book) paid(s *storev1.LedgerSubscription, inv *storev1.LedgerInvoice) {
	inv.State, inv.PayTime = breakwaterv1.Invoice_PAID, timestamppb.New(b.now)
	inv.Waits, inv.Failure, inv.NextTime = false, "", nil
	if inv.GetNumber() == s.GetLatestInvoice() {
		if len(s.GetPending()) > 0 {
			s.Quantities, s.Pending = s.GetPending(), nil
		}
		if s.GetStatus() == string(billing.Incomplete) {
			s.Status = string(billing.Active)
		}
		s.ExpireTime = nil
	}
	b.settled(s, inv.GetNumber())
}

// settled says that nothing is owed for an invoice any more.
func (b *book) settled(s *storev1.LedgerSubscription, n int64) {
	s.OpenInvoices = slices.DeleteFunc(s.GetOpenInvoices(), func(open int64) bool { return open == n })
	if s.GetStatus() == string(billing.PastDue) && len(s.GetOpenInvoices()) == 0 {
		s.Status = string(billing.Active)
	}
}

// void takes an invoice back, with what it was to pay for.
func (b *book) void(s *storev1.LedgerSubscription, n int64) error {
	inv, err := b.invoice(n)
	if err != nil {
		return err
	}
	inv.State, inv.Waits, inv.Failure, inv.NextTime = breakwaterv1.Invoice_VOID, false, "", nil
	b.ledger.Balance -= inv.GetFromBalance()
	inv.FromBalance = 0
	if n == s.GetLatestInvoice() {
		s.Pending, s.ExpireTime = nil, nil
		if s.GetStatus() == string(billing.Incomplete) {
			s.Status = string(billing.IncompleteExpired)
		}
	}
	b.settled(s, n)
	return b.put(inv)
}
