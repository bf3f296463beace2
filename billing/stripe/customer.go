package stripe

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/type/postaladdress"

	stripego "github.com/stripe/stripe-go/v76"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
)

// What answers with a customer are expanded by.
const (
	defaultCard = "invoice_settings.default_payment_method"
	taxIDs      = "tax_ids"
)

// CreateCustomer makes the account's customer, and then its tax IDs.
func (p *Provider) CreateCustomer(ctx context.Context, key string, c billing.CustomerRequest) (*billing.Customer, error) {
	var made *stripego.Customer
	err := p.change(ctx, key, "create customer", func(params stripego.Params) (err error) {
		made, err = p.customers.New(customerParams(params, c))
		return err
	})
	if err != nil {
		return nil, shown(err)
	}
	if len(c.Details.GetTaxIds()) == 0 {
		return asCustomer(made), nil
	}
	return p.withTaxIDs(ctx, key, made, c.Details.GetTaxIds())
}

// UpdateCustomer sets what the account may change: name, email and address, empty ones too, and
// then the tax IDs, which are for themselves: one that is refused keeps nothing else from
// Stripe.
func (p *Provider) UpdateCustomer(ctx context.Context, key, customer string, c billing.CustomerRequest) (*billing.Customer, error) {
	if err := checkID("customer", customer); err != nil {
		return nil, err
	}
	var changed *stripego.Customer
	err := p.change(ctx, key, "update customer", func(params stripego.Params) (err error) {
		changed, err = p.customers.Update(customer, customerParams(params, c))
		return err
	})
	if err != nil {
		return nil, shown(err)
	}
	return p.withTaxIDs(ctx, key, changed, c.Details.GetTaxIds())
}

// withTaxIDs completes a change of a customer.
func (p *Provider) withTaxIDs(ctx context.Context, key string, c *stripego.Customer, want []*breakwaterv1.Billing_TaxId) (*billing.Customer, error) {
	failure, err := p.setTaxIDs(ctx, key, c.ID, want)
	if err != nil {
		return nil, err
	}
	out := asCustomer(c)
	if out.DetailsFailure = failure; failure == "" {
		out.Details.TaxIds = want
	}
	return out, nil
}

// shown makes a refusal of the customer's own words one that the customer is told.
func shown(err error) error {
	var answer *apiError
	if !errors.As(err, &answer) || !errors.Is(err, billing.ErrRefused) {
		return err
	}
	switch field, _, _ := strings.Cut(answer.param, "["); field {
	case "email", "name", "address":
		return &billing.RefusedError{Message: answer.message, Err: err}
	}
	return err
}

func customerParams(params stripego.Params, c billing.CustomerRequest) *stripego.CustomerParams {
	out := &stripego.CustomerParams{
		Params:   params,
		Email:    new(c.Email),
		Name:     new(c.Details.GetLegalName()),
		Address:  addressParams(c.Details.GetAddress()),
		Metadata: map[string]string{accountKey: c.Account},
		Expand:   expand(defaultCard, taxIDs),
	}
	if out.Address == nil {
		out.AddExtra("address", "") // The empty text unsets.
	}
	return out
}

// addressParams gives every part of an address, so that those that are empty now are unset.
// Stripe has two lines, so the second one takes all that follow the first.
func addressParams(a *postaladdress.PostalAddress) *stripego.AddressParams {
	lines := a.GetAddressLines()
	first, rest := "", ""
	if len(lines) > 0 {
		first, rest = lines[0], strings.Join(lines[1:], ", ")
	}
	if len(lines) == 0 && a.GetLocality() == "" && a.GetAdministrativeArea() == "" && a.GetPostalCode() == "" && a.GetRegionCode() == "" {
		return nil
	}
	return &stripego.AddressParams{
		Line1: new(first), Line2: new(rest),
		City:       new(a.GetLocality()),
		State:      new(a.GetAdministrativeArea()),
		PostalCode: new(a.GetPostalCode()),
		Country:    new(a.GetRegionCode()),
	}
}

// Customer returns a customer. The card of a setup session that was completed since the last
// look is made the one that is charged, see [Provider.adoptCard].
func (p *Provider) Customer(ctx context.Context, customer string) (*billing.Customer, error) {
	if err := checkID("customer", customer); err != nil {
		return nil, err
	}
	var found *stripego.Customer
	err := p.read(ctx, "get customer", func(params stripego.Params) (err error) {
		found, err = p.customers.Get(customer, &stripego.CustomerParams{Params: params, Expand: expand(defaultCard, taxIDs)})
		return err
	})
	if err != nil {
		return nil, err
	}
	if found.Deleted {
		return nil, fmt.Errorf("%w: customer %s is deleted", billing.ErrNotFound, customer)
	}
	if found, err = p.adoptCard(ctx, found); err != nil {
		return nil, err
	}
	return asCustomer(found), nil
}

// Credit gives the customer money: a balance transaction, which the next invoices take.
func (p *Provider) Credit(ctx context.Context, key, customer string, cents int64, reason string) error {
	if err := checkID("customer", customer); err != nil {
		return err
	}
	if cents <= 0 {
		return fmt.Errorf("%w: a credit of %d cents", billing.ErrRefused, cents)
	}
	return p.change(ctx, key, "credit", func(params stripego.Params) error {
		_, err := p.balances.New(&stripego.CustomerBalanceTransactionParams{
			Params:      params,
			Customer:    new(customer),
			Amount:      new(-cents), // Below zero a balance is in the customer's favour.
			Currency:    new(strings.ToLower(p.plans.Currency())),
			Description: new(reason),
		})
		return err
	})
}
