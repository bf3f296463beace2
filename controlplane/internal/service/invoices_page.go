package service

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strings"
	"time"

	"golang.org/x/text/currency"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
)

//go:embed invoice.html
var invoiceText string

// invoiceTemplate escapes whatever customers wrote.
var invoiceTemplate = template.Must(template.New("invoice").Funcs(template.FuncMap{
	"date": invoiceDate,
}).Parse(invoiceText))

// invoiceView is what the page shows.
type invoiceView struct {
	Seller  string
	Buyer   string
	Email   string
	Address []string
	TaxIDs  []*breakwaterv1.Billing_TaxId
	State   string
	// Currency is its code, and Symbol what stands before amounts.
	Currency, Symbol string
	*billing.Invoice
}

// invoicePrinted is an invoice as a page of HTML that needs nothing else. It is made out to whom it
// was when it was made: what the account changes later changes no invoice.
func invoicePrinted(seller, displayName, code string, in *billing.Invoice) ([]byte, error) {
	details := in.Details
	v := invoiceView{
		Seller: seller, Buyer: details.GetLegalName(), Email: in.Email, TaxIDs: details.GetTaxIds(),
		State: strings.ToLower(in.State.String()), Invoice: in,
		Currency: code, Symbol: code + "\u00a0",
	}
	if unit, err := currency.ParseISO(code); err == nil {
		if symbol := message.NewPrinter(language.English).Sprint(currency.NarrowSymbol(unit)); symbol != code {
			v.Symbol = symbol
		}
	}
	if v.Seller == "" {
		v.Seller = "Breakwater"
	}
	if v.Buyer == "" {
		v.Buyer = displayName
	}
	a := details.GetAddress()
	v.Address = append([]string{a.GetOrganization()}, a.GetAddressLines()...)
	v.Address = append(v.Address, strings.TrimSpace(a.GetPostalCode()+" "+a.GetLocality()), a.GetAdministrativeArea(), a.GetRegionCode())
	var b bytes.Buffer
	if err := invoiceTemplate.Execute(&b, &v); err != nil {
		return nil, fmt.Errorf("service: invoice %s: %w", in.ID, err)
	}
	return b.Bytes(), nil
}

// Money writes cents as people do.
func (v *invoiceView) Money(cents int64) string {
	sign, n := "", cents
	if cents < 0 {
		sign, n = "−", -cents
	}
	return fmt.Sprintf("%s%s%s.%02d", sign, v.Symbol, thousands(n/100), n%100)
}

func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func invoiceDate(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 January 2006")
}
