package billing

import (
	"google.golang.org/protobuf/proto"

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
	rec.Details = kept
	rec.DetailsNumber++
	if rec.GetCustomer() != "" {
		tx.Work()
	}
	return nil
}

// Ask has [Engine.Settle] ask the payment provider for the account's state again, as after a
// webhook; with needCustomer it also makes the account's customer where there is none.
func (e *Engine) Ask(tx Tx, needCustomer bool) error {
	rec := tx.Record()
	rec.Refetch = true
	rec.Asked++
	rec.NeedCustomer = rec.GetNeedCustomer() || needCustomer
	tx.Work()
	return nil
}
