package sitestate

import (
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// DefaultSettings are the settings of a site that nobody changed, every field said.
func DefaultSettings() *breakwaterv1.Settings {
	s := &breakwaterv1.Settings{}
	CompleteSettings(s)
	return s
}

// CompleteSettings replaces what is not said by what it means.
func CompleteSettings(s *breakwaterv1.Settings) {
	if s.GetCacheLevel() == breakwaterv1.Settings_CACHE_LEVEL_UNSPECIFIED {
		s.CacheLevel = breakwaterv1.Settings_STANDARD
	}
	if s.GetTlsMode() == breakwaterv1.Settings_TLS_MODE_UNSPECIFIED {
		s.TlsMode = breakwaterv1.Settings_FULL
	}
	if s.GetMinTlsVersion() == breakwaterv1.Settings_TLS_VERSION_UNSPECIFIED {
		s.MinTlsVersion = breakwaterv1.Settings_TLS_1_2
	}
	if s.GetHsts() == nil {
		s.Hsts = &breakwaterv1.Settings_Hsts{}
	}
}

// DefaultThreatSettings are the threat settings of a site that nobody changed, every field
// said.
func DefaultThreatSettings() *breakwaterv1.ThreatSettings {
	t := &breakwaterv1.ThreatSettings{}
	CompleteThreatSettings(t)
	return t
}

// CompleteThreatSettings replaces what is not said by what it means.
func CompleteThreatSettings(t *breakwaterv1.ThreatSettings) {
	if t.GetSecurityLevel() == breakwaterv1.ThreatSettings_SECURITY_LEVEL_UNSPECIFIED {
		t.SecurityLevel = breakwaterv1.ThreatSettings_MEDIUM
	}
	if t.GetDdosSensitivity() == breakwaterv1.ThreatSettings_Sensitivity_LEVEL_UNSPECIFIED {
		t.DdosSensitivity = breakwaterv1.ThreatSettings_Sensitivity_MEDIUM
	}
	if t.GetSpamControl() == breakwaterv1.ThreatSettings_Control_MODE_UNSPECIFIED {
		t.SpamControl = breakwaterv1.ThreatSettings_Control_OFF
	}
	if t.GetBotControl() == breakwaterv1.ThreatSettings_Control_MODE_UNSPECIFIED {
		t.BotControl = breakwaterv1.ThreatSettings_Control_OFF
	}
	if t.GetDdosAction() == breakwaterv1.ThreatSettings_ACTION_UNSPECIFIED {
		t.DdosAction = breakwaterv1.ThreatSettings_CHALLENGE
	}
	if t.BotAllowVerified == nil {
		t.BotAllowVerified = new(true)
	}
}

// CompleteOrigin replaces what is not said by what it means.
func CompleteOrigin(o *breakwaterv1.Origin) {
	if o.GetScheme() == breakwaterv1.Origin_SCHEME_UNSPECIFIED {
		o.Scheme = breakwaterv1.Origin_HTTPS
	}
	if o.GetPort() == 0 {
		o.Port = DefaultPort(o.GetScheme())
	}
}

// DefaultPort is the port of an origin that says none.
func DefaultPort(scheme breakwaterv1.Origin_Scheme) int32 {
	if scheme == breakwaterv1.Origin_HTTP {
		return 80
	}
	return 443
}

// CompleteConfig replaces what is not said anywhere in a configuration. A configuration
// that is stored is always complete, so that two of them differ only where they mean
// different things.
func CompleteConfig(c *breakwaterv1.SiteConfig) {
	if c.GetSettings() == nil {
		c.Settings = &breakwaterv1.Settings{}
	}
	if c.GetThreatSettings() == nil {
		c.ThreatSettings = &breakwaterv1.ThreatSettings{}
	}
	CompleteSettings(c.GetSettings())
	CompleteThreatSettings(c.GetThreatSettings())
	if c.GetOrigin() != nil {
		CompleteOrigin(c.GetOrigin())
	}
}
