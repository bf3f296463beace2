package stripe

import (
	"time"

	"google.golang.org/genproto/googleapis/type/postaladdress"
	"google.golang.org/protobuf/proto"

	stripego "github.com/stripe/stripe-go/v76"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
)

// Metadata that says whose things at Stripe are.
const (
	accountKey = "breakwater_account"
	planKey    = "breakwater_plan"
)

// seconds reads Stripe's times; zero is none.
func seconds(t int64) time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Unix(t, 0).UTC()
}

// asSubscription turns a subscription whose latest_invoice.payment_intent is expanded. Its
// newest invoice has its first ten lines: more than a change or a renewal of our plans makes.
func asSubscription(s *stripego.Subscription) *billing.Subscription {
	out := &billing.Subscription{
		ID:                s.ID,
		Account:           s.Metadata[accountKey],
		Status:            billing.Status(s.Status),
		PeriodStart:       seconds(s.CurrentPeriodStart),
		PeriodEnd:         seconds(s.CurrentPeriodEnd),
		Quantities:        quantities(items(s)),
		CancelAtPeriodEnd: s.CancelAtPeriodEnd,
	}
	if s.Customer != nil {
		out.Customer = s.Customer.ID
	}
	if s.LatestInvoice != nil && s.LatestInvoice.ID != "" {
		out.Latest = asInvoice(s.LatestInvoice)
	}
	if s.PendingUpdate != nil {
		out.Pending = &billing.PendingUpdate{
			Quantities: quantities(overlaid(items(s), s.PendingUpdate.SubscriptionItems)),
			Expires:    seconds(s.PendingUpdate.ExpiresAt),
		}
	}
	return out
}

var invoiceStates = map[stripego.InvoiceStatus]breakwaterv1.Invoice_State{
	stripego.InvoiceStatusDraft:         breakwaterv1.Invoice_DRAFT,
	stripego.InvoiceStatusOpen:          breakwaterv1.Invoice_OPEN,
	stripego.InvoiceStatusPaid:          breakwaterv1.Invoice_PAID,
	stripego.InvoiceStatusVoid:          breakwaterv1.Invoice_VOID,
	stripego.InvoiceStatusUncollectible: breakwaterv1.Invoice_UNCOLLECTIBLE,
}

// asInvoice turns an invoice whose payment_intent is expanded, with the lines that are in it.
func asInvoice(i *stripego.Invoice) *billing.Invoice {
	out := &billing.Invoice{
		ID:              i.ID,
		Number:          i.Number,
		Reason:          billing.Reason(i.BillingReason),
		State:           invoiceStates[i.Status],
		Created:         seconds(i.Created),
		Subtotal:        i.Subtotal,
		Tax:             i.Tax,
		Total:           i.Total,
		AmountDue:       i.AmountDue,
		AmountPaid:      i.AmountPaid,
		AmountRemaining: i.AmountRemaining,
		HostedURL:       i.HostedInvoiceURL,
		PDFURL:          i.InvoicePDF,
		Attempts:        int(i.AttemptCount),
		NextAttempt:     seconds(i.NextPaymentAttempt),
		Email:           i.CustomerEmail,
		Details:         &breakwaterv1.Billing{LegalName: i.CustomerName, Address: asAddress(i.CustomerAddress)},
	}
	for _, id := range i.CustomerTaxIDs {
		if id.Type != nil {
			out.Details.TaxIds = append(out.Details.TaxIds, &breakwaterv1.Billing_TaxId{Type: string(*id.Type), Value: id.Value})
		}
	}
	if i.Customer != nil {
		out.Customer = i.Customer.ID
	}
	if i.Subscription != nil {
		out.Subscription = i.Subscription.ID
	}
	if i.StatusTransitions != nil {
		out.Paid = seconds(i.StatusTransitions.PaidAt)
	}
	if i.Lines != nil {
		out.Lines = asLines(i.Lines.Data)
	}
	if out.State == breakwaterv1.Invoice_OPEN && i.PaymentIntent != nil {
		out.Action, out.Failure, out.FailedMethodID = unpaid(i)
	}
	return out
}

// unpaid says why an open invoice is not paid: the customer must do something, or a payment
// failed; and with which payment method.
func unpaid(i *stripego.Invoice) (action *billing.Action, failure, method string) {
	intent := i.PaymentIntent
	if intent.Status == stripego.PaymentIntentStatusRequiresAction {
		action = &billing.Action{URL: i.HostedInvoiceURL, ClientSecret: intent.ClientSecret}
		if next := intent.NextAction; next != nil && next.RedirectToURL != nil && next.RedirectToURL.URL != "" {
			action.URL = next.RedirectToURL.URL
		}
		return action, "", methodID(intent.PaymentMethod)
	}
	failed := intent.LastPaymentError
	switch {
	case failed == nil:
		return nil, "", ""
	case failed.Msg == "":
		return nil, string(failed.Code), methodID(failed.PaymentMethod)
	}
	return nil, failed.Msg, methodID(failed.PaymentMethod)
}

func methodID(m *stripego.PaymentMethod) string {
	if m == nil {
		return ""
	}
	return m.ID
}

func asLines(lines []*stripego.InvoiceLineItem) []billing.InvoiceLine {
	out := make([]billing.InvoiceLine, 0, len(lines))
	for _, l := range lines {
		line := billing.InvoiceLine{
			Description: l.Description,
			Plan:        knownPlan(l.Price),
			Quantity:    l.Quantity,
			Amount:      l.Amount,
			Proration:   l.Proration,
		}
		if l.Period != nil {
			line.PeriodStart, line.PeriodEnd = seconds(l.Period.Start), seconds(l.Period.End)
		}
		out = append(out, line)
	}
	return out
}

func asCustomer(c *stripego.Customer) *billing.Customer {
	out := &billing.Customer{
		ID: c.ID, Account: c.Metadata[accountKey], Balance: c.Balance, Email: c.Email,
		Details: &breakwaterv1.Billing{LegalName: c.Name, Address: asAddress(c.Address)},
	}
	if c.TaxIDs != nil {
		for _, id := range c.TaxIDs.Data {
			out.Details.TaxIds = append(out.Details.TaxIds, &breakwaterv1.Billing_TaxId{Type: string(id.Type), Value: id.Value})
		}
	}
	if c.InvoiceSettings != nil && c.InvoiceSettings.DefaultPaymentMethod != nil {
		out.PaymentMethod = asPaymentMethod(c.InvoiceSettings.DefaultPaymentMethod)
		out.PaymentMethodID = c.InvoiceSettings.DefaultPaymentMethod.ID
	}
	return out
}

// asAddress is nil for an address that says nothing.
func asAddress(a *stripego.Address) *postaladdress.PostalAddress {
	if a == nil {
		return nil
	}
	out := &postaladdress.PostalAddress{
		RegionCode: a.Country, PostalCode: a.PostalCode, AdministrativeArea: a.State, Locality: a.City,
	}
	for _, line := range []string{a.Line1, a.Line2} {
		if line != "" {
			out.AddressLines = append(out.AddressLines, line)
		}
	}
	if proto.Size(out) == 0 {
		return nil
	}
	return out
}

func asPaymentMethod(m *stripego.PaymentMethod) *breakwaterv1.Billing_PaymentMethod {
	out := &breakwaterv1.Billing_PaymentMethod{Type: string(m.Type)}
	if card := m.Card; card != nil {
		out.Brand, out.Last4 = string(card.Brand), card.Last4
		out.ExpireMonth, out.ExpireYear = int32(card.ExpMonth), int32(card.ExpYear)
	}
	return out
}
