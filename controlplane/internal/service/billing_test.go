package service

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/type/postaladdress"
	"google.golang.org/grpc/codes"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

func (w *billingWorld) getBilling() *breakwaterv1.Billing {
	w.t.Helper()
	b, err := w.billing.GetBilling(w.as("GetBilling"), &breakwaterv1.GetBillingRequest{Name: "accounts/acme/billing"})
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func TestUpdateBilling(t *testing.T) {
	w := newBillingWorld(t, true)
	before := w.getBilling()
	if before.GetName() != "accounts/acme/billing" || before.GetStanding() != breakwaterv1.Billing_GOOD || before.GetEtag() == "" {
		t.Fatalf("of an account that never paid: %v", before)
	}
	update := func(in *breakwaterv1.Billing, mask ...string) (*breakwaterv1.Billing, error) {
		in.Name = "accounts/acme/billing"
		return w.billing.UpdateBilling(w.as("UpdateBilling"), &breakwaterv1.UpdateBillingRequest{Billing: in, UpdateMask: siteMask(mask...)})
	}
	got, err := update(&breakwaterv1.Billing{Email: "pay@acme.example", LegalName: "Acme Inc.", Standing: breakwaterv1.Billing_DEGRADED}, "email", "legalName", "standing")
	if err != nil || got.GetEmail() != "pay@acme.example" || got.GetStanding() != breakwaterv1.Billing_GOOD || got.GetEtag() == before.GetEtag() {
		t.Fatalf("%v, %v", got, err)
	}
	got, err = update(&breakwaterv1.Billing{Address: &postaladdress.PostalAddress{RegionCode: "NL"}}, "address")
	if err != nil || got.GetLegalName() != "Acme Inc." || got.GetAddress().GetRegionCode() != "NL" {
		t.Fatalf("a mask leaves the rest: %v, %v", got, err)
	}
	long := strings.Repeat("x", 201)
	for field, bad := range map[string]*breakwaterv1.Billing{
		"address.regionCode":      {Address: &postaladdress.PostalAddress{RegionCode: "notacountry"}},
		"address.addressLines[1]": {Address: &postaladdress.PostalAddress{AddressLines: []string{"a", long}}},
		"address.addressLines":    {Address: &postaladdress.PostalAddress{AddressLines: make([]string, 6)}},
		"address.locality":        {Address: &postaladdress.PostalAddress{Locality: "two\nlines"}},
		"address.organization":    {Address: &postaladdress.PostalAddress{Organization: long}},
		"taxIds[0].type":          {TaxIds: []*breakwaterv1.Billing_TaxId{{Type: "bogus", Value: "1"}}},
	} {
		_, err := update(bad, "address", "taxIds")
		wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, field)
	}
	for code, ok := range map[string]bool{"GB": true, "UK": false, "XK": true, "de": false, "276": false, "DEU": false, "EU": false, "ZZ": false, "001": false, "": true} {
		if wrong := addressViolations(&postaladdress.PostalAddress{RegionCode: code}); (len(wrong) == 0) != ok {
			t.Errorf("%q: %v", code, wrong)
		}
	}
	_, err = update(&breakwaterv1.Billing{Email: "x@acme.example", Etag: before.GetEtag()}, "email")
	wantReason(t, err, codes.Aborted, rpcerr.ReasonEtagMismatch, "")
	w.mustChange("pro")
	if b := w.getBilling(); b.GetPaymentMethod().GetLast4() != "4242" || b.GetUpcomingInvoice().GetUnits() != 20 || b.GetCurrentPeriodEnd() == nil {
		t.Errorf("of an account that pays: %v", b)
	}
	_, err = w.billing.GetBilling(w.as("GetBilling"), &breakwaterv1.GetBillingRequest{Name: "accounts/nobody/billing"})
	wantReason(t, err, codes.NotFound, rpcerr.ReasonNotFound, "")
	_, err = w.billing.GetBilling(w.as("GetBilling"), &breakwaterv1.GetBillingRequest{Name: "accounts/acme"})
	wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "name")
}

