package local

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
)

// onInvoice runs a change of an invoice under an idempotency key.
func (p *Provider) onInvoice(ctx context.Context, key, request, id string, fn func(*book, *storev1.LedgerSubscription, *storev1.LedgerInvoice) error) (*billing.Invoice, error) {
	customer, number, ok := parseID("in_", id)
	if !ok {
		return nil, fmt.Errorf("%w: invoice %s", billing.ErrNotFound, id)
	}
	var out *billing.Invoice
	err := p.call(ctx, customer, key, request+" "+id, func(b *book) (string, error) {
		inv, err := b.invoice(number)
		if err != nil {
			return "", err
		}
		s, err := b.find(inv.GetSubscription())
		if err != nil {
			return "", err
		}
		switch {
		case !b.replay:
			err = fn(b, s, inv)
		case b.before.GetDeclined():
			err = b.declined(inv)
		}
		out = b.shownInvoice(inv)
		return id, err
	})
	return out, err
}

func (b *book) declined(inv *storev1.LedgerInvoice) error {
	return &billing.PaymentError{
		Code: "card_declined", Message: "Your card was declined.", Invoice: invoiceID(b.ledger.GetCustomer(), inv.GetNumber()),
	}
}

// PayInvoice implements [billing.Provider]. An invoice that waits for the customer comes back
// with its Action.
func (p *Provider) PayInvoice(ctx context.Context, key, invoice string) (*billing.Invoice, error) {
	return p.onInvoice(ctx, key, "pay", invoice, func(b *book, s *storev1.LedgerSubscription, inv *storev1.LedgerInvoice) error {
		switch inv.GetState() {
		case breakwaterv1.Invoice_PAID:
			return nil
		case breakwaterv1.Invoice_OPEN, breakwaterv1.Invoice_UNCOLLECTIBLE:
		default:
			return refused("the invoice is %s", inv.GetState())
		}
		b.attempt(s, inv)
		if err := b.put(inv); err != nil {
			return err
		}
		if inv.GetState() != breakwaterv1.Invoice_PAID && !inv.GetWaits() {
			return b.declined(inv)
		}
		return nil
	})
}

// VoidInvoice implements [billing.Provider].
func (p *Provider) VoidInvoice(ctx context.Context, key, invoice string) (*billing.Invoice, error) {
	return p.onInvoice(ctx, key, "void", invoice, func(b *book, s *storev1.LedgerSubscription, inv *storev1.LedgerInvoice) error {
		switch inv.GetState() {
		case breakwaterv1.Invoice_VOID:
			return nil
		case breakwaterv1.Invoice_PAID:
			return refused("the invoice is paid")
		default:
			return b.voided(s, inv)
		}
	})
}

// voided is void, with inv as it is afterwards.
func (b *book) voided(s *storev1.LedgerSubscription, inv *storev1.LedgerInvoice) error {
	if err := b.void(s, inv.GetNumber()); err != nil {
		return err
	}
	after, err := b.invoice(inv.GetNumber())
	if err == nil {
		inv.State, inv.Waits, inv.Failure, inv.NextTime, inv.FromBalance = after.GetState(), false, "", nil, 0
	}
	return err
}

// MarkUncollectible implements [billing.Provider].
func (p *Provider) MarkUncollectible(ctx context.Context, key, invoice string) (*billing.Invoice, error) {
	return p.onInvoice(ctx, key, "give up", invoice, func(b *book, s *storev1.LedgerSubscription, inv *storev1.LedgerInvoice) error {
		switch inv.GetState() {
		case breakwaterv1.Invoice_UNCOLLECTIBLE:
			return nil
		case breakwaterv1.Invoice_OPEN:
		default:
			return refused("the invoice is %s", inv.GetState())
		}
		inv.State, inv.Waits, inv.NextTime = breakwaterv1.Invoice_UNCOLLECTIBLE, false, nil
		b.settled(s, inv.GetNumber())
		return b.put(inv)
	})
}

// Invoice implements [billing.Provider].
func (p *Provider) Invoice(ctx context.Context, invoice string) (*billing.Invoice, error) {
	customer, number, ok := parseID("in_", invoice)
	if !ok {
		return nil, fmt.Errorf("%w: invoice %s", billing.ErrNotFound, invoice)
	}
	var out *billing.Invoice
	err := p.read(ctx, customer, func(b *book) error {
		inv, err := b.invoice(number)
		if err == nil {
			out = b.shownInvoice(inv)
		}
		return err
	})
	return out, err
}

