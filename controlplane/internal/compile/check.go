package compile

import (
	"fmt"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// maxProblems bounds an answer: whoever has more starts with these.
const maxProblems = 100

// Check returns everything that keeps a site from being compiled, but for the size of its
// documents, with fields relative to the site's configuration. Problems are a
// [*LimitError], an [*ImpossibleError] or an [*InvalidError].
func Check(in SiteInput) []error {
	if in.Record.GetSite().GetDomain() == "" {
		return []error{invalid("domain", "required", "the site has no domain")}
	}
	var problems []error
	for _, p := range CheckSettings(in.Record.GetConfig().GetSettings()) {
		problems = append(problems, within("settings.", p))
	}
	for _, p := range CheckThreats(in.Record.GetConfig().GetThreatSettings(), in.Limits) {
		problems = append(problems, within("threatSettings.", p))
	}
	if n := len(in.Zone); n > maxDNSRecords {
		problems = append(problems, exceeded("dnsRecords", "dnsRecords", n, maxDNSRecords,
			"the zone has %d records; at most %d are allowed", n, maxDNSRecords))
	}
	return problems
}

const minPreloadSeconds = 365 * 24 * 3600

// CheckSettings returns the combinations of settings that can't work.
func CheckSettings(s *breakwaterv1.Settings) []error {
	var problems []error
	switch h := s.GetHsts(); {
	case h.GetPreload() && (!h.GetEnabled() || !h.GetIncludeSubdomains() || h.GetMaxAgeSeconds() < minPreloadSeconds):
		problems = append(problems, impossible("hsts.preload", "hsts",
			"browsers preload only what is enabled, with includeSubdomains and a maxAgeSeconds of %d at least", minPreloadSeconds))
	case h.GetEnabled() && h.GetMaxAgeSeconds() == 0:
		problems = append(problems, impossible("hsts.maxAgeSeconds", "hsts",
			"with zero seconds browsers forget it: say how long they remember, such as 300 to try it out and 31536000 for a year"))
	}
	if s.GetTlsMode() == breakwaterv1.Settings_OFF {
		if s.GetHttpsRedirect() {
			problems = append(problems, impossible("httpsRedirect", "redirect",
				"tlsMode is OFF, so visitors would be sent to where nothing answers"))
		}
		if s.GetHsts().GetEnabled() {
			problems = append(problems, impossible("hsts.enabled", "hsts",
				"tlsMode is OFF, so browsers could never come back"))
		}
	}
	return problems
}

// CheckThreats returns everything that is wrong with threat settings under limits, with
// fields relative to the threat settings, in their order. Nil limits are [DefaultLimits].
func CheckThreats(t *breakwaterv1.ThreatSettings, limits *opsv1.Limits) []error {
	limits = effective(limits)
	rules := len(t.GetFirewallEntries()) + len(t.GetRateLimits()) + len(t.GetPacketRules())
	if maximum := int(limits.GetMaxRulesPerSite()); rules > maximum {
		// Nothing is looked at one by one: that is what the limit is for.
		return []error{exceeded(largest(t), "maxRulesPerSite", rules, maximum,
			"the site has %d rules; at most %d are allowed", rules, maximum)}
	}
	c := &collector{}
	checkEntries(c, t.GetFirewallEntries())
	checkRateLimits(c, t.GetRateLimits(), int(limits.GetMaxExpressionCost()))
	checkPacketRules(c, t.GetPacketRules(), int(limits.GetMaxPacketBytes()))
	return c.problems
}

func largest(t *breakwaterv1.ThreatSettings) string {
	field, n := "firewallEntries", len(t.GetFirewallEntries())
	if len(t.GetRateLimits()) > n {
		field, n = "rateLimits", len(t.GetRateLimits())
	}
	if len(t.GetPacketRules()) > n {
		field = "packetRules"
	}
	return field
}

// collector gathers problems up to a bound.
type collector struct{ problems []error }

func (c *collector) add(err error) {
	if err != nil && len(c.problems) < maxProblems {
		c.problems = append(c.problems, err)
	}
}

func (c *collector) full() bool { return len(c.problems) >= maxProblems }

// seen finds duplicates among rules.
type seen map[string]int

// first returns the index at which key was first seen, or -1.
func (s seen) first(key string, i int) int {
	if at, ok := s[key]; ok {
		return at
	}
	s[key] = i
	return -1
}

func at(list string, i int, field string) string {
	if field == "" {
		return fmt.Sprintf("%s[%d]", list, i)
	}
	return fmt.Sprintf("%s[%d].%s", list, i, field)
}