func TestSessions(t *testing.T) {
	w := newBillingWorld(t, true)
	for _, bad := range []string{"javascript:alert(1)", "/relative", "https://user:pass@x.example/", "https://", "ftp://x.example/"} {
		_, err := w.billing.CreateCheckoutSession(w.as("CreateCheckoutSession"), &breakwaterv1.CreateCheckoutSessionRequest{
			Name: "accounts/acme/billing", SuccessUrl: bad,
		})
		wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "successUrl")
	}
	page, err := w.billing.CreateCheckoutSession(w.as("CreateCheckoutSession"), &breakwaterv1.CreateCheckoutSessionRequest{
		Name: "accounts/acme/billing", SuccessUrl: "https://acme.example/paid",
	})
	if err != nil || page.GetUrl() == "" {
		t.Fatalf("%v, %v", page, err)
	}
	portal, err := w.billing.CreatePortalSession(w.as("CreatePortalSession"), &breakwaterv1.CreatePortalSessionRequest{
		Name: "accounts/acme/billing", ReturnUrl: "https://acme.example/",
	})
	if err != nil || portal.GetUrl() == "" {
		t.Fatalf("%v, %v", portal, err)
	}
	_, err = w.billing.CreatePortalSession(w.as("CreatePortalSession"), &breakwaterv1.CreatePortalSessionRequest{
		Name: "accounts/nobody/billing", ReturnUrl: "https://acme.example/",
	})
	wantReason(t, err, codes.NotFound, rpcerr.ReasonNotFound, "")
}

