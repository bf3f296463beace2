package stripetest

import (
	"fmt"
	"maps"
	"time"
)

// The statuses of an invoice (https://docs.stripe.com/invoicing/overview#invoice-statuses).
const (
	invoiceDraft         = "draft"
	invoiceOpen          = "open"
	invoicePaid          = "paid"
	invoiceVoid          = "void"
	invoiceUncollectible = "uncollectible"
)

// invoice is what a customer is asked to pay.
type invoice struct {
	stamped
	customer, subscription, number, reason, status, intent string
	lines                                                  []*line
	starting, ending                                       int64 // The customer's balance before and after.
	due, paid                                              int64
	attempts                                               int
	attempted, auto                                        bool
	// pending says that it pays for a pending update.
	pending                            bool
	finalizeAt, nextAttempt            time.Time
	finalized, paidAt, voided, givenUp time.Time
	start, end                         time.Time
}

// newInvoice drafts an invoice and makes it the subscription's latest.
func (s *Server) newInvoice(sub *subscription, reason string, lines []*line) *invoice {
	i := &invoice{
		stamped: stamped{s.newID("in"), s.at}, customer: sub.customer, subscription: sub.id, reason: reason,
		status: invoiceDraft, lines: lines, auto: reason == "subscription_cycle", start: s.at, end: s.at,
	}
	if reason == "subscription_cycle" { // The period that went by: prices are billed in advance.
		i.start, i.end = addMonths(sub.created, sub.months-2), sub.start
	}
	for _, l := range lines {
		if l.id == "" {
			l.stamped = stamped{s.newID("il"), s.at}
		}
	}
	s.invoices[i.id] = i
	sub.latest = i.id
	s.emit("invoice.created", s.invoiceView(i))
	return i
}

func (i *invoice) total() int64 { return sum(i.lines) }

func (i *invoice) remaining() int64 { return i.due - i.paid }

func (s *Server) invoiceView(i *invoice) object {
	cus := s.customers[i.customer]
	v := object{
		"id": i.id, "object": "invoice", "created": i.created.Unix(), "customer": i.customer, "customer_email": orNull(cus.email),
		"customer_name": orNull(cus.name), "subscription": orNull(i.subscription), "number": orNull(i.number),
		"billing_reason": i.reason, "status": i.status, "currency": "usd", "collection_method": "charge_automatically",
		"attempt_count": i.attempts, "attempted": i.attempted, "auto_advance": i.auto, "next_payment_attempt": unix(i.nextAttempt),
		"subtotal": i.total(), "subtotal_excluding_tax": i.total(), "total": i.total(), "total_excluding_tax": i.total(), "tax": nil,
		"amount_due": i.due, "amount_paid": i.paid, "amount_remaining": i.remaining(), "amount_shipping": 0,
		"starting_balance": i.starting, "ending_balance": nil, "paid": i.status == invoicePaid, "paid_out_of_band": false,
		"payment_intent": orNull(i.intent), "charge": nil, "livemode": false, "metadata": object{}, "description": nil,
		"period_start": i.start.Unix(), "period_end": i.end.Unix(), "hosted_invoice_url": nil, "invoice_pdf": nil,
		"lines": s.firstLines(i), "default_payment_method": nil, "due_date": nil,
		"last_finalization_error": nil, "total_tax_amounts": []object{}, "total_discount_amounts": []object{}, "discounts": []object{},
		"status_transitions": object{
			"finalized_at": unix(i.finalized), "paid_at": unix(i.paidAt), "voided_at": unix(i.voided),
			"marked_uncollectible_at": unix(i.givenUp),
		},
	}
	if i.status == invoiceDraft { // Nothing is applied yet.
		v["amount_due"], v["amount_remaining"] = max(i.total(), 0), max(i.total(), 0)
		v["next_payment_attempt"] = unix(i.finalizeAt)
	} else {
		v["ending_balance"] = i.ending
		v["hosted_invoice_url"] = "https://invoice.stripe.com/i/" + i.id
		v["invoice_pdf"] = "https://pay.stripe.com/invoice/" + i.id + "/pdf"
	}
	return v
}

// linesShown is how many lines are in an invoice itself; the others are a list of their own.
const linesShown = 10

func (s *Server) firstLines(i *invoice) object {
	v := inner("/v1/invoices/"+i.id+"/lines", s.lineViews(i.lines[:min(len(i.lines), linesShown)]))
	v["has_more"], v["total_count"] = len(i.lines) > linesShown, len(i.lines)
	return v
}

// invoicesOf returns a subscription's invoices, newest first.
func (s *Server) invoicesOf(sub string) []*invoice {
	var found []*invoice
	for i := range maps.Values(s.invoices) {
		if i.subscription == sub {
			found = append(found, i)
		}
	}
	newestFirst(found)
	return found
}

func (s *Server) findInvoice(id string) (*invoice, error) {
	i := s.invoices[id]
	if i == nil {
		return nil, missing("invoice", id, "invoice")
	}
	return i, nil
}

func (s *Server) nextNumber(i *invoice) string {
	cus := s.customers[i.customer]
	cus.invoices++
	return fmt.Sprintf("%s-%04d", cus.id[len(cus.id)-8:], cus.invoices)
}

func getInvoice(c *call) (object, error) {
	if err := c.end(); err != nil {
		return nil, err
	}
	i, err := c.findInvoice(c.request.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return c.invoiceView(i), nil
}

func listInvoices(c *call) (object, error) {
	page, customer, subscription := c.page(), c.text("customer"), c.text("subscription")
	status := c.oneOf("status", "", invoiceDraft, invoiceOpen, invoicePaid, invoiceVoid, invoiceUncollectible)
	c.oneOf("collection_method", "charge_automatically", "charge_automatically")
	var found []*invoice
	for _, i := range c.invoices {
		if (customer == "" || i.customer == customer) && (subscription == "" || i.subscription == subscription) &&
			(status == "" || i.status == status) {
			found = append(found, i)
		}
	}
	return list(c, page, found, c.invoiceView)
}

func listInvoiceLines(c *call) (object, error) {
	page := c.page()
	i, err := c.findInvoice(c.request.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return listAsIs(c, page, append([]*line(nil), i.lines...), c.lineView)
}
