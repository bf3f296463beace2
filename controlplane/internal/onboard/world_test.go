package onboard

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/dnstest"
)

// world is a root, a top-level name `test` with two servers, and hosters of domains.
type world struct {
	net      *dnstest.Network
	resolver *dnstest.Resolver
	root     *dnstest.Server
	// registry serves `test`; second is its other server.
	registry, second *dnstest.Server
	// hoster serves the domains that are not with us.
	hoster *dnstest.Server
	check  *Checker
}

const registryZone = `
@	NS	a.nic.test.
@	NS	b.nic.test.
a.nic	A	192.0.2.2
b.nic	A	192.0.2.3
ours	NS	amber.ns.cdn.test.
ours	NS	basil.ns.cdn.test.
theirs	NS	ns1.hoster.test.
theirs	NS	ns2.hoster.test.
both	NS	amber.ns.cdn.test.
both	NS	basil.ns.cdn.test.
both	NS	ns1.hoster.test.
half	NS	amber.ns.cdn.test.
half	NS	other.ns.cdn.test.
parked	A	192.0.2.77
alias	CNAME	ours
hoster	NS	ns1.hoster.test.
ns1.hoster	A	192.0.2.4
ns2.hoster	A	192.0.2.4
group	NS	ns1.hoster.test.
`

var pair = []string{"amber.ns.cdn.test", "basil.ns.cdn.test"}

func newWorld(t *testing.T) *world {
	t.Helper()
	n := dnstest.New(t)
	w := &world{net: n}
	w.root = n.Server("192.0.2.1").Zone(".", ". NS a.root.test.\ntest. NS a.nic.test.\ntest. NS b.nic.test.\na.nic.test. A 192.0.2.2\nb.nic.test. A 192.0.2.3\n")
	w.registry = n.Server("192.0.2.2").Zone("test", registryZone)
	w.second = n.Server("192.0.2.3").Zone("test", registryZone)
	w.hoster = n.Server("192.0.2.4").
		Zone("hoster.test", "@ NS ns1\nns1 A 192.0.2.4\nns2 A 192.0.2.4\n").
		Zone("theirs.test", "@ NS ns1.hoster.test.\n@ NS ns2.hoster.test.\n").
		Zone("selfish.test", "@ NS amber.ns.cdn.test.\n@ NS basil.ns.cdn.test.\n").
		Zone("group.test", "@ NS ns1.hoster.test.\nsub NS amber.ns.cdn.test.\nsub NS basil.ns.cdn.test.\n")
	w.resolver = n.Resolver(w.root)
	w.check = w.checker(t, Config{Timeout: 2 * time.Second})
	return w
}

// checker fills in the addresses of the world.
func (w *world) checker(t *testing.T, cfg Config) *Checker {
	t.Helper()
	cfg.Resolvers = []string{w.resolver.Addr()}
	cfg.Endpoint = func(a netip.Addr) string { return w.net.Endpoint(a) }
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// impatient is for questions that nobody answers.
func (w *world) impatient(t *testing.T) *Checker {
	t.Helper()
	return w.checker(t, Config{Timeout: 200 * time.Millisecond, Attempts: 2})
}

func explain(r Result) string {
	var b strings.Builder
	b.WriteString(string(r.Kind) + ": " + r.Reason + "\n")
	for _, e := range r.Evidence {
		b.WriteString("  " + e.Server + " " + e.Name + " " + e.Type + " -> " + e.Outcome + " " + strings.Join(e.Records, "; ") + "\n")
	}
	return b.String()
}