func TestInvoices(t *testing.T) {
	w := newBillingWorld(t, true)
	list := func(account string, size int32, token, filter string) (*breakwaterv1.ListInvoicesResponse, error) {
		return w.invoices.ListInvoices(w.as("ListInvoices"), &breakwaterv1.ListInvoicesRequest{
			Parent: "accounts/" + account, PageSize: size, PageToken: token, Filter: filter,
		})
	}
	if none, err := list("acme", 0, "", ""); err != nil || len(none.GetInvoices()) != 0 {
		t.Fatalf("before the first: %v, %v", none, err)
	}
	called := func(name string) {
		t.Helper()
		_, err := w.billing.UpdateBilling(w.as("UpdateBilling"), &breakwaterv1.UpdateBillingRequest{
			Billing:    &breakwaterv1.Billing{Name: "accounts/acme/billing", LegalName: name, Email: strings.ToLower(name) + "@acme.example"},
			UpdateMask: siteMask("legalName", "email"),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	called("First")
	w.mustChange("pro")
	called("Second")
	for range 5 {
		w.later(31 * 24 * time.Hour)
	}
	var names []string
	token := ""
	for {
		page, err := list("acme", 2, token, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range page.GetInvoices() {
			names = append(names, in.GetName())
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	if len(names) != 6 {
		t.Fatalf("%d invoices: %v", len(names), names)
	}
	if paid, err := list("acme", 10, "", "state=PAID"); err != nil || len(paid.GetInvoices()) != 6 {
		t.Errorf("%v, %v", paid, err)
	}
	if open, err := list("acme", 10, "", "state=OPEN"); err != nil || len(open.GetInvoices()) != 0 {
		t.Errorf("%v, %v", open, err)
	}
	in, err := w.invoices.GetInvoice(w.as("GetInvoice"), &breakwaterv1.GetInvoiceRequest{Name: names[5]})
	if err != nil || in.GetTotal().GetUnits() != 20 || in.GetState() != breakwaterv1.Invoice_PAID || in.GetAmountDue().GetUnits() != 0 {
		t.Errorf("%v, %v", in, err)
	}
	for _, name := range []string{strings.Replace(names[0], "acme", "rival", 1), "accounts/acme/invoices/none"} {
		_, err = w.invoices.GetInvoice(w.as("GetInvoice"), &breakwaterv1.GetInvoiceRequest{Name: name})
		wantReason(t, err, codes.NotFound, rpcerr.ReasonNotFound, "")
	}
	for n, buyer := range map[int]string{5: "First", 0: "Second"} {
		body, err := w.invoices.ExportInvoice(w.as("ExportInvoice"), &breakwaterv1.ExportInvoiceRequest{Name: names[n]})
		page := string(body.GetData())
		if err != nil || !strings.Contains(page, buyer) || !strings.Contains(page, strings.ToLower(buyer)+"@acme.example") {
			t.Errorf("invoice %d is not made out to %s: %s, %v", n, buyer, page, err)
		}
	}
	body, err := w.invoices.ExportInvoice(w.as("ExportInvoice"), &breakwaterv1.ExportInvoiceRequest{Name: names[0]})
	if err != nil || !strings.HasPrefix(body.GetContentType(), "text/html") || !strings.Contains(string(body.GetData()), "Example CDN Ltd") {
		t.Errorf("%s, %v", body.GetData(), err)
	}
}

// TestInvoicePrinted: whatever customers write, the page is a page.
func TestInvoicePrinted(t *testing.T) {
	page, err := invoicePrinted("", "Display", "USD", &billing.Invoice{
		Details: &breakwaterv1.Billing{
			LegalName: `<script>alert(1)</script>`,
			Address:   &postaladdress.PostalAddress{AddressLines: []string{`"><img src=x>`}, PostalCode: "3511", Locality: "Utrecht"},
			TaxIds:    []*breakwaterv1.Billing_TaxId{{Type: "eu_vat", Value: "NL1"}},
		},
		ID: "in_1", Number: "A-1", State: breakwaterv1.Invoice_PAID, Created: siteStart,
		Lines:    []billing.InvoiceLine{{Description: "1 × Pro", Quantity: 1, Amount: 123_456_789}, {Description: "given back", Amount: -1_050}},
		Subtotal: 123_455_739, Total: 123_455_739, AmountDue: 123_455_739, AmountPaid: 123_455_739,
	})
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for _, want := range []string{"Breakwater", "$1,234,567.89", "−$10.50", "3 March 2026", "3511 Utrecht", "eu_vat NL1", "&lt;script&gt;"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"<script", "<img", "Due after the balance"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
}

func TestBillingMoney(t *testing.T) {
	w := newBillingWorld(t, false)
	for cents, want := range map[int64]string{0: "0 0", 2000: "20 0", 1999: "19 990000000", -1050: "-10 -500000000", -5: "0 -50000000"} {
		if m := w.billing.cfg.cents(cents); fmt.Sprint(m.GetUnits(), m.GetNanos()) != want || m.GetCurrencyCode() != "USD" {
			t.Errorf("%d: %v, want %s", cents, m, want)
		}
	}
}

// TestCardBeforeTheNews: a renewal is declined, and another card is there before anybody looks.
func TestCardBeforeTheNews(t *testing.T) {
	w := newBillingWorld(t, true)
	w.mustChange("pro")
	w.card(storev1.Ledger_DECLINES)
	w.later(0)
	w.clock.Advance(31 * 24 * time.Hour)
	w.card(storev1.Ledger_ACCEPTS) // The ledger's renewal comes first.
	w.later(20 * 24 * time.Hour)
	if s := w.subscription(); s.GetState() != breakwaterv1.Subscription_ACTIVE || s.GetEntitledPlan() != "pro" {
		t.Errorf("%v", s)
	}
	page, _, err := w.engine.Invoices(t.Context(), "acme", "", 10)
	if err != nil || len(page) != 2 || page[0].State != breakwaterv1.Invoice_PAID || page[0].Attempts != 2 {
		t.Errorf("%+v, %v", page[0], err)
	}
}
