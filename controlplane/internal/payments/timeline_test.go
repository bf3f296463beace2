package payments_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/billing/local"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/compile"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/entitle"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/outbox"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/payments"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// town is a registry with the real engine, the built-in provider and the outbox's worker,
// which works when it is told.
type town struct {
	*world
	engine   *billing.Engine
	provider *local.Provider
	worker   *outbox.Worker
}

func newTown(t testing.TB) *town {
	t.Helper()
	w := newWorld(t)
	v := &town{world: w, provider: local.New(local.Config{Store: payments.NewLedgers(w.writer), Plans: w.plans})}
	log := slog.New(slog.DiscardHandler)
	v.engine = billing.New(billing.Config{
		Plans: w.plans, Provider: v.provider, Store: w.payments, Clock: w.clock, NewID: w.newID,
		QuoteKey: []byte("0123456789abcdef"), Logger: log,
	})
	v.worker = outbox.New(outbox.Config{
		Store: w.store, Feed: w.cache, Clock: w.clock, Logger: log, Rand: func() float64 { return 0.5 },
		Fence: func() (registry.Compare, bool) { return registry.Compare{Key: "fence"}, true },
		Handlers: map[string]outbox.Handler{
			payments.Kind: payments.Handler(v.engine, nil),
			"mail":        nothing,
		},
	})
	return v
}

var domains = []string{"a.test", "b.test", "c.test"}

// decide makes one decision; what the state does not allow changes nothing.
func (v *town) decide(t *rapid.T, what string, fn func(billing.Tx) error) {
	err := v.update("acme", fn)
	var state *billing.StateError
	switch {
	case err == nil, errors.As(err, &state),
		errors.Is(err, billing.ErrChangeInProgress), errors.Is(err, billing.ErrPaymentMethodRequired):
	default:
		t.Fatalf("%s: %v", what, err)
	}
}

func (v *town) runDue(t *rapid.T) {
	if err := v.worker.RunDue(v.t.Context()); err != nil {
		t.Fatal(err)
	}
}

