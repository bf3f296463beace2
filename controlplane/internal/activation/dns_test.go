package activation

import (
	"fmt"
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/dnstest"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/onboard"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// TestRealDNS takes two accounts and one domain through real packets: delegated to one,
// delegated to the other, out of order, and verified by a record.
func TestRealDNS(t *testing.T) {
	n := dnstest.New(t)
	root := n.Server("192.0.2.1").Zone(".", ". NS a.root.\ntest. NS a.nic.test.\na.nic.test. A 192.0.2.2\n")
	registry := n.Server("192.0.2.2")
	host := n.Server("192.0.2.3")
	alias := "elsewhere.verify.test."
	delegate := func(pair, record string) {
		registry.Zone("test", fmt.Sprintf("@ NS a.nic\na.nic A 192.0.2.2\nshop NS %s\nshop NS ns.%s\nhost NS ns.host\nns.host A 192.0.2.3\n", pair, pair))
		host.Zone("host.test", "@ NS ns\nns A 192.0.2.3\n_breakwater.www "+record+"\n_breakwater.alias CNAME "+alias+"\n")
	}
	delegate("x.host.test.", "TXT nothing")
	checker, err := onboard.New(onboard.Config{
		Resolvers: []string{n.Resolver(root).Addr()}, Endpoint: n.Endpoint, Timeout: 200 * time.Millisecond, Attempts: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.worker.cfg.Prover = checker
	w.add("acme", "shop.test", "a.host.test.", breakwaterv1.Site_FULL)
	w.add("rival", "shop.test", "r.host.test.", breakwaterv1.Site_FULL)
	w.add("rival", "www.host.test", "token-1", breakwaterv1.Site_PARTIAL)
	w.add("rival", "alias.host.test", "token-2.verify.test", breakwaterv1.Site_PARTIAL)
	w.edit("rival", "alias.host.test", func(rec *storev1.SiteRecord, _ time.Time) { rec.GetSite().Verification.Type = "CNAME" })
	result := func(account, domain string) string {
		return w.site(account, domain).GetSite().GetActivationCheck().GetResult()
	}
	w.advance(time.Minute)
	w.wantState("acme", "shop.test", breakwaterv1.Site_PENDING)
	if r := result("acme", "shop.test"); r != "NOT_DELEGATED" {
		t.Errorf("not delegated: %s", r)
	}
	if r := result("rival", "www.host.test"); r != "MISMATCH" {
		t.Errorf("not verified: %s", r)
	}
	if r := result("rival", "alias.host.test"); r != "MISMATCH" {
		t.Errorf("an alias of another name: %s", r)
	}

	alias = "token-2.verify.test."
	delegate("a.host.test.", "TXT token-1")
	w.advance(2 * time.Minute)
	w.wantState("acme", "shop.test", breakwaterv1.Site_ACTIVE)
	w.wantState("rival", "shop.test", breakwaterv1.Site_PENDING)
	w.wantState("rival", "www.host.test", breakwaterv1.Site_ACTIVE)
	w.wantState("rival", "alias.host.test", breakwaterv1.Site_ACTIVE)

	// Name servers that are out of order say nothing about whose the domain is.
	registry.Break(dnstest.Fault{Do: dnstest.ServFail})
	w.advance(6 * time.Hour)
	w.wantState("acme", "shop.test", breakwaterv1.Site_ACTIVE)
	if r := result("acme", "shop.test"); r == "OK" || r == "NOT_DELEGATED" {
		t.Errorf("out of order: %s", r)
	}
	registry.Mend()

	delegate("r.host.test.", "TXT token-1")
	w.advance(time.Hour)
	w.wantState("rival", "shop.test", breakwaterv1.Site_ACTIVE)
	w.wantState("acme", "shop.test", breakwaterv1.Site_MOVED)
	if w.active("shop.test") != "rival" {
		t.Errorf("active in %q", w.active("shop.test"))
	}
}
