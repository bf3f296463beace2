package activation

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/onboard"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

func TestActivation(t *testing.T) {
	w := newWorld(t)
	w.add("acme", "shop.example", "a", breakwaterv1.Site_FULL)
	w.advance(30 * time.Second)
	if n := w.prover.count(); n != 0 {
		t.Fatalf("%d checks before the first was due", n)
	}
	w.advance(30 * time.Second)
	rec := w.wantState("acme", "shop.example", breakwaterv1.Site_PENDING)
	check := rec.GetSite().GetActivationCheck()
	if check.GetResult() != "NOT_DELEGATED" || check.GetAttempts() != 1 || rec.GetSite().GetVersion() != 1 || rec.GetVersionRevision() == 0 {
		t.Errorf("after a check that failed: %v", rec)
	}
	if got := check.GetNextCheckTime().AsTime().Sub(w.clock.Now()); got != 2*time.Minute {
		t.Errorf("next check in %v", got)
	}
	w.prover.say("a", onboard.OK)
	w.advance(2 * time.Minute)
	rec = w.wantState("acme", "shop.example", breakwaterv1.Site_ACTIVE)
	if rec.GetSite().GetVersion() != 2 || rec.GetSite().GetExpireTime() != nil || rec.GetSite().GetActivateTime() == nil {
		t.Errorf("activated: %v", rec.GetSite())
	}
	if w.active("shop.example") != "acme" {
		t.Error("the domain does not say so")
	}
	version := &breakwaterv1.Version{}
	if !w.read(resource.ForAccount("acme").Version("shop.example", 2), version) || version.GetCause() != "ActivateSite" || version.GetPrincipal() != "system" {
		t.Errorf("version 2: %v", version)
	}

	// Failures of the moment change nothing; three certain ones in a row move the site.
	w.prover.say("a", onboard.Timeout)
	w.advance(6 * time.Hour)
	w.prover.say("a", onboard.NXDomain)
	w.advance(6 * time.Hour)
	w.advance(2 * time.Minute)
	w.wantState("acme", "shop.example", breakwaterv1.Site_ACTIVE)
	w.advance(4 * time.Minute)
	rec = w.wantState("acme", "shop.example", breakwaterv1.Site_MOVED)
	if w.active("shop.example") != "" || rec.GetSite().GetPurgeTime() == nil {
		t.Errorf("moved: %v", rec.GetSite())
	}
	w.prover.say("a", onboard.OK)
	w.advance(2 * time.Minute)
	if rec = w.wantState("acme", "shop.example", breakwaterv1.Site_ACTIVE); rec.GetSite().GetPurgeTime() != nil {
		t.Error("it is still to be purged")
	}
	w.prover.say("a", onboard.NXDomain)
	w.advance(6 * time.Hour)
	w.advance(2 * time.Minute)
	w.advance(4 * time.Minute)
	w.wantState("acme", "shop.example", breakwaterv1.Site_MOVED)
	w.advance(7 * 24 * time.Hour)
	if rec := w.site("acme", "shop.example"); rec != nil {
		t.Errorf("still there: %v", rec.GetSite())
	}
	page, err := w.store.List(t.Context(), registry.ListRequest{Prefix: resource.ForAccount("acme").Versions("shop.example")})
	if err != nil || len(page.KVs) != 0 {
		t.Errorf("%d versions are left, %v", len(page.KVs), err)
	}
}

func TestGivenUp(t *testing.T) {
	w := newWorld(t)
	w.add("acme", "shop.example", "a", breakwaterv1.Site_FULL)
	w.add("acme", "paid.example", "p", breakwaterv1.Site_FULL)
	w.edit("acme", "paid.example", func(rec *storev1.SiteRecord, _ time.Time) { rec.GetSite().Plan = "pro" })
	w.advance(28*24*time.Hour - time.Second)
	w.wantState("acme", "shop.example", breakwaterv1.Site_PENDING)
	w.advance(time.Second)
	if rec := w.site("acme", "shop.example"); rec != nil {
		t.Errorf("still there: %v", rec.GetSite())
	}
	if rec := w.wantState("acme", "paid.example", breakwaterv1.Site_PENDING); rec.GetSite().GetExpireTime() != nil {
		t.Error("what is paid for is given up")
	}
	index := &storev1.DomainRecord{}
	if !w.read(resource.DomainIndex("shop.example"), index) || len(index.GetRetired()) != 1 {
		t.Fatalf("its name servers are not retired: %v", index)
	}
	if got := index.GetRetired()[0].GetUntil().AsTime().Sub(w.clock.Now()); got != 90*24*time.Hour {
		t.Errorf("retired for %v", got)
	}
}

