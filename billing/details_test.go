package billing

import (
	"slices"
	"testing"

	"google.golang.org/genproto/googleapis/type/postaladdress"
	"google.golang.org/protobuf/proto"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

func TestAddressLosesNothing(t *testing.T) {
	got := address(&postaladdress.PostalAddress{
		RegionCode: "FR", PostalCode: "33000", Locality: "Bordeaux", SortingCode: "CEDEX 9", AdministrativeArea: "Gironde",
		Organization: "Acme", Recipients: []string{"Ann"}, AddressLines: []string{" 1, rue A ", "", "2e étage"}, Sublocality: "Bastide",
	})
	want := &postaladdress.PostalAddress{
		RegionCode: "FR", PostalCode: "33000", Locality: "Bordeaux CEDEX 9", AdministrativeArea: "Gironde",
		AddressLines: []string{"Acme", "Ann", "1, rue A", "2e étage", "Bastide"},
	}
	if !proto.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if empty := address(&postaladdress.PostalAddress{LanguageCode: "fr", AddressLines: []string{" "}}); empty != nil {
		t.Errorf("%v", empty)
	}
}

func TestSameDetails(t *testing.T) {
	id := func(kind, value string) *breakwaterv1.Billing_TaxId {
		return &breakwaterv1.Billing_TaxId{Type: kind, Value: value}
	}
	a := []*breakwaterv1.Billing_TaxId{id("eu_vat", "de 123-456.789"), id("gb_vat", "1")}
	if !sameTaxIDs(a, []*breakwaterv1.Billing_TaxId{id("gb_vat", "1"), id("eu_vat", "DE123456789")}) || sameTaxIDs(a, a[:1]) || sameTaxIDs(nil, a) {
		t.Error("tax IDs")
	}
	lines := func(lines ...string) *postaladdress.PostalAddress {
		return &postaladdress.PostalAddress{AddressLines: lines}
	}
	if !proto.Equal(oneLine(lines("a", "b", "c")), oneLine(lines("a", "b, c"))) || proto.Equal(oneLine(lines("a")), oneLine(nil)) {
		t.Error("addresses")
	}
}

func TestTaxTypes(t *testing.T) {
	types := TaxTypes()
	if !slices.IsSorted(types) || len(slices.Compact(slices.Clone(types))) != len(types) || !slices.Contains(types, "eu_vat") {
		t.Errorf("%v", types)
	}
}
