package payments

import (
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// Ender decides what becomes of payments when what is paid for ends, and when it comes back.
// A [billing.Engine] is one.
type Ender interface {
	SiteDeleted(tx billing.Tx, site string) error
	SiteLost(tx billing.Tx, site, reason string, until time.Time) error
	SiteRestored(tx billing.Tx, site string) error
	SitePurged(tx billing.Tx, site string) error
	AccountDeleted(tx billing.Tx) error
	AccountRestored(tx billing.Tx) error
}

// Lifecycle tells billing of the end of sites and accounts, and of their return, in the very
// change that makes it. It is safe for concurrent use.
type Lifecycle struct {
	payments *Payments
	engine   Ender
}

// NewLifecycle makes a Lifecycle.
func NewLifecycle(p *Payments, engine Ender) *Lifecycle {
	return &Lifecycle{payments: p, engine: engine}
}

// SiteDeleted is for a site that is deleted and may come back.
func (l *Lifecycle) SiteDeleted(tx *change.Tx, account, site string) error {
	return l.payments.Within(tx, account, func(b billing.Tx) error { return l.engine.SiteDeleted(b, site) })
}

// SiteLost is for a site whose domain is lost and may come back; rec is the site as it is
// afterwards. The change may be another account's, which took the domain: audit is where the
// events of the site's account go.
func (l *Lifecycle) SiteLost(tx *change.Tx, rec *storev1.SiteRecord, audit func(*breakwaterv1.AuditEvent)) error {
	site := rec.GetSite()
	return l.payments.within(tx, sitestate.Account(rec), audit, func(b billing.Tx) error {
		return l.engine.SiteLost(b, site.GetDomain(), site.GetStateReason(), site.GetPurgeTime().AsTime())
	})
}

// SiteRestored is for a site that was deleted or lost, and is back.
func (l *Lifecycle) SiteRestored(tx *change.Tx, account, site string) error {
	return l.payments.Within(tx, account, func(b billing.Tx) error { return l.engine.SiteRestored(b, site) })
}

// SitePurged is for a site that is gone for good.
func (l *Lifecycle) SitePurged(tx *change.Tx, account, site string) error {
	return l.payments.Within(tx, account, func(b billing.Tx) error { return l.engine.SitePurged(b, site) })
}

// AccountDeleted is for an account that is deleted and may come back.
func (l *Lifecycle) AccountDeleted(tx *change.Tx, account string) error {
	return l.payments.Within(tx, account, l.engine.AccountDeleted)
}

// AccountRestored is for an account that was deleted, and is back.
func (l *Lifecycle) AccountRestored(tx *change.Tx, account string) error {
	return l.payments.Within(tx, account, l.engine.AccountRestored)
}
