package sitestate

import (
	"strings"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// Account is the ID of the account that the record's site belongs to.
func Account(rec *storev1.SiteRecord) string {
	account, _, _ := strings.Cut(strings.TrimPrefix(rec.GetSite().GetName(), "accounts/"), "/")
	return account
}

// Tenant is the key builder of the record's account.
func Tenant(rec *storev1.SiteRecord) resource.Tenant { return resource.ForAccount(Account(rec)) }

// Site is the site as the API shows it.
func Site(rec *storev1.SiteRecord, servingVersion int64) *breakwaterv1.Site {
	s, _ := proto.Clone(rec.GetSite()).(*breakwaterv1.Site)
	if s == nil {
		return nil
	}
	if o := rec.GetConfig().GetOrigin(); o != nil {
		s.Origin, _ = proto.Clone(o).(*breakwaterv1.Origin)
	}
	s.ServingVersion = servingVersion
	s.Etag = SiteEtag(rec)
	return s
}

// SiteEtag covers what an update of the site, or a person, decides: not what checks find,
// so that an activation between reading and writing does no harm.
func SiteEtag(rec *storev1.SiteRecord) string {
	s := rec.GetSite()
	covered := &breakwaterv1.Site{
		Domain:     s.GetDomain(),
		Origin:     rec.GetConfig().GetOrigin(),
		Setup:      s.GetSetup(),
		Paused:     s.GetPaused(),
		Labels:     s.GetLabels(),
		Uid:        s.GetUid(),
		DeleteTime: s.GetDeleteTime(),
	}
	if s.GetState() == breakwaterv1.Site_SUSPENDED {
		covered.State = s.GetState()
	}
	return resource.Etag(covered)
}

// Settings are the settings as the API shows them: every field said.
func Settings(rec *storev1.SiteRecord) *breakwaterv1.Settings {
	s := &breakwaterv1.Settings{}
	if stored := rec.GetConfig().GetSettings(); stored != nil {
		s, _ = proto.Clone(stored).(*breakwaterv1.Settings)
	}
	CompleteSettings(s)
	s.Name = resource.SettingsName(Account(rec), rec.GetSite().GetDomain())
	s.Version = rec.GetSite().GetVersion()
	s.Etag = SettingsEtag(rec)
	return s
}

// SettingsEtag covers the settings only, every field said: what was stored before there was
// a field has the etag that it has when it is stored again.
func SettingsEtag(rec *storev1.SiteRecord) string {
	s := &breakwaterv1.Settings{}
	if stored := rec.GetConfig().GetSettings(); stored != nil {
		s = proto.CloneOf(stored)
	}
	CompleteSettings(s)
	return resource.Etag(s)
}

// ThreatSettings are the threat settings as the API shows them: every field said.
func ThreatSettings(rec *storev1.SiteRecord) *breakwaterv1.ThreatSettings {
	t := &breakwaterv1.ThreatSettings{}
	if stored := rec.GetConfig().GetThreatSettings(); stored != nil {
		t, _ = proto.Clone(stored).(*breakwaterv1.ThreatSettings)
	}
	CompleteThreatSettings(t)
	t.Name = resource.ThreatSettingsName(Account(rec), rec.GetSite().GetDomain())
	t.Version = rec.GetSite().GetVersion()
	t.Etag = ThreatSettingsEtag(rec)
	return t
}

// ThreatSettingsEtag covers the threat settings only, every field said.
func ThreatSettingsEtag(rec *storev1.SiteRecord) string {
	t := &breakwaterv1.ThreatSettings{}
	if stored := rec.GetConfig().GetThreatSettings(); stored != nil {
		t = proto.CloneOf(stored)
	}
	CompleteThreatSettings(t)
	return resource.Etag(t)
}

// AppEtag covers one app's switch only. A switch that nobody touched is off.
func AppEtag(toggle *breakwaterv1.SiteApp) string {
	return resource.Etag(&breakwaterv1.SiteApp{Enabled: toggle.GetEnabled(), Settings: toggle.GetSettings()})
}

// Config is the whole configuration as the API shows it.
func Config(rec *storev1.SiteRecord) *breakwaterv1.SiteConfig {
	c := &breakwaterv1.SiteConfig{}
	if stored := rec.GetConfig(); stored != nil {
		c, _ = proto.Clone(stored).(*breakwaterv1.SiteConfig)
	}
	CompleteConfig(c)
	c.Name, c.Version = rec.GetSite().GetName(), rec.GetSite().GetVersion()
	c.Settings, c.ThreatSettings = Settings(rec), ThreatSettings(rec)
	for id, toggle := range c.GetApps() {
		toggle.Etag = AppEtag(toggle)
		toggle.Name = resource.SiteAppName(Account(rec), rec.GetSite().GetDomain(), id)
		toggle.Version = c.GetVersion()
	}
	return c
}
