package stripe

import (
	"context"
	"errors"

	stripego "github.com/stripe/stripe-go/v76"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
)

// maxLines is how many lines of an invoice are read; the PDF has them all.
const maxLines = 250

const paymentIntent = "payment_intent"

// PayInvoice charges the customer's card for an open invoice. off_session=false has Stripe
// ask for what the card's bank wants, as a person is or was there, instead of declining at
// once: such an invoice comes back open, with its Action, and is no error.
func (p *Provider) PayInvoice(ctx context.Context, key, invoice string) (*billing.Invoice, error) {
	if err := checkID("invoice", invoice); err != nil {
		return nil, err
	}
	var paid *stripego.Invoice
	err := p.change(ctx, key, "pay invoice", func(params stripego.Params) (err error) {
		paid, err = p.invoices.Pay(invoice, &stripego.InvoicePayParams{
			Params: params, OffSession: new(false), Expand: expand(paymentIntent),
		})
		return err
	})
	return p.settled(ctx, invoice, paid, err, func(now *billing.Invoice) bool {
		return now.State == breakwaterv1.Invoice_PAID || now.Action != nil
	})
}

// VoidInvoice takes an open invoice back, and with it the pending update that it pays for
// (https://docs.stripe.com/billing/subscriptions/pending-updates).
func (p *Provider) VoidInvoice(ctx context.Context, key, invoice string) (*billing.Invoice, error) {
	if err := checkID("invoice", invoice); err != nil {
		return nil, err
	}
	var void *stripego.Invoice
	err := p.change(ctx, key, "void invoice", func(params stripego.Params) (err error) {
		void, err = p.invoices.VoidInvoice(invoice, &stripego.InvoiceVoidInvoiceParams{Params: params, Expand: expand(paymentIntent)})
		return err
	})
	return p.settled(ctx, invoice, void, err, func(now *billing.Invoice) bool { return now.State == breakwaterv1.Invoice_VOID })
}

// MarkUncollectible gives an open invoice up. One that was given up before is no error.
func (p *Provider) MarkUncollectible(ctx context.Context, key, invoice string) (*billing.Invoice, error) {
	if err := checkID("invoice", invoice); err != nil {
		return nil, err
	}
	var given *stripego.Invoice
	err := p.change(ctx, key, "mark uncollectible", func(params stripego.Params) (err error) {
		given, err = p.invoices.MarkUncollectible(invoice, &stripego.InvoiceMarkUncollectibleParams{
			Params: params, Expand: expand(paymentIntent),
		})
		return err
	})
	return p.settled(ctx, invoice, given, err, func(now *billing.Invoice) bool {
		return now.State == breakwaterv1.Invoice_UNCOLLECTIBLE
	})
}

// settled completes what became of a change of an invoice. Stripe refuses what is so already
// and declines what was paid meanwhile, in words and codes that differ: so after a refusal
// or a decline the invoice itself says whether it is as it should be.
func (p *Provider) settled(
	ctx context.Context, id string, answer *stripego.Invoice, err error, done func(*billing.Invoice) bool,
) (*billing.Invoice, error) {
	if err == nil {
		return p.complete(ctx, answer)
	}
	var declined *billing.PaymentError
	if !errors.As(err, &declined) && !errors.Is(err, billing.ErrRefused) {
		return nil, err
	}
	now, again := p.Invoice(ctx, id)
	switch {
	case again != nil:
		// What became of it is not known, and a repeat with the key is harmless.
		return nil, again
	case done(now):
		return now, nil
	case declined != nil:
		declined.Invoice = id
	}
	return nil, err
}

// Invoice returns an invoice.
func (p *Provider) Invoice(ctx context.Context, invoice string) (*billing.Invoice, error) {
	if err := checkID("invoice", invoice); err != nil {
		return nil, err
	}
	var found *stripego.Invoice
	err := p.read(ctx, "get invoice", func(params stripego.Params) (err error) {
		found, err = p.invoices.Get(invoice, &stripego.InvoiceParams{Params: params, Expand: expand(paymentIntent)})
		return err
	})
	if err != nil {
		return nil, err
	}
	return p.complete(ctx, found)
}

// Invoices returns a customer's invoices, newest first.
func (p *Provider) Invoices(ctx context.Context, customer, after string, limit int) (page []*billing.Invoice, more bool, err error) {
	if err := checkID("customer", customer); err != nil {
		return nil, false, err
	}
	var found []*stripego.Invoice
	err = p.list(ctx, "list invoices", min(max(limit, 1), maxList), func(list stripego.ListParams) error {
		if after != "" {
			list.StartingAfter = new(after)
		}
		all := p.invoices.List(&stripego.InvoiceListParams{
			ListParams: list, Customer: new(customer), Expand: expand("data." + paymentIntent),
		})
		for all.Next() {
			found = append(found, all.Invoice())
		}
		if err := all.Err(); err != nil {
			return err
		}
		more = all.Meta().HasMore
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	for _, one := range found {
		complete, err := p.complete(ctx, one)
		if err != nil {
			return nil, false, err
		}
		page = append(page, complete)
	}
	return page, more, nil
}

// complete turns an invoice and reads the lines that are not in it; answers have the first
// ten, which is nearly always all.
func (p *Provider) complete(ctx context.Context, i *stripego.Invoice) (*billing.Invoice, error) {
	out := asInvoice(i)
	if i.Lines == nil || !i.Lines.HasMore || len(i.Lines.Data) == 0 {
		return out, nil
	}
	after, more := i.Lines.Data[len(i.Lines.Data)-1].ID, true
	for more && len(out.Lines) < maxLines {
		err := p.list(ctx, "list invoice lines", min(maxList, maxLines-len(out.Lines)), func(list stripego.ListParams) error {
			list.StartingAfter = new(after)
			rest := p.invoices.ListLines(&stripego.InvoiceListLinesParams{ListParams: list, Invoice: new(i.ID)})
			var lines []*stripego.InvoiceLineItem
			for rest.Next() {
				lines = append(lines, rest.InvoiceLineItem())
			}
			if err := rest.Err(); err != nil {
				return err
			}
			more = rest.Meta().HasMore && len(lines) > 0
			if more {
				after = lines[len(lines)-1].ID
			}
			out.Lines = append(out.Lines, asLines(lines)...)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
