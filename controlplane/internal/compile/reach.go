package compile

import (
	"errors"
	"net/netip"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/expression"
)

// CheckReach returns the rules that can never matter for a site: firewall entries behind ones
// that take all their visitors, and rate limits of hosts that are not the site's. Fields are
// relative to the threat settings.
//
// Unlike what [CheckThreats] finds they do no harm, and the compiler lets them pass: a list can
// come to have them without anyone who could be told, as when a plan brings entries back. Rules
// that are not well formed are left to CheckThreats.
func CheckReach(domain string, t *breakwaterv1.ThreatSettings) []error {
	c := &collector{}
	shadows := shadowing{networks: map[netip.Prefix]int{}, entries: t.GetFirewallEntries()}
	for i, e := range t.GetFirewallEntries() {
		shadows.check(c, i, e)
	}
	for i, r := range t.GetRateLimits() {
		e, err := expression.Parse(r.GetMatch())
		if err != nil {
			continue
		}
		if detail, ok := errors.AsType[*expression.Error](e.CheckHost(domain)); ok {
			c.add(impossible(at("rateLimits", i, "match"), "expression", "column %d: %s", detail.Column, detail.Reason))
		}
	}
	return c.problems
}

// shadowing finds entries that are never reached: the first match decides, whatever it does.
type shadowing struct {
	entries []*breakwaterv1.ThreatSettings_FirewallEntry
	// networks are those seen so far, with the index of the first entry of each.
	networks map[netip.Prefix]int
	// lengths are those of their prefixes: few, so that few are looked up.
	lengths [129]bool
}

// everywhere are the networks that take all visitors between them.
var everywhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

func (s *shadowing) check(c *collector, i int, e *breakwaterv1.ThreatSettings_FirewallEntry) {
	const list = "firewallEntries"
	network, err := netip.ParsePrefix(e.GetCidr())
	if e.GetCidr() != "" && err != nil {
		return
	}
	if network.IsValid() {
		network = network.Masked()
		for bits := network.Bits() - 1; bits >= 0; bits-- {
			if !s.lengths[bits] {
				continue
			}
			// The mask is shorter than the address, so there is always such a network.
			outer, _ := network.Addr().Prefix(bits)
			if first, ok := s.networks[outer]; ok && s.outlives(first, e) {
				c.add(impossible(at(list, i, "cidr"), "unreachable", "%s has all of %s already, and the first match decides: it belongs before that one",
					at(list, first, ""), outer))
				return
			}
		}
		if _, ok := s.networks[network]; !ok {
			s.networks[network], s.lengths[network.Bits()] = i, true
		}
		return
	}
	field := "asn"
	if e.GetCountry() != "" {
		field = "country"
	}
	last := -1
	for _, network := range everywhere {
		first, ok := s.networks[network]
		if !ok || !s.outlives(first, e) {
			return
		}
		last = max(last, first)
	}
	c.add(impossible(at(list, i, field), "unreachable", "no visitor is left after %s, and the first match decides: it belongs before that one",
		at(list, last, "")))
}

// outlives says whether the entry at an index ends no sooner than another one.
func (s *shadowing) outlives(first int, e *breakwaterv1.ThreatSettings_FirewallEntry) bool {
	end := s.entries[first].GetExpireTime()
	return end == nil || e.GetExpireTime() != nil && !e.GetExpireTime().AsTime().After(end.AsTime())
}
