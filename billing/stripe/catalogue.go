package stripe

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	stripego "github.com/stripe/stripe-go/v76"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
)

// rememberFor is how long IDs of prices and of the portal's configuration are remembered.
// After a change of price an instance sells at the old one for that long, or fails once
// where the old one is archived: a refusal forgets them.
const rememberFor = 5 * time.Minute

// catalogue remembers what does not change from call to call.
type catalogue struct {
	mu     sync.Mutex
	prices map[string]string // Price IDs by plan.
	portal string            // The ID of the portal's configuration.
	until  time.Time
}

// todaysPrices returns the ID of today's price of each plan that Stripe has one for.
// Concurrent callers may ask Stripe twice; nobody waits for another's call.
func (p *Provider) todaysPrices(ctx context.Context) (map[string]string, error) {
	p.remembered.mu.Lock()
	prices, until := p.remembered.prices, p.remembered.until
	p.remembered.mu.Unlock()
	if prices != nil && p.clock.Now().Before(until) {
		return prices, nil
	}
	prices = map[string]string{}
	// Stripe takes ten lookup keys at once.
	for plans := range slices.Chunk(paidPlans(p.plans), 10) {
		keys := make([]string, 0, len(plans))
		for _, plan := range plans {
			keys = append(keys, lookupKey(planID(plan)))
		}
		err := p.list(ctx, "list prices", maxList, func(list stripego.ListParams) error {
			found := p.prices.List(&stripego.PriceListParams{
				ListParams: list, Active: new(true), LookupKeys: stripego.StringSlice(keys),
			})
			for found.Next() {
				one := found.Price()
				if plan, ok := strings.CutPrefix(one.LookupKey, lookupPrefix); ok && slices.Contains(keys, one.LookupKey) {
					prices[plan] = one.ID
				}
			}
			return found.Err()
		})
		if err != nil {
			return nil, err
		}
	}
	p.remembered.mu.Lock()
	defer p.remembered.mu.Unlock()
	p.remembered.prices, p.remembered.until = prices, p.clock.Now().Add(rememberFor)
	return prices, nil
}

// portalConfiguration returns the ID of the configuration that Sync made: Stripe's default
// one may let customers change plans.
func (p *Provider) portalConfiguration(ctx context.Context) (string, error) {
	p.remembered.mu.Lock()
	id := p.remembered.portal
	p.remembered.mu.Unlock()
	if id != "" {
		return id, nil
	}
	found, err := p.findPortal(ctx)
	if err != nil {
		return "", err
	}
	if found == nil {
		return "", fmt.Errorf("%w: Stripe has no configuration for the portal: run breakwaterd billing sync", billing.ErrRefused)
	}
	p.remembered.mu.Lock()
	defer p.remembered.mu.Unlock()
	p.remembered.portal = found.ID
	return found.ID, nil
}

// forget drops what is remembered: a refusal may be due to it.
func (p *Provider) forget() {
	p.remembered.mu.Lock()
	defer p.remembered.mu.Unlock()
	p.remembered.prices, p.remembered.portal = nil, ""
}

// Check says whether Stripe can be reached with the key and has what calls will need: a
// price for each plan that costs something, and the portal's configuration. It is meant for
// a server's start; [Provider.Sync] makes what is missing.
func (p *Provider) Check(ctx context.Context) error {
	p.forget()
	prices, err := p.todaysPrices(ctx)
	if err != nil {
		return err
	}
	for _, plan := range paidPlans(p.plans) {
		if prices[planID(plan)] == "" {
			return noPrice(planID(plan))
		}
	}
	_, err = p.portalConfiguration(ctx)
	return err
}

// lookupPrefix and a plan's ID are the lookup key of its monthly price.
const lookupPrefix = "breakwater_monthly_"

func lookupKey(plan string) string { return lookupPrefix + plan }

// planOf returns the plan that a price is for. The lookup key moves on when a price changes,
// the metadata stays. A price of nobody's is a plan of its own.
func planOf(price *stripego.Price) string {
	if plan := knownPlan(price); plan != "" || price == nil {
		return plan
	}
	return price.ID
}

// knownPlan is planOf, and empty for a price of nobody's.
func knownPlan(price *stripego.Price) string {
	if price == nil {
		return ""
	}
	if plan := price.Metadata[planKey]; plan != "" {
		return plan
	}
	plan, _ := strings.CutPrefix(price.LookupKey, lookupPrefix)
	if plan == price.LookupKey {
		return ""
	}
	return plan
}

// paidPlans are the plans that cost something, cheapest first.
func paidPlans(plans *billing.Plans) []*breakwaterv1.Plan {
	return slices.DeleteFunc(plans.All(), func(p *breakwaterv1.Plan) bool { return cents(p) == 0 })
}

func planID(plan *breakwaterv1.Plan) string { return strings.TrimPrefix(plan.GetName(), "plans/") }

func cents(plan *breakwaterv1.Plan) int64 {
	return plan.GetPrice().GetUnits()*100 + int64(plan.GetPrice().GetNanos())/10_000_000
}
