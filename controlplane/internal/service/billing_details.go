package service

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/language"
	"google.golang.org/genproto/googleapis/type/postaladdress"
	"google.golang.org/protobuf/proto"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Limits of an address on invoices.
const (
	addressLines  = 5   // Lines, and as many recipients.
	addressLength = 200 // Characters of each of its parts.
)

// billingDetails says what is wrong with what a change makes of the details. What was there before
// is not looked at, so that stricter rules never keep an account from another change.
func billingDetails(before, after *breakwaterv1.Billing) error {
	var wrong []rpcerr.Violation
	if !proto.Equal(before.GetAddress(), after.GetAddress()) {
		wrong = addressViolations(after.GetAddress())
	}
	known := billing.TaxTypes()
	for n, id := range after.GetTaxIds() {
		was := slices.ContainsFunc(before.GetTaxIds(), func(b *breakwaterv1.Billing_TaxId) bool { return proto.Equal(b, id) })
		if !was && !slices.Contains(known, id.GetType()) {
			wrong = append(wrong, rpcerr.Violation{
				Field: fmt.Sprintf("taxIds[%d].type", n), Rule: "unknown",
				Message: fmt.Sprintf("there is no type of tax ID %q: choose one of %s", id.GetType(), strings.Join(known, ", ")),
			})
		}
	}
	if len(wrong) > 0 {
		return rpcerr.Invalid(wrong...)
	}
	return nil
}

func addressViolations(a *postaladdress.PostalAddress) []rpcerr.Violation {
	var wrong []rpcerr.Violation
	refuse := func(field, rule, format string, args ...any) {
		wrong = append(wrong, rpcerr.Violation{Field: "address." + field, Rule: rule, Message: fmt.Sprintf(format, args...)})
	}
	if code := a.GetRegionCode(); code != "" {
		region, err := language.ParseRegion(code)
		if err != nil || !region.IsCountry() || region.Canonicalize().String() != code {
			refuse("regionCode", "country", "must be a country's code of two capital letters (ISO 3166-1), such as DE, not %.20q", code)
		}
	}
	type part struct{ field, text string }
	parts := []part{
		{"languageCode", a.GetLanguageCode()},
		{"postalCode", a.GetPostalCode()},
		{"sortingCode", a.GetSortingCode()},
		{"administrativeArea", a.GetAdministrativeArea()},
		{"locality", a.GetLocality()},
		{"sublocality", a.GetSublocality()},
		{"organization", a.GetOrganization()},
	}
	for _, list := range []struct {
		field string
		lines []string
	}{{"addressLines", a.GetAddressLines()}, {"recipients", a.GetRecipients()}} {
		if len(list.lines) > addressLines {
			refuse(list.field, "max_items", "at most %d, not %d", addressLines, len(list.lines))
			continue
		}
		for n, line := range list.lines {
			parts = append(parts, part{fmt.Sprintf("%s[%d]", list.field, n), line})
		}
	}
	for _, p := range parts {
		switch n := utf8.RuneCountInString(p.text); {
		case n > addressLength:
			refuse(p.field, "max_len", "at most %d characters, not %d", addressLength, n)
		case strings.ContainsFunc(p.text, func(r rune) bool { return r < ' ' || r == 0x7f }):
			refuse(p.field, "one_line", "must be one line without control characters")
		}
	}
	return wrong
}