func TestTwoAccountsOneDomain(t *testing.T) {
	w := newWorld(t)
	w.add("acme", "shop.example", "a", breakwaterv1.Site_FULL)
	w.add("rival", "shop.example", "r", breakwaterv1.Site_FULL)
	w.prover.say("a", onboard.OK)
	w.advance(time.Minute)
	w.wantState("acme", "shop.example", breakwaterv1.Site_ACTIVE)
	w.wantState("rival", "shop.example", breakwaterv1.Site_PENDING)

	w.prover.say("a", onboard.NotDelegated)
	w.prover.say("r", onboard.OK)
	w.advance(2 * time.Minute)
	w.wantState("rival", "shop.example", breakwaterv1.Site_ACTIVE)
	old := w.wantState("acme", "shop.example", breakwaterv1.Site_MOVED)
	if w.active("shop.example") != "rival" {
		t.Errorf("active in %s", w.active("shop.example"))
	}
	// One transaction: there was no moment in which nobody had it.
	rival := w.revision("rival", "shop.example")
	if w.revision("acme", "shop.example") != rival {
		t.Error("the old site moved in another transaction")
	}
	if old.GetSite().GetVersion() != 3 || old.GetRecentVersions()[0].GetVersion() != 2 {
		t.Errorf("the old site's versions: %v", old)
	}
	w.wantAudit("acme", "MoveSite")
	w.wantAudit("rival", "ActivateSite")

	// The delegation goes back, and so does the site.
	w.prover.say("a", onboard.OK)
	w.prover.say("r", onboard.NotDelegated)
	w.advance(2 * time.Minute)
	w.wantState("acme", "shop.example", breakwaterv1.Site_ACTIVE)
	w.wantState("rival", "shop.example", breakwaterv1.Site_MOVED)
}

func TestTwoRecordsDoNotTakeTurns(t *testing.T) {
	w := newWorld(t)
	w.add("acme", "www.shop.example", "a", breakwaterv1.Site_PARTIAL)
	w.prover.say("a", onboard.OK)
	w.advance(time.Minute)
	w.wantState("acme", "www.shop.example", breakwaterv1.Site_ACTIVE)
	w.add("rival", "www.shop.example", "r", breakwaterv1.Site_PARTIAL)
	w.prover.say("r", onboard.OK)
	w.advance(time.Minute)
	w.wantState("rival", "www.shop.example", breakwaterv1.Site_ACTIVE)
	for range 5 {
		w.advance(time.Hour)
	}
	w.wantState("rival", "www.shop.example", breakwaterv1.Site_ACTIVE)
	w.wantState("acme", "www.shop.example", breakwaterv1.Site_MOVED)
	w.edit("acme", "www.shop.example", func(rec *storev1.SiteRecord, now time.Time) {
		rec.RecheckTime = timestamppb.New(now)
		rec.GetSite().GetActivationCheck().NextCheckTime = timestamppb.New(now)
	})
	w.advance(0)
	w.wantState("acme", "www.shop.example", breakwaterv1.Site_ACTIVE)
	w.wantState("rival", "www.shop.example", breakwaterv1.Site_MOVED)
}

func TestRelatedDomainsStayApart(t *testing.T) {
	w := newWorld(t)
	w.add("acme", "shop.example", "a", breakwaterv1.Site_FULL)
	w.add("rival", "www.shop.example", "r", breakwaterv1.Site_PARTIAL)
	w.prover.say("a", onboard.OK)
	w.prover.say("r", onboard.OK)
	w.advance(time.Minute)
	a, r := w.site("acme", "shop.example").GetSite(), w.site("rival", "www.shop.example").GetSite()
	if (a.GetState() == breakwaterv1.Site_ACTIVE) == (r.GetState() == breakwaterv1.Site_ACTIVE) {
		t.Fatalf("%v and %v", a.GetState(), r.GetState())
	}
	if a.GetStateReason()+r.GetStateReason() == "" {
		t.Error("nobody is told why")
	}
}

func TestExpiry(t *testing.T) {
	w := newWorld(t)
	w.add("acme", "shop.example", "a", breakwaterv1.Site_FULL)
	w.prover.say("a", onboard.OK)
	w.advance(time.Minute)
	w.edit("acme", "shop.example", func(rec *storev1.SiteRecord, now time.Time) {
		s := rec.GetConfig().GetSettings()
		s.DevelopmentMode, s.DevelopmentModeExpireTime = true, timestamppb.New(now.Add(3*time.Hour))
		rec.GetConfig().GetThreatSettings().FirewallEntries = []*breakwaterv1.ThreatSettings_FirewallEntry{
			{Note: "ends", ExpireTime: timestamppb.New(now.Add(time.Hour))},
			{Note: "stays"},
		}
	})
	w.advance(time.Hour)
	rec := w.site("acme", "shop.example")
	entries := rec.GetConfig().GetThreatSettings().GetFirewallEntries()
	if len(entries) != 1 || entries[0].GetNote() != "stays" || rec.GetSite().GetVersion() != 3 || !rec.GetConfig().GetSettings().GetDevelopmentMode() {
		t.Errorf("after an hour: %v", rec)
	}
	w.advance(2 * time.Hour)
	rec = w.site("acme", "shop.example")
	if s := rec.GetConfig().GetSettings(); s.GetDevelopmentMode() || s.GetDevelopmentModeExpireTime() != nil || rec.GetSite().GetVersion() != 4 {
		t.Errorf("after three hours: %v", rec)
	}
}

// TestRun drives the worker as the server does: by itself.
func TestRun(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.worker.Run(ctx) }()
	w.prover.say("a", onboard.OK)
	w.add("acme", "shop.example", "a", breakwaterv1.Site_FULL)
	view, err := w.cache.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sub := w.cache.SubscribeFrom(ctx, resource.ForAccount("acme").Site("shop.example"), view)
	w.clock.Advance(time.Minute)
	// A change wakes the worker as a tick does, whenever it began to wait.
	w.edit("acme", "shop.example", func(rec *storev1.SiteRecord, _ time.Time) { rec.GetSite().Labels = map[string]string{"a": "b"} })
	for w.site("acme", "shop.example").GetSite().GetState() != breakwaterv1.Site_ACTIVE {
		if _, err := sub.Next(ctx); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