// Invoices implements [billing.Provider].
func (p *Provider) Invoices(ctx context.Context, customer, after string, limit int) (page []*billing.Invoice, more bool, err error) {
	err = p.read(ctx, customer, func(b *book) error {
		page, more = nil, false
		next := b.ledger.GetInvoiceCount()
		if after != "" {
			of, number, ok := parseID("in_", after)
			if !ok || of != customer {
				return fmt.Errorf("%w: invoice %s", billing.ErrNotFound, after)
			}
			next = number - 1
		}
		for ; next >= 1; next-- {
			if len(page) == limit {
				more = true
				return nil
			}
			inv, err := b.invoice(next)
			if err != nil {
				return err
			}
			page = append(page, b.shownInvoice(inv))
		}
		return nil
	})
	return page, more, err
}

// Preview implements [billing.Provider].
func (p *Provider) Preview(ctx context.Context, u billing.UpgradeRequest) (*billing.Invoice, error) {
	customer, _, ok := parseID("sub_", u.Subscription)
	if !ok {
		return nil, fmt.Errorf("%w: subscription %s", billing.ErrNotFound, u.Subscription)
	}
	after, err := p.billed(u.Quantities)
	if err != nil {
		return nil, err
	}
	var out *billing.Invoice
	err = p.read(ctx, customer, func(b *book) error {
		s, err := b.find(u.Subscription)
		if err != nil {
			return err
		}
		period := month(s.GetAnchorTime().AsTime(), s.GetPeriods())
		lines := prorations(p.cfg.Plans, s.GetQuantities(), after, period, unix(u.ProrationTime))
		out = b.shownInvoice(&storev1.LedgerInvoice{
			Subscription: s.GetId(), Reason: string(billing.ReasonUpdate), State: breakwaterv1.Invoice_DRAFT,
			CreateTime: timestamppb.New(b.now), Lines: lines,
		})
		return nil
	})
	return out, err
}

// shownInvoice is an invoice as [billing.Provider] has it. One without a number has no ID.
func (b *book) shownInvoice(inv *storev1.LedgerInvoice) *billing.Invoice {
	total := sum(inv.GetLines())
	out := &billing.Invoice{
		Customer: b.ledger.GetCustomer(), Subscription: inv.GetSubscription(), Reason: billing.Reason(inv.GetReason()),
		State: inv.GetState(), Created: inv.GetCreateTime().AsTime(), Subtotal: total, Total: total,
		AmountDue: max(total-inv.GetFromBalance(), 0), Failure: inv.GetFailure(), Attempts: int(inv.GetAttempts()),
		Email: inv.GetEmail(), Details: proto.CloneOf(inv.GetDetails()),
	}
	if inv.GetNumber() > 0 {
		out.ID = invoiceID(b.ledger.GetCustomer(), inv.GetNumber())
		out.Number = fmt.Sprintf("%.8s-%04d", out.ID[len("in_"):], inv.GetNumber())
	}
	for _, l := range inv.GetLines() {
		out.Lines = append(out.Lines, billing.InvoiceLine{
			Description: l.GetDescription(), Plan: l.GetPlan(), Quantity: l.GetQuantity(), Amount: l.GetAmount(),
			Proration: l.GetProration(), PeriodStart: l.GetStartTime().AsTime(), PeriodEnd: l.GetEndTime().AsTime(),
		})
	}
	switch inv.GetState() {
	case breakwaterv1.Invoice_PAID:
		out.Paid, out.AmountPaid = inv.GetPayTime().AsTime(), out.AmountDue
	case breakwaterv1.Invoice_OPEN, breakwaterv1.Invoice_UNCOLLECTIBLE:
		out.AmountRemaining = out.AmountDue
	default:
	}
	if inv.GetNextTime() != nil {
		out.NextAttempt = inv.GetNextTime().AsTime()
	}
	if inv.GetState() == breakwaterv1.Invoice_OPEN && inv.GetFailure() != "" {
		out.FailedMethodID = cardID(b.ledger.GetCustomer(), inv.GetTriedCard())
	}
	if inv.GetWaits() {
		out.Action = &billing.Action{URL: b.cfg.ConfirmURL, ClientSecret: out.ID + "_secret"}
	}
	return out
}
