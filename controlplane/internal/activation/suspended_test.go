package activation

import (
	"strings"
	"testing"
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/onboard"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// operate does to a site what an operator's call does.
func (w *world) operate(account, domain string, event sitestate.Event) {
	w.t.Helper()
	w.must(change.Do(w.t.Context(), w.writer, resource.ForAccount(account), func(tx *change.Tx) (*storev1.SiteRecord, error) {
		rec, index := &storev1.SiteRecord{}, &storev1.DomainRecord{}
		key := resource.ForAccount(account).Site(domain)
		if err := tx.Get(key, rec); err != nil {
			return nil, err
		}
		if err := tx.Get(resource.DomainIndex(domain), index); err != nil {
			return nil, err
		}
		if err := sitestate.Step(rec, event, "phishing", true, tx.Now(), sitestate.Production()); err != nil {
			return nil, err
		}
		sitestate.Follow(index, account, event)
		if err := tx.Put(resource.DomainIndex(domain), index); err != nil {
			return nil, err
		}
		return rec, sitestate.CommitTouch(tx, rec, tx.RevisionOf(key), nil)
	}))
}

// TestSuspensionHoldsInOtherAccounts adds a suspended domain, and a name below it, again.
func TestSuspensionHoldsInOtherAccounts(t *testing.T) {
	w := newWorld(t)
	w.add("acme", "shop.example", "a", breakwaterv1.Site_FULL)
	w.prover.say("a", onboard.OK)
	w.advance(time.Minute)
	w.wantState("acme", "shop.example", breakwaterv1.Site_ACTIVE)
	w.operate("acme", "shop.example", sitestate.Suspend)

	w.add("beta", "shop.example", "b", breakwaterv1.Site_FULL)
	w.add("beta", "www.shop.example", "w", breakwaterv1.Site_PARTIAL)
	w.add("beta", "other.example", "o", breakwaterv1.Site_FULL)
	for _, proof := range []string{"w", "o"} {
		w.prover.say(proof, onboard.OK)
	}
	w.advance(time.Minute)
	w.wantState("beta", "shop.example", breakwaterv1.Site_PENDING) // Nothing is said to who has no proof.
	w.wantState("beta", "other.example", breakwaterv1.Site_ACTIVE)
	w.prover.say("b", onboard.OK)
	w.advance(2 * time.Minute)
	for _, domain := range []string{"shop.example", "www.shop.example"} {
		rec := w.wantState("beta", domain, breakwaterv1.Site_SUSPENDED)
		if s := rec.GetSite(); !strings.Contains(s.GetStateReason(), "an operator suspended shop.example") || s.GetVersion() != 2 || s.GetExpireTime() != nil {
			t.Errorf("%s: %v", domain, s)
		}
	}
	w.wantAudit("beta", "SuspendSite")
	if a := w.active("shop.example"); a != "" {
		t.Errorf("active in %s", a)
	}

	// The operator lets the new owner go on: that ends it for the domain and what is below.
	w.operate("beta", "shop.example", sitestate.Unsuspend)
	w.operate("beta", "www.shop.example", sitestate.Unsuspend)
	w.advance(time.Minute)
	w.wantState("beta", "shop.example", breakwaterv1.Site_ACTIVE)
	w.wantState("beta", "www.shop.example", breakwaterv1.Site_ACTIVE)
	w.wantState("acme", "shop.example", breakwaterv1.Site_SUSPENDED)
}
