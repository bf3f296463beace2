package payments

import (
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
)

// Ender decides what becomes of payments when what is paid for ends. A [billing.Engine] is
// one.
type Ender interface {
	SiteDeleted(tx billing.Tx, site string) error
	SitePurged(tx billing.Tx, site string) error
	AccountDeleted(tx billing.Tx) error
}

// Lifecycle tells billing of the end of sites and accounts, in the very change that ends
// them. It is safe for concurrent use.
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

// SitePurged is for a site that is gone for good.
func (l *Lifecycle) SitePurged(tx *change.Tx, account, site string) error {
	return l.payments.Within(tx, account, func(b billing.Tx) error { return l.engine.SitePurged(b, site) })
}

// AccountDeleted is for an account that is deleted and may come back.
func (l *Lifecycle) AccountDeleted(tx *change.Tx, account string) error {
	return l.payments.Within(tx, account, l.engine.AccountDeleted)
}
