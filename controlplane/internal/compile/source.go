package compile

import (
	"errors"
	"fmt"
	"net/netip"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/expression"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/internet"
)

// parseSource reads a network that packets may come from.
func parseSource(field, text string) (netip.Prefix, error) {
	p, err := internet.Source(text)
	problem, ok := errors.AsType[*internet.Problem](err)
	switch {
	case !ok:
		return p, err
	case problem.Impossible:
		return p, impossible(field, problem.Rule, "%s", problem.Reason)
	}
	return p, invalid(field, problem.Rule, "%s", problem.Reason)
}

func checkEntries(c *collector, entries []*breakwaterv1.ThreatSettings_FirewallEntry) {
	const list = "firewallEntries"
	known := seen{}
	for i, e := range entries {
		if c.full() {
			return
		}
		key, err := checkEntry(list, i, e)
		c.add(err)
		if err == nil {
			if first := known.first(key, i); first >= 0 {
				c.add(impossible(at(list, i, ""), "duplicate", "%s stands in %s already, and the first match decides", key, at(list, first, "")))
			}
		}
		if e.GetAction() == breakwaterv1.ThreatSettings_ACTION_UNSPECIFIED {
			c.add(invalid(at(list, i, "action"), "required", "is needed"))
		}
	}
}

// checkEntry returns the entry's source in words.
func checkEntry(list string, i int, e *breakwaterv1.ThreatSettings_FirewallEntry) (string, error) {
	switch source := e.GetSource().(type) {
	case *breakwaterv1.ThreatSettings_FirewallEntry_Cidr:
		p, err := parseSource(at(list, i, "cidr"), source.Cidr)
		return "the network " + p.String(), err
	case *breakwaterv1.ThreatSettings_FirewallEntry_Asn:
		if why := internet.ReservedASN(source.Asn); why != "" {
			return "", impossible(at(list, i, "asn"), "source", "no visitor comes from AS%d: it %s", source.Asn, why)
		}
		return fmt.Sprintf("AS%d", source.Asn), nil
	case *breakwaterv1.ThreatSettings_FirewallEntry_Country:
		if source.Country != expression.UnknownCountry && !expression.IsCountry(source.Country) {
			return "", invalid(at(list, i, "country"), "country", "must be a code of ISO 3166-1 alpha-2, in capitals")
		}
		return "the country " + source.Country, nil
	}
	return "", invalid(at(list, i, ""), "required", "one of cidr, asn and country is needed")
}
