package stripe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	stripego "github.com/stripe/stripe-go/v76"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
)

// setTaxIDs makes the customer's tax IDs the wanted ones, from what is there: they can't be
// changed, only made and deleted. New ones come first, and one that is refused takes no other
// away: failure says which and why.
func (p *Provider) setTaxIDs(ctx context.Context, key, customer string, want []*breakwaterv1.Billing_TaxId) (failure string, err error) {
	have, err := p.listTaxIDs(ctx, customer)
	if err != nil {
		return "", err
	}
	var refused []string
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
		switch {
		case errors.Is(err, billing.ErrRefused):
			refused = append(refused, refusal(one, err))
		case err != nil:
			return "", err
		}
	}
	if len(refused) > 0 {
		return strings.Join(refused, " "), nil
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
			return "", err
		}
	}
	return "", nil
}

// refusal is what a customer is told of a tax ID that Stripe refused.
func refusal(id *breakwaterv1.Billing_TaxId, err error) string {
	why := "Stripe does not say why."
	var answer *apiError
	if errors.As(err, &answer) && answer.message != "" {
		why = answer.message
	}
	return fmt.Sprintf("The tax ID %s %s was refused: %s", id.GetType(), id.GetValue(), why)
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
