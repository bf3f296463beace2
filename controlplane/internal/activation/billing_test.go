package activation

import (
	"slices"
	"testing"
	"time"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
)

// book notes what billing is told.
type book struct{ told []string }

func (b *book) SiteDeleted(_ *change.Tx, account, site string) error {
	b.told = append(b.told, "deleted "+account+" "+site)
	return nil
}

func (b *book) SitePurged(_ *change.Tx, account, site string) error {
	b.told = append(b.told, "purged "+account+" "+site)
	return nil
}

// TestBillingIsTold: a site that is given up, and one that is gone, are no longer paid for.
func TestBillingIsTold(t *testing.T) {
	w := newWorld(t)
	b := &book{}
	w.worker.cfg.Billing = b
	w.add("acme", "shop.example", "a", breakwaterv1.Site_FULL)
	w.advance(29 * 24 * time.Hour)
	if want := []string{"deleted acme shop.example", "purged acme shop.example"}; !slices.Equal(slices.Compact(b.told), want) {
		t.Errorf("%v, want %v", b.told, want)
	}
}
