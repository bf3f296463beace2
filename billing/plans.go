package billing

import (
	"slices"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// Plans are the plans that are sold, in order of price.
type Plans struct {
	currency string
	ordered  []*breakwaterv1.Plan
	rank     map[string]int
}

// Currency is what everything is priced in, by its code of ISO 4217, such as `USD`. All amounts
// are in its hundredths, cents.
func (p *Plans) Currency() string { return p.currency }

// All returns the plans, cheapest first. Which apps a plan allows is answered by the app
// catalogue, so `apps` is empty here.
func (p *Plans) All() []*breakwaterv1.Plan { return slices.Clone(p.ordered) }

// Get returns a plan by its ID, such as `pro`.
func (p *Plans) Get(id string) (*breakwaterv1.Plan, bool) {
	rank, ok := p.rank[id]
	if !ok {
		return nil, false
	}
	return p.ordered[rank], true
}

// Cheapest is the ID of the plan that every site begins with.
func (p *Plans) Cheapest() string { return p.id(0) }

// Entitlements returns what a plan allows for one site. A plan that is not known, such as
// one that is no longer sold, has the entitlements of the cheapest: a site is never left
// with none.
func (p *Plans) Entitlements(id string) *breakwaterv1.Entitlements {
	return p.ordered[p.rank[id]].GetEntitlements()
}

// Allows says whether a site on plan id may use what needs at least minimum. An empty
// minimum needs nothing; one that is not known is never reached.
func (p *Plans) Allows(id, minimum string) bool {
	if minimum == "" {
		return true
	}
	need, ok := p.rank[minimum]
	return ok && p.rank[id] >= need
}

// LowestWith returns the cheapest plan whose entitlements satisfy enough, or false when no
// plan does. Refusals name it.
func (p *Plans) LowestWith(enough func(*breakwaterv1.Entitlements) bool) (id string, ok bool) {
	for rank, plan := range p.ordered {
		if enough(plan.GetEntitlements()) {
			return p.id(rank), true
		}
	}
	return "", false
}

// Highest returns the most expensive of the plans, or the cheapest one sold when none is
// given: what an account is entitled to as a whole follows its best site.
func (p *Plans) Highest(ids ...string) string {
	best := 0
	for _, id := range ids {
		best = max(best, p.rank[id])
	}
	return p.id(best)
}

func (p *Plans) id(rank int) string { return p.ordered[rank].GetName()[len(namePrefix):] }
