package service

import (
	"context"
	"errors"

	"google.golang.org/genproto/googleapis/api/httpbody"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/listing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/payments"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// InvoicesConfig is what the service of invoices needs.
type InvoicesConfig struct {
	BillingBase
	// Seller is who sells, as the first line of printed invoices has it.
	Seller string
}

// Invoices implements InvoiceService. Invoices are read from the payment provider and not
// kept here.
type Invoices struct {
	breakwaterv1.UnimplementedInvoiceServiceServer
	cfg InvoicesConfig
}

// NewInvoices makes the service of invoices.
func NewInvoices(cfg InvoicesConfig) *Invoices { return &Invoices{cfg: cfg} }

var _ breakwaterv1.InvoiceServiceServer = (*Invoices)(nil)

const (
	// invoicePage is how many invoices the payment provider is asked for at a time.
	invoicePage = 100
	// invoicesScanned bounds how many one page of a filtered list looks at.
	invoicesScanned = 1000
	// invoiceLines bounds the lines that an invoice shows.
	invoiceLines = 250
)

// shown is an invoice as the API shows it.
func (s *Invoices) shown(account string, in *billing.Invoice) *breakwaterv1.Invoice {
	out := &breakwaterv1.Invoice{
		Name:   resource.InvoiceName(account, in.ID),
		Number: in.Number, State: in.State,
		CreateTime: billingTime(in.Created), PayTime: billingTime(in.Paid), NextAttemptTime: billingTime(in.NextAttempt),
		Subtotal: s.cfg.cents(in.Subtotal), Tax: s.cfg.cents(in.Tax), Total: s.cfg.cents(in.Total),
		AmountDue: s.cfg.cents(in.AmountRemaining), AmountPaid: s.cfg.cents(in.AmountPaid),
		HostedUri: in.HostedURL, PdfUri: in.PDFURL, Attempts: int32(min(in.Attempts, 1<<20)),
	}
	for _, l := range in.Lines[:min(len(in.Lines), invoiceLines)] {
		out.Lines = append(out.Lines, &breakwaterv1.Invoice_Line{
			Description: l.Description, Plan: l.Plan, Quantity: l.Quantity, Amount: s.cfg.cents(l.Amount),
			Proration: l.Proration, PeriodStart: billingTime(l.PeriodStart), PeriodEnd: billingTime(l.PeriodEnd),
		})
	}
	return out
}

// ListInvoices implements InvoiceService.
func (s *Invoices) ListInvoices(ctx context.Context, req *breakwaterv1.ListInvoicesRequest) (*breakwaterv1.ListInvoicesResponse, error) {
	parent, err := siteParent(req.GetParent())
	if err != nil {
		return nil, err
	}
	q, err := listing.Parse(req, &breakwaterv1.Invoice{}, listing.Options{Scope: parent.String(), MaxScan: invoicesScanned})
	if err != nil {
		return nil, err
	}
	view, err := s.cfg.Source.Read(ctx)
	if err != nil {
		return nil, err
	}
	if err := accountMustExist(view, parent); err != nil {
		return nil, err
	}
	invoices, next, err := listing.Page(q, func(after string, yield func(string, *breakwaterv1.Invoice) bool) error {
		for {
			page, more, err := s.cfg.Engine.Invoices(ctx, parent.Account, after, min(q.PageSize+1, invoicePage))
			if err != nil {
				return err
			}
			for _, in := range page {
				if !yield(in.ID, s.shown(parent.Account, in)) {
					return nil
				}
				after = in.ID
			}
			if !more || len(page) == 0 {
				return nil
			}
		}
	})
	if errors.Is(err, billing.ErrNotFound) {
		// The invoice where the page before ended is not this account's any more.
		return nil, rpcerr.InvalidField("pageToken", "page_token", "does not belong to this list any more: begin without one")
	}
	if err != nil {
		return nil, billingRefusal(err, s.cfg.Plans, parent.String())
	}
	return &breakwaterv1.ListInvoicesResponse{Invoices: invoices, NextPageToken: next}, nil
}

// invoice finds one invoice of an account.
func (s *Invoices) invoice(ctx context.Context, full string) (resource.Name, *billing.Invoice, change.View, error) {
	name, err := resource.ParseName(full)
	if err == nil && (name.Collection != "invoices" || name.ID == "" || name.Site != "") {
		err = rpcerr.InvalidField("name", "resource_name", "%q is not a name of the form accounts/{account}/invoices/{invoice}", full)
	}
	if err != nil {
		return name, nil, nil, err
	}
	view, err := s.cfg.Source.Read(ctx)
	if err != nil {
		return name, nil, nil, err
	}
	if err := accountMustExist(view, name); err != nil {
		return name, nil, nil, err
	}
	in, err := s.cfg.Engine.Invoice(ctx, name.Account, name.ID)
	return name, in, view, billingRefusal(err, s.cfg.Plans, name.String())
}

// GetInvoice implements InvoiceService.
func (s *Invoices) GetInvoice(ctx context.Context, req *breakwaterv1.GetInvoiceRequest) (*breakwaterv1.Invoice, error) {
	name, in, _, err := s.invoice(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	return s.shown(name.Account, in), nil
}

// ExportInvoice implements InvoiceService.
func (s *Invoices) ExportInvoice(ctx context.Context, req *breakwaterv1.ExportInvoiceRequest) (*httpbody.HttpBody, error) {
	name, in, view, err := s.invoice(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	if in.Details == nil { // Made before invoices kept it.
		rec, err := payments.RecordFrom(view, name.Account)
		if err != nil {
			return nil, err
		}
		in.Details, in.Email = rec.GetDetails(), rec.GetDetails().GetEmail()
	}
	account, _, err := accountRead(view, name.Account)
	if err != nil {
		return nil, err
	}
	page, err := invoicePrinted(s.cfg.Seller, account.GetAccount().GetDisplayName(), s.cfg.Engine.Currency(), in)
	if err != nil {
		return nil, err
	}
	return &httpbody.HttpBody{ContentType: "text/html; charset=utf-8", Data: page}, nil
}
