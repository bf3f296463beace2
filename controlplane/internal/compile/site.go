package compile

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// SiteInput is all that a site's documents depend on.
type SiteInput struct {
	// Record is the site.
	Record *storev1.SiteRecord
	// Zone holds the records of its zone, in any order.
	Zone []*breakwaterv1.DnsRecord
	// Limits bound the documents; what they leave open holds as [DefaultLimits] say.
	Limits *opsv1.Limits
	// AccountDeleted says that the site's account is deleted.
	AccountDeleted bool
}

// Served says whether the edge knows the site at all.
func (in SiteInput) Served() bool {
	return !in.AccountDeleted && in.Record.GetSite().GetState() == breakwaterv1.Site_ACTIVE
}

// Site compiles a site to its documents, in order of their IDs; none where it is not
// served. It fails as a whole with the first problem that [Check] finds.
func Site(in SiteInput) ([]Document, error) {
	return site(in, func(string) bool { return true })
}

// SiteIn is [Site] for the documents of one channel; only the routine one looks at the
// zone.
func SiteIn(in SiteInput, c wire.Channel) ([]Document, error) {
	return site(in, func(kind string) bool {
		of, _ := wire.ChannelOf(kind)
		return of == c
	})
}

func site(in SiteInput, wanted func(kind string) bool) ([]Document, error) {
	if !in.Served() {
		return nil, nil
	}
	if problems := Check(in); len(problems) > 0 {
		return nil, problems[0]
	}
	rec, domain := in.Record, in.Record.GetSite().GetDomain()
	parts := map[string]func() (proto.Message, error){
		wire.KindSite:   func() (proto.Message, error) { return siteDocument(rec), nil },
		wire.KindShield: func() (proto.Message, error) { return shieldDocument(domain, rec.GetConfig().GetThreatSettings()), nil },
	}
	if p := rec.GetPurges(); p.GetEverythingEpoch() != 0 || len(p.GetEntries()) > 0 {
		parts[wire.KindPurge] = func() (proto.Message, error) {
			return &edgev1.PurgeDocument{Domain: domain, EverythingEpoch: p.GetEverythingEpoch(), Entries: p.GetEntries()}, nil
		}
	}
	if rec.GetSite().GetSetup() == breakwaterv1.Site_FULL {
		parts[wire.KindDNS] = func() (proto.Message, error) { return dnsDocument(in) }
	}
	var docs []Document
	for _, kind := range slices.Sorted(maps.Keys(parts)) {
		if !wanted(kind) {
			continue
		}
		m, err := parts[kind]()
		if err != nil {
			return nil, err
		}
		doc, err := document(wire.DocumentID{Kind: kind, ID: domain}, m, effective(in.Limits))
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
	return docs, nil
}

func siteDocument(rec *storev1.SiteRecord) *edgev1.SiteDocument {
	s := rec.GetConfig().GetSettings()
	t := rec.GetConfig().GetThreatSettings()
	origin := rec.GetConfig().GetOrigin()
	if origin == nil {
		origin = rec.GetSite().GetOrigin()
	}
	doc := &edgev1.SiteDocument{
		Domain:            rec.GetSite().GetDomain(),
		Paused:            rec.GetSite().GetPaused(),
		Origin:            effectiveOrigin(origin),
		CacheLevel:        or(s.GetCacheLevel(), breakwaterv1.Settings_STANDARD),
		BrowserTtlSeconds: s.GetBrowserTtlSeconds(),
		EdgeTtlSeconds:    s.GetEdgeTtlSeconds(),
		DevelopmentMode:   s.GetDevelopmentMode(),
		TlsMode:           or(s.GetTlsMode(), breakwaterv1.Settings_FULL),
		MinTlsVersion:     or(s.GetMinTlsVersion(), breakwaterv1.Settings_TLS_1_2),
		HttpsRedirect:     s.GetHttpsRedirect(),
		Apps:              apps(rec.GetConfig().GetApps()),
		RateLimits:        t.GetRateLimits(),
		SpamControl:       or(t.GetSpamControl(), breakwaterv1.ThreatSettings_Control_OFF),
		BotControl:        or(t.GetBotControl(), breakwaterv1.ThreatSettings_Control_OFF),
		SortQuery:         s.GetSortQuery(),
		HttpsRewrite:      s.GetHttpsRewrite(),
		BotAllowVerified:  t == nil || t.BotAllowVerified == nil || t.GetBotAllowVerified(),
	}
	if s.GetHsts().GetEnabled() {
		doc.Hsts = s.GetHsts()
	}
	return doc
}

func shieldDocument(domain string, t *breakwaterv1.ThreatSettings) *edgev1.ShieldDocument {
	doc := &edgev1.ShieldDocument{
		Domain:          domain,
		SecurityLevel:   or(t.GetSecurityLevel(), breakwaterv1.ThreatSettings_MEDIUM),
		UnderAttack:     t.GetUnderAttack(),
		DdosSensitivity: or(t.GetDdosSensitivity(), breakwaterv1.ThreatSettings_Sensitivity_MEDIUM),
		DdosAction:      or(t.GetDdosAction(), breakwaterv1.ThreatSettings_CHALLENGE),
	}
	for _, e := range t.GetFirewallEntries() {
		doc.FirewallEntries = append(doc.FirewallEntries, &breakwaterv1.ThreatSettings_FirewallEntry{
			Source: e.GetSource(), Action: e.GetAction(),
		})
	}
	for _, r := range t.GetPacketRules() {
		doc.PacketRules = append(doc.PacketRules, &breakwaterv1.ThreatSettings_PacketRule{
			Protocol: r.GetProtocol(), SourceCidr: r.GetSourceCidr(), DestinationPort: r.GetDestinationPort(),
			MinLength: r.GetMinLength(), MaxLength: r.GetMaxLength(), Action: r.GetAction(),
		})
	}
	return doc
}

// apps lists the apps that are on, in order of their IDs.
func apps(toggles map[string]*breakwaterv1.SiteApp) []*edgev1.SiteDocument_AppUse {
	var uses []*edgev1.SiteDocument_AppUse
	for _, id := range slices.Sorted(maps.Keys(toggles)) {
		if toggles[id].GetEnabled() {
			uses = append(uses, &edgev1.SiteDocument_AppUse{App: id, Settings: toggles[id].GetSettings()})
		}
	}
	return uses
}

// effectiveOrigin writes out the scheme and the port.
func effectiveOrigin(o *breakwaterv1.Origin) *breakwaterv1.Origin {
	if o == nil {
		return nil
	}
	out := &breakwaterv1.Origin{
		Address: o.GetAddress(), Port: o.GetPort(), HostHeader: o.GetHostHeader(),
		Scheme: or(o.GetScheme(), breakwaterv1.Origin_HTTPS),
	}
	if out.GetPort() == 0 {
		out.Port = 443
		if out.GetScheme() == breakwaterv1.Origin_HTTP {
			out.Port = 80
		}
	}
	return out
}

// or returns what holds where v is not given.
func or[E ~int32](v, standard E) E {
	if v == 0 {
		return standard
	}
	return v
}
