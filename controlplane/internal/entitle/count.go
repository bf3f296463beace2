package entitle

import (
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// Count is a list of a configuration whose length a plan limits.
type Count struct {
	// Field is the list's field in JSON names, below `threatSettings`.
	Field string
	// Allowed is how many entries a plan allows.
	Allowed func(*breakwaterv1.Entitlements) int32
	// Len is how many a configuration has.
	Len func(*breakwaterv1.ThreatSettings) int
}

// Counts are the lists of the threat settings that plans limit.
func Counts() []Count {
	return []Count{
		{
			Field:   "firewallEntries",
			Allowed: (*breakwaterv1.Entitlements).GetFirewallEntries,
			Len:     func(t *breakwaterv1.ThreatSettings) int { return len(t.GetFirewallEntries()) },
		},
		{
			Field:   "rateLimits",
			Allowed: (*breakwaterv1.Entitlements).GetRateLimits,
			Len:     func(t *breakwaterv1.ThreatSettings) int { return len(t.GetRateLimits()) },
		},
	}
}

// Excess says that there are more of something than a plan allows.
type Excess struct {
	// Limit is how many the plan allows.
	Limit int
	// RequiredPlan is the ID of the cheapest plan that allows so many; empty for none.
	RequiredPlan string
}

// Exceeds returns nil where a plan allows so many.
func Exceeds(plans Plans, plan string, count int, allowed func(*breakwaterv1.Entitlements) int32) *Excess {
	limit := int(allowed(plans.Entitlements(plan)))
	if count <= limit {
		return nil
	}
	required, _ := plans.LowestWith(func(e *breakwaterv1.Entitlements) bool { return int(allowed(e)) >= count })
	return &Excess{Limit: limit, RequiredPlan: required}
}
