package sitestate

import (
	"slices"
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// Due is something that time asks for.
type Due int

// What time may ask for, in the order in which it is done where several are due.
const (
	// DueNothing is nothing.
	DueNothing Due = iota
	// DuePurge is the end of a site that is deleted.
	DuePurge
	// DueGiveUp is the end of waiting for a proof.
	DueGiveUp
	// DueExpiry is the end of development mode or of firewall entries.
	DueExpiry
	// DueCheck is a check of the proof.
	DueCheck
)

// NextDue is what time asks for next of a site, and when; DueNothing when nothing.
func NextDue(rec *storev1.SiteRecord) (Due, time.Time) {
	site := rec.GetSite()
	what, when := DueNothing, time.Time{}
	at := func(d Due, t interface{ AsTime() time.Time }) {
		if u := t.AsTime(); what == DueNothing || u.Before(when) || u.Equal(when) && d < what {
			what, when = d, u
		}
	}
	switch site.GetState() {
	case breakwaterv1.Site_DELETED:
		if site.GetPurgeTime() != nil {
			at(DuePurge, site.GetPurgeTime())
		}
		return what, when // Nothing else matters any more.
	case breakwaterv1.Site_PENDING:
		if site.GetExpireTime() != nil {
			at(DueGiveUp, site.GetExpireTime())
		}
	case breakwaterv1.Site_MOVED:
		if site.GetPurgeTime() != nil {
			at(DueGiveUp, site.GetPurgeTime())
		}
	default:
	}
	if s := rec.GetConfig().GetSettings(); s.GetDevelopmentMode() && s.GetDevelopmentModeExpireTime() != nil {
		at(DueExpiry, s.GetDevelopmentModeExpireTime())
	}
	for _, e := range rec.GetConfig().GetThreatSettings().GetFirewallEntries() {
		if e.GetExpireTime() != nil {
			at(DueExpiry, e.GetExpireTime())
		}
	}
	if next := site.GetActivationCheck().GetNextCheckTime(); next != nil && site.GetState() != breakwaterv1.Site_SUSPENDED {
		at(DueCheck, next)
	}
	return what, when
}

// Expire ends what has ended by now in a configuration: development mode, firewall entries.
// It says whether anything changed.
func Expire(c *breakwaterv1.SiteConfig, now time.Time) bool {
	changed := false
	if s := c.GetSettings(); s.GetDevelopmentMode() && s.GetDevelopmentModeExpireTime() != nil &&
		!now.Before(s.GetDevelopmentModeExpireTime().AsTime()) {
		s.DevelopmentMode, s.DevelopmentModeExpireTime = false, nil
		changed = true
	}
	if t := c.GetThreatSettings(); t != nil {
		before := len(t.GetFirewallEntries())
		t.FirewallEntries = slices.DeleteFunc(t.GetFirewallEntries(), func(e *breakwaterv1.ThreatSettings_FirewallEntry) bool {
			return e.GetExpireTime() != nil && !now.Before(e.GetExpireTime().AsTime())
		})
		changed = changed || len(t.GetFirewallEntries()) != before
	}
	return changed
}
