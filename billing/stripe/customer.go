package stripe

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/type/postaladdress"

	stripego "github.com/stripe/stripe-go/v76"

	"github.com/breakwater-cdn/breakwater/billing"
)

const defaultCard = "invoice_settings.default_payment_method"

// CreateCustomer makes the account's customer. A tax ID that Stripe refuses does not undo
// that: it is logged, and told where the details are changed again.
func (p *Provider) CreateCustomer(ctx context.Context, key string, c billing.CustomerRequest) (*billing.Customer, error) {
	var made *stripego.Customer
	err := p.change(ctx, key, "create customer", func(params stripego.Params) (err error) {
		made, err = p.customers.New(customerParams(params, c))
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(c.Details.GetTaxIds()) > 0 {
		err := p.setTaxIDs(ctx, key, made.ID, c.Details.GetTaxIds())
		if err != nil && !errors.Is(err, billing.ErrRefused) {
			return nil, err
		}
	}
	return asCustomer(made), nil
}

// UpdateCustomer sets what the account may change: name, email, address and tax IDs, empty
// ones too. Tax IDs are first: where Stripe refuses one, the rest is as it was.
func (p *Provider) UpdateCustomer(ctx context.Context, key, customer string, c billing.CustomerRequest) (*billing.Customer, error) {
	if err := checkID("customer", customer); err != nil {
		return nil, err
	}
	if err := p.setTaxIDs(ctx, key, customer, c.Details.GetTaxIds()); err != nil {
		return nil, err
	}
	var changed *stripego.Customer
	err := p.change(ctx, key, "update customer", func(params stripego.Params) (err error) {
		changed, err = p.customers.Update(customer, customerParams(params, c))
		return err
	})
	if err != nil {
		return nil, err
	}
	return asCustomer(changed), nil
}

func customerParams(params stripego.Params, c billing.CustomerRequest) *stripego.CustomerParams {
	out := &stripego.CustomerParams{
		Params:   params,
		Email:    new(c.Email),
		Name:     new(c.Details.GetLegalName()),
		Address:  addressParams(c.Details.GetAddress()),
		Metadata: map[string]string{accountKey: c.Account},
		Expand:   expand(defaultCard),
	}
	if out.Address == nil {
		out.AddExtra("address", "") // The empty text unsets.
	}
	return out
}

// addressParams gives every part of an address, so that those that are empty now are unset.
func addressParams(a *postaladdress.PostalAddress) *stripego.AddressParams {
	lines := a.GetAddressLines()
	line := func(n int) *string {
		if n < len(lines) {
			return new(lines[n])
		}
		return new("")
	}
	if len(lines) == 0 && a.GetLocality() == "" && a.GetAdministrativeArea() == "" && a.GetPostalCode() == "" && a.GetRegionCode() == "" {
		return nil
	}
	return &stripego.AddressParams{
		Line1: line(0), Line2: line(1),
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
		found, err = p.customers.Get(customer, &stripego.CustomerParams{Params: params, Expand: expand(defaultCard)})
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
			Currency:    new(billing.Currency),
			Description: new(reason),
		})
		return err
	})
}