// check compares the record, the sites, what the edge would get and what the provider bills.
func (v *town) check(t *rapid.T) {
	rec, err := v.payments.Record(v.t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	quantities := billing.Quantities{}
	for _, domain := range domains {
		paid, next := "free", "free"
		if s := rec.GetSites()[domain]; s != nil {
			paid, next = s.GetPlan(), s.GetNextPlan()
		}
		if next != "free" {
			quantities[next]++
		}
		if rec.GetStanding().GetState() == breakwaterv1.Billing_DEGRADED {
			paid = "free"
		}
		site := v.siteRecord("acme", domain)
		if got := site.GetSite().GetPlan(); got != paid {
			t.Fatalf("%s has the plan %s, the record says %s: %v", domain, got, paid, rec)
		}
		v.checkEdge(t, site)
	}
	if rec.GetStanding() != nil || rec.GetSubscription() == "" {
		return
	}
	at, err := v.provider.Subscription(v.t.Context(), rec.GetSubscription())
	if err != nil {
		t.Fatal(err)
	}
	if len(quantities) == 0 {
		if !at.CancelAtPeriodEnd && !at.Status.Over() {
			t.Fatalf("nothing is paid for, and the subscription goes on: %+v", at)
		}
		return
	}
	for plan, n := range quantities {
		if at.Quantities[plan] != n {
			t.Fatalf("the provider bills %v, want %v", at.Quantities, quantities)
		}
	}
}

// checkEdge compares a site with the document that is compiled of it.
func (v *town) checkEdge(t *rapid.T, site *storev1.SiteRecord) {
	rules := entitle.Rules{Plans: v.plans, Apps: v.apps}
	plan := site.GetSite().GetPlan()
	if off := rules.Fit(entitle.Input{Config: site.GetConfig(), Plan: plan, Now: v.clock.Now(), Hold: true}).TurnsOff; len(off) > 0 {
		t.Fatalf("%s on %s has what the plan does not have: %v", site.GetSite().GetDomain(), plan, off)
	}
	documents, err := compile.Site(compile.SiteInput{Record: site})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, d := range documents {
		if d.ID.Kind != wire.KindSite {
			continue
		}
		doc := &edgev1.SiteDocument{}
		if err := proto.Unmarshal(d.Bytes, doc); err != nil {
			t.Fatal(err)
		}
		seen++
		for id, least := range map[string]string{"prefetch": "business", "waf": "pro", "minify": "free"} {
			on := slices.ContainsFunc(doc.GetApps(), func(use *edgev1.SiteDocument_AppUse) bool { return use.GetApp() == id })
			if want := v.plans.Allows(plan, least); on != want {
				t.Fatalf("at the edge of %s on %s the app %s is %v", site.GetSite().GetDomain(), plan, id, on)
			}
		}
	}
	if seen != 1 && site.GetSite().GetState() == breakwaterv1.Site_ACTIVE {
		t.Fatalf("%d documents of the kind site", seen)
	}
}

// TestTimelines: whatever is decided, whenever payments fail and however far time jumps, in
// the end the record, the provider, the sites and the edge's documents agree.
func TestTimelines(t *testing.T) {
	plan := rapid.SampledFrom([]string{"free", "pro", "business", "enterprise"})
	domain := rapid.SampledFrom(domains)
	card := rapid.SampledFrom([]storev1.Ledger_Card{storev1.Ledger_ACCEPTS, storev1.Ledger_ACCEPTS, storev1.Ledger_DECLINES, storev1.Ledger_WAITS})
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		if runs++; runs > 40 && os.Getenv("BREAKWATER_SOAK") == "" {
			return
		}
		v := newTown(t)
		v.account("acme")
		for _, d := range domains {
			v.site("acme", d, "free", &breakwaterv1.SiteConfig{Apps: map[string]*breakwaterv1.SiteApp{"minify": {Enabled: true}}})
			rec := v.siteRecord("acme", d)
			// As if they had been switched on before a fall.
			rec.Parked = &storev1.Parked{Apps: []string{"prefetch", "waf"}}
			v.put(resource.ForAccount("acme").Site(d), rec)
		}
		v.decide(rt, "the customer", func(tx billing.Tx) error { return v.engine.Ask(tx, true) })
		v.runDue(rt)
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			site := domain.Draw(rt, "site")
			switch what := rapid.SampledFrom([]string{"change", "change", "change", "cancel", "revoke", "card", "delete", "undelete", "lose", "time", "ask"}).Draw(rt, "what"); what {
			case "change":
				to := plan.Draw(rt, "plan")
				v.decide(rt, what, func(tx billing.Tx) error { return v.engine.Change(tx, site, to, "") })
			case "cancel":
				v.decide(rt, what, func(tx billing.Tx) error { return v.engine.Cancel(tx, site) })
			case "revoke":
				v.decide(rt, what, func(tx billing.Tx) error { return v.engine.Revoke(tx, site) })
			case "delete":
				v.decide(rt, what, func(tx billing.Tx) error { return v.engine.SiteDeleted(tx, site) })
			case "undelete":
				v.decide(rt, what, func(tx billing.Tx) error { return v.engine.SiteRestored(tx, site) })
			case "lose":
				v.decide(rt, what, func(tx billing.Tx) error {
					return v.engine.SiteLost(tx, site, "as the test says", v.clock.Now().Add(7*24*time.Hour))
				})
			case "ask":
				v.decide(rt, what, func(tx billing.Tx) error { return v.engine.Ask(tx, false) })
			case "card":
				c := card.Draw(rt, "card")
				if err := v.provider.SetCard(v.t.Context(), "acme", c); err != nil {
					rt.Fatal(err)
				}
			case "time":
				v.clock.Advance(time.Duration(rapid.IntRange(1, 40*24).Draw(rt, "hours")) * time.Hour)
			}
			if rapid.Bool().Draw(rt, "work") {
				v.runDue(rt)
			}
		}
		// In the end somebody gives a good card, and time passes.
		if err := v.provider.SetCard(v.t.Context(), "acme", storev1.Ledger_ACCEPTS); err != nil {
			rt.Fatal(err)
		}
		v.decide(rt, "the last look", func(tx billing.Tx) error { return v.engine.Ask(tx, false) })
		for range 4 {
			v.runDue(rt)
			v.check(rt)
			v.clock.Advance(12 * 24 * time.Hour)
		}
		v.runDue(rt)
		v.check(rt)
		for _, key := range v.keys(resource.OutboxPrefix) {
			item := &storev1.OutboxItem{}
			if v.get(key, item) && (item.GetDead() || item.GetAttempts() > 0) {
				rt.Fatalf("%s: %v", key, item)
			}
		}
	})
}

// nothing is the handler of letters that nobody reads.
func nothing(context.Context, outbox.Item) error { return nil }
