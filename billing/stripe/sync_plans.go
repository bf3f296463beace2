package stripe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	stripego "github.com/stripe/stripe-go/v76"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
)

// productID is the ID of a plan's product: Stripe lets us choose it, so that it is made once.
func productID(plan string) string { return "breakwater_" + plan }

func (s *syncRun) syncPlans(ctx context.Context) error {
	for _, plan := range paidPlans(s.plans) {
		product, err := s.syncProduct(ctx, plan)
		if err != nil {
			return err
		}
		if err := s.syncPrice(ctx, plan, product); err != nil {
			return err
		}
	}
	return nil
}

// syncProduct returns the product as it is now; nil where a dry run did not make it.
func (s *syncRun) syncProduct(ctx context.Context, plan *breakwaterv1.Plan) (product *stripego.Product, err error) {
	id := planID(plan)
	err = s.read(ctx, "get product", func(params stripego.Params) (err error) {
		product, err = s.products.Get(productID(id), &stripego.ProductParams{Params: params})
		return err
	})
	if errors.Is(err, billing.ErrNotFound) {
		return product, s.apply(Change{"+", "product", id, fmt.Sprintf("%q", plan.GetDisplayName())}, func() error {
			return s.converge(ctx, "create product", func(params stripego.Params) (err error) {
				want := productParams(params, plan)
				want.ID = new(productID(id))
				product, err = s.products.New(want)
				return err
			})
		})
	}
	if err != nil {
		return nil, err
	}
	detail := ""
	switch {
	case !product.Active:
		detail = "sold again"
	case product.Name != plan.GetDisplayName():
		detail = fmt.Sprintf("%q, was %q", plan.GetDisplayName(), product.Name)
	case product.Description != plan.GetDescription():
		detail = "description"
	case product.Metadata[planKey] != id:
		detail = "metadata"
	default:
		return product, nil
	}
	return product, s.apply(Change{"~", "product", id, detail}, func() error {
		return s.converge(ctx, "update product", func(params stripego.Params) (err error) {
			want := productParams(params, plan)
			want.Active = new(true)
			product, err = s.products.Update(productID(id), want)
			return err
		})
	})
}

func productParams(params stripego.Params, plan *breakwaterv1.Plan) *stripego.ProductParams {
	return &stripego.ProductParams{
		Params:      params,
		Name:        new(plan.GetDisplayName()),
		Description: new(plan.GetDescription()),
		Metadata:    map[string]string{planKey: planID(plan)},
	}
}

func (s *syncRun) syncPrice(ctx context.Context, plan *breakwaterv1.Plan, product *stripego.Product) error {
	id := planID(plan)
	var current *stripego.Price
	var old []*stripego.Price
	if product != nil {
		active, err := s.activePrices(ctx, product.ID)
		if err != nil {
			return err
		}
		for _, one := range active {
			if current == nil && isPriceOf(one, plan) {
				current = one
			} else {
				old = append(old, one)
			}
		}
	}
	if current == nil {
		err := s.apply(Change{"+", "price", id, monthly(cents(plan))}, func() error {
			return s.converge(ctx, "create price", func(params stripego.Params) (err error) {
				current, err = s.prices.New(&stripego.PriceParams{
					Params:            params,
					Product:           new(productID(id)),
					Currency:          new(currencyOf(plan)),
					UnitAmount:        new(cents(plan)),
					Recurring:         &stripego.PriceRecurringParams{Interval: new("month")},
					LookupKey:         new(lookupKey(id)),
					TransferLookupKey: new(true),
					Metadata:          map[string]string{planKey: id},
				})
				return err
			})
		})
		if err != nil {
			return err
		}
	}
	for _, one := range old {
		if err := s.archivePrice(ctx, id, product, one, current); err != nil {
			return err
		}
	}
	return nil
}

// currencyOf is what a plan is priced in, as Stripe writes it.
func currencyOf(plan *breakwaterv1.Plan) string {
	return strings.ToLower(plan.GetPrice().GetCurrencyCode())
}

// isPriceOf says whether a price is what a plan costs, and is found as such.
func isPriceOf(p *stripego.Price, plan *breakwaterv1.Plan) bool {
	return p.LookupKey == lookupKey(planID(plan)) && p.Metadata[planKey] == planID(plan) &&
		p.UnitAmount == cents(plan) && p.Currency == stripego.Currency(currencyOf(plan)) &&
		p.BillingScheme != stripego.PriceBillingSchemeTiered && p.TransformQuantity == nil &&
		p.Recurring != nil && p.Recurring.Interval == stripego.PriceRecurringIntervalMonth && p.Recurring.IntervalCount == 1 &&
		p.Recurring.UsageType == stripego.PriceRecurringUsageTypeLicensed
}

// archivePrice archives a price. Who pays it goes on paying it. The default price of a
// product can't be archived, so another takes its place first.
func (s *syncRun) archivePrice(ctx context.Context, plan string, product *stripego.Product, old, current *stripego.Price) error {
	return s.apply(Change{"-", "price", plan, monthly(old.UnitAmount)}, func() error {
		if product.DefaultPrice != nil && product.DefaultPrice.ID == old.ID && current != nil {
			err := s.converge(ctx, "set default price", func(params stripego.Params) error {
				_, err := s.products.Update(product.ID, &stripego.ProductParams{
					Params: params, DefaultPrice: new(current.ID),
				})
				return err
			})
			if err != nil {
				return err
			}
		}
		return s.converge(ctx, "archive price", func(params stripego.Params) error {
			_, err := s.prices.Update(old.ID, &stripego.PriceParams{Params: params, Active: new(false)})
			return err
		})
	})
}

func (s *syncRun) activePrices(ctx context.Context, product string) ([]*stripego.Price, error) {
	var active []*stripego.Price
	err := s.list(ctx, "list prices", maxList, func(list stripego.ListParams) error {
		found := s.prices.List(&stripego.PriceListParams{
			ListParams: list, Active: new(true), Product: new(product),
		})
		for found.Next() {
			active = append(active, found.Price())
		}
		return found.Err()
	})
	slices.SortFunc(active, func(a, b *stripego.Price) int { return cmp.Compare(a.ID, b.ID) })
	return active, err
}

// syncOldPlans archives products of plans that are not sold any more. An archived product
// can't be sold; its prices need no archiving of their own.
func (s *syncRun) syncOldPlans(ctx context.Context) error {
	sold := paidPlans(s.plans)
	var gone []*stripego.Product
	err := s.list(ctx, "list products", maxList, func(list stripego.ListParams) error {
		found := s.products.List(&stripego.ProductListParams{ListParams: list, Active: new(true)})
		for found.Next() {
			one := found.Product()
			plan := one.Metadata[planKey]
			isIt := func(p *breakwaterv1.Plan) bool { return planID(p) == plan }
			if plan != "" && one.ID == productID(plan) && !slices.ContainsFunc(sold, isIt) {
				gone = append(gone, one)
			}
		}
		return found.Err()
	})
	if err != nil {
		return err
	}
	for _, one := range gone {
		err := s.apply(Change{"-", "product", one.Metadata[planKey], ""}, func() error {
			return s.converge(ctx, "archive product", func(params stripego.Params) error {
				_, err := s.products.Update(one.ID, &stripego.ProductParams{Params: params, Active: new(false)})
				return err
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}
