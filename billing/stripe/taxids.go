package stripe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"

	stripego "github.com/stripe/stripe-go/v76"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
)

// setTaxIDs makes the customer's tax IDs the wanted ones, from what is there: they can't be
// changed, only made and deleted. New ones come first, so that a refused one takes no other
// away.
func (p *Provider) setTaxIDs(ctx context.Context, key, customer string, want []*breakwaterv1.Billing_TaxId) error {
	have, err := p.listTaxIDs(ctx, customer)
	if err != nil {
		return err
	}
	for _, one := range want {
		same := func(h *stripego.TaxID) bool { return string(h.Type) == one.GetType() && h.Value == one.GetValue() }
		if slices.ContainsFunc(have, same) {
			continue
		}
		err := p.change(ctx, taxIDKey(key, one), "create tax ID", func(params stripego.Params) error {
			_, err := p.taxIDs.New(&stripego.TaxIDParams{
				Params: params, Customer: new(customer),
				Type: new(one.GetType()), Value: new(one.GetValue()),
			})
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, old := range have {
		wanted := func(w *breakwaterv1.Billing_TaxId) bool {
			return string(old.Type) == w.GetType() && old.Value == w.GetValue()
		}
		if slices.ContainsFunc(want, wanted) {
			continue
		}
		err := p.converge(ctx, "delete tax ID", func(params stripego.Params) error {
			_, err := p.taxIDs.Del(old.ID, &stripego.TaxIDParams{Params: params, Customer: new(customer)})
			return err
		})
		if err != nil && !errors.Is(err, billing.ErrNotFound) {
			return err
		}
	}
	return nil
}

func (p *Provider) listTaxIDs(ctx context.Context, customer string) ([]*stripego.TaxID, error) {
	var have []*stripego.TaxID
	err := p.list(ctx, "list tax IDs", maxList, func(list stripego.ListParams) error {
		found := p.taxIDs.List(&stripego.TaxIDListParams{ListParams: list, Customer: new(customer)})
		for found.Next() {
			have = append(have, found.TaxID())
		}
		return found.Err()
	})
	return have, err
}

// taxIDKey makes the key of a part from the key of the whole.
func taxIDKey(key string, id *breakwaterv1.Billing_TaxId) string {
	sum := sha256.Sum256([]byte(id.GetType() + "\x00" + id.GetValue()))
	return key + "-tax-" + hex.EncodeToString(sum[:6])
}
