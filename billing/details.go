package billing

import (
	"errors"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/type/postaladdress"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// SetDetails stores whom invoices are made out to and where they are sent; [Engine.Settle]
// tells the payment provider. Output fields of details are ignored.
func (e *Engine) SetDetails(tx Tx, details *breakwaterv1.Billing) error {
	rec := tx.Record()
	kept := &breakwaterv1.Billing{
		Email:     details.GetEmail(),
		LegalName: details.GetLegalName(),
		Address:   details.GetAddress(),
		TaxIds:    details.GetTaxIds(),
	}
	if proto.Equal(kept, rec.GetDetails()) {
		return nil
	}
	rec.Details, rec.DetailsFailure = kept, ""
	rec.DetailsNumber++
	if rec.GetCustomer() != "" {
		tx.Work()
	}
	return nil
}

// details is what the provider is told of an account: what the account set, and who it is where
// it set nothing.
func details(tx Tx) (email string, d *breakwaterv1.Billing, err error) {
	email, name, err := tx.Contact()
	if err != nil {
		return "", nil, err
	}
	set := tx.Record().GetDetails()
	if set.GetEmail() != "" {
		email = set.GetEmail()
	}
	if set.GetLegalName() != "" {
		name = set.GetLegalName()
	}
	return strings.TrimSpace(email), &breakwaterv1.Billing{
		LegalName: strings.TrimSpace(name),
		Address:   address(set.GetAddress()),
		TaxIds:    set.GetTaxIds(),
	}, nil
}

// address is an address in the parts that invoices have: lines, a place, a country. Nothing that
// was set is left out. Nil for one that says nothing.
func address(a *postaladdress.PostalAddress) *postaladdress.PostalAddress {
	lines := slices.Concat([]string{a.GetOrganization()}, a.GetRecipients(), a.GetAddressLines(), []string{a.GetSublocality()})
	out := &postaladdress.PostalAddress{
		RegionCode:         a.GetRegionCode(),
		PostalCode:         strings.TrimSpace(a.GetPostalCode()),
		AdministrativeArea: strings.TrimSpace(a.GetAdministrativeArea()),
		Locality:           strings.TrimSpace(a.GetLocality() + " " + a.GetSortingCode()),
	}
	for _, line := range lines {
		if line = strings.TrimSpace(line); line != "" {
			out.AddressLines = append(out.AddressLines, line)
		}
	}
	if proto.Size(out) == 0 {
		return nil
	}
	return out
}

func (q *request) details(tx Tx) (err error) {
	var d *breakwaterv1.Billing
	if q.Email, d, err = details(tx); err != nil {
		return err
	}
	q.DetailsNumber = tx.Record().GetDetailsNumber()
	q.Details, err = protojson.Marshal(d)
	return err
}

// told takes in what became of the details that the provider was told; an empty failure is that
// it has them.
func told(tx Tx, req request, failure string) {
	rec := tx.Record()
	rec.SentDetails = req.DetailsNumber
	if rec.GetDetailsNumber() == req.DetailsNumber {
		rec.DetailsFailure = failure
	}
	if failure != "" {
		tx.Audit(billingResource, "the payment provider refused billing details: "+failure)
	}
}

// whyRefused is what the customer is told of details that were refused.
func whyRefused(err error) string {
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		return refused.Message
	}
	return "The payment provider refused them."
}

// otherDetails are the details that the provider has and should not, by their names. What is
// about to be told, or was refused, is none.
func otherDetails(rec *storev1.BillingRecord, c *Customer, email string, d *breakwaterv1.Billing) []string {
	if c == nil || c.Details == nil || rec.GetDetailsFailure() != "" || rec.GetDetailsNumber() > rec.GetSentDetails() {
		return nil
	}
	var other []string
	for _, part := range []struct {
		name string
		same bool
	}{
		{"email", strings.EqualFold(c.Email, email)},
		{"legalName", c.Details.GetLegalName() == d.GetLegalName()},
		{"address", proto.Equal(oneLine(c.Details.GetAddress()), oneLine(d.GetAddress()))},
		{"taxIds", sameTaxIDs(c.Details.GetTaxIds(), d.GetTaxIds())},
	} {
		if !part.same {
			other = append(other, part.name)
		}
	}
	return other
}

// oneLine is an address with its lines as one, since providers have room for few.
func oneLine(a *postaladdress.PostalAddress) *postaladdress.PostalAddress {
	if a == nil {
		return nil
	}
	out := proto.CloneOf(a)
	out.AddressLines = []string{strings.Join(a.GetAddressLines(), ", ")}
	return out
}

func sameTaxIDs(a, b []*breakwaterv1.Billing_TaxId) bool {
	return slices.Equal(plain(a), plain(b))
}

// plain are tax IDs in order, each once, without what providers leave out or add for the eye.
func plain(ids []*breakwaterv1.Billing_TaxId) []string {
	var out []string
	for _, id := range ids {
		out = append(out, id.GetType()+strings.NewReplacer(" ", "", ".", "", "-", "").Replace(strings.ToUpper(id.GetValue())))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
