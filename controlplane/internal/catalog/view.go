package catalog

import (
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// View returns what an app that is owned by `settings` or `threatSettings` looks like for
// a site: whether it is on, and its settings, in the form of the app's schema. ok is false
// for apps that own themselves. Either argument may be nil: then what holds is what is
// not given.
func View(id string, s *breakwaterv1.Settings, t *breakwaterv1.ThreatSettings) (enabled bool, settings *structpb.Struct, ok bool) {
	on, fields := viewSettings(id, s)
	if fields == nil {
		on, fields = viewThreats(id, t)
	}
	if fields == nil {
		return false, nil, false
	}
	settings, err := structpb.NewStruct(fields)
	if err != nil {
		// Only text that is not UTF-8 fails, which no stored message holds.
		return on, nil, true
	}
	return on, settings, true
}

func viewSettings(id string, s *breakwaterv1.Settings) (bool, map[string]any) {
	switch id {
	case "browser-cache":
		return s.GetBrowserTtlSeconds() > 0, map[string]any{"ttlSeconds": s.GetBrowserTtlSeconds()}
	case "edge-cache":
		level := s.GetCacheLevel()
		if level == breakwaterv1.Settings_CACHE_LEVEL_UNSPECIFIED {
			level = breakwaterv1.Settings_STANDARD
		}
		return level != breakwaterv1.Settings_BYPASS,
			map[string]any{"level": level.String(), "ttlSeconds": s.GetEdgeTtlSeconds(), "sortQuery": s.GetSortQuery()}
	case "dev-mode":
		fields := map[string]any{}
		if s.GetDevelopmentModeExpireTime() != nil {
			fields["expireTime"] = s.GetDevelopmentModeExpireTime().AsTime().Format("2006-01-02T15:04:05Z")
		}
		return s.GetDevelopmentMode(), fields
	case "tls-policy":
		version := s.GetMinTlsVersion()
		if version == breakwaterv1.Settings_TLS_VERSION_UNSPECIFIED {
			version = breakwaterv1.Settings_TLS_1_2
		}
		fields := map[string]any{"minVersion": version.String()}
		if h := s.GetHsts(); h.GetEnabled() {
			fields["hsts"] = map[string]any{
				"maxAge": h.GetMaxAgeSeconds(), "includeSubdomains": h.GetIncludeSubdomains(), "preload": h.GetPreload(),
			}
		}
		return s.GetTlsMode() != breakwaterv1.Settings_OFF, fields
	case "https-rewrite":
		return s.GetHttpsRedirect() || s.GetHttpsRewrite(),
			map[string]any{"redirect": s.GetHttpsRedirect(), "rewrite": s.GetHttpsRewrite()}
	}
	return false, nil
}

func viewThreats(id string, t *breakwaterv1.ThreatSettings) (bool, map[string]any) {
	switch id {
	case "security-level":
		level := t.GetSecurityLevel()
		if level == breakwaterv1.ThreatSettings_SECURITY_LEVEL_UNSPECIFIED {
			level = breakwaterv1.ThreatSettings_MEDIUM
		}
		name := strings.ToLower(level.String())
		if t.GetUnderAttack() {
			name = "under_attack"
		}
		return name != "off", map[string]any{"level": name}
	case "ddos-shield":
		s := t.GetDdosSensitivity()
		if s == breakwaterv1.ThreatSettings_Sensitivity_LEVEL_UNSPECIFIED {
			s = breakwaterv1.ThreatSettings_Sensitivity_MEDIUM
		}
		action := t.GetDdosAction()
		if action == breakwaterv1.ThreatSettings_ACTION_UNSPECIFIED {
			action = breakwaterv1.ThreatSettings_CHALLENGE
		}
		return true, map[string]any{"sensitivity": strings.ToLower(s.String()), "action": strings.ToLower(action.String())}
	case "bot-control":
		b := t.GetBotControl()
		if b == breakwaterv1.ThreatSettings_Control_MODE_UNSPECIFIED {
			b = breakwaterv1.ThreatSettings_Control_OFF
		}
		return b != breakwaterv1.ThreatSettings_Control_OFF,
			map[string]any{
				"action":        strings.ToLower(b.String()),
				"allowVerified": t == nil || t.BotAllowVerified == nil || t.GetBotAllowVerified(),
			}
	case "ip-firewall":
		entries := make([]any, 0, len(t.GetFirewallEntries()))
		for _, e := range t.GetFirewallEntries() {
			entries = append(entries, viewEntry(e))
		}
		return len(entries) > 0, map[string]any{"entries": entries}
	case "rate-limit":
		rules := make([]any, 0, len(t.GetRateLimits()))
		for _, r := range t.GetRateLimits() {
			rules = append(rules, map[string]any{
				"match": r.GetMatch(), "requests": r.GetRequests(),
				"periodSeconds": r.GetPeriodSeconds(), "action": r.GetAction().String(),
			})
		}
		return len(rules) > 0, map[string]any{"rules": rules}
	}
	return false, nil
}

func viewEntry(e *breakwaterv1.ThreatSettings_FirewallEntry) map[string]any {
	fields := map[string]any{"action": e.GetAction().String()}
	switch source := e.GetSource().(type) {
	case *breakwaterv1.ThreatSettings_FirewallEntry_Cidr:
		fields["cidr"] = source.Cidr
	case *breakwaterv1.ThreatSettings_FirewallEntry_Asn:
		fields["asn"] = source.Asn
	case *breakwaterv1.ThreatSettings_FirewallEntry_Country:
		fields["country"] = source.Country
	}
	return fields
}
