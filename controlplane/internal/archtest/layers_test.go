package archtest

import (
	"fmt"
	"strings"
	"testing"
)

const rooms = "controlplane/internal"

// A rule says what the packages of some trees may not import. Folders and
// imports of this module are written relative to its root, others in full. A
// tree includes everything beneath it.
type rule struct {
	name string
	// The packages that the rule binds, without those in except. Test code is
	// free unless tests is set.
	from, except []string
	tests        bool
	// Either these imports of our own module are the only ones besides the
	// package's own tree,
	only []string
	// or these imports are forbidden, without those in allow.
	forbid, allow []string
	// One import that the rule has to catch: from, to.
	catches [2]string
	reason  string
}

var rules = []rule{
	{
		name: "api stands at the bottom",
		from: []string{"api"}, tests: true, only: []string{"api"},
		catches: [2]string{"api/breakwater/v1", rooms + "/resource"},
		reason:  "it is generated from proto/ alone, and everybody builds on it",
	},
	{
		name: "billing knows only api and its own",
		from: []string{"billing"}, only: []string{"api", "billing"},
		catches: [2]string{"billing", rooms + "/registry"},
		reason:  "it declares the store and the provider it needs, so its rules can be tested alone; the server brings both",
	},
	{
		name: "sdk knows only api and its own",
		from: []string{"sdk"}, only: []string{"api", "sdk"},
		catches: [2]string{"sdk/edge", rooms + "/compile"},
		reason:  "what customers and edges build against must not pull the server in",
	},
	{
		name: "sdk/edge/wire knows only api",
		from: []string{"sdk/edge/wire"}, only: []string{"api"},
		catches: [2]string{"sdk/edge/wire", "sdk/edge"},
		reason:  "both sides of the edge import the format, so it must bring neither the agent nor a store",
	},
	{
		name: "the server does not know its clients",
		from: []string{"controlplane"}, except: []string{rooms + "/simfleet"},
		forbid: []string{"sdk"}, allow: []string{"sdk/edge/wire"},
		catches: [2]string{rooms + "/publish", "sdk/edge"},
		reason: "it meets them over the network only; simfleet runs the real agent, and sdk/edge/wire is the one " +
			"definition of what both sides read and write",
	},
	{
		name: "programs only wire",
		from: []string{"controlplane/cmd"}, only: []string{"api", "controlplane/cmd", rooms + "/server"},
		catches: [2]string{"controlplane/cmd/breakwaterd", rooms + "/service"},
		reason:  "main hands signals and flags to the server's composition root, which tests start too",
	},
	{
		name:    "only programs and the test harness start the server",
		from:    []string{"controlplane", "billing"},
		except:  []string{"controlplane/cmd", rooms + "/server", rooms + "/controlplanetest"},
		forbid:  []string{rooms + "/server", "controlplane/cmd"},
		catches: [2]string{rooms + "/gateway", rooms + "/server"},
		reason:  "the composition root knows every room, so no room may know it",
	},
	{
		name: "only the server knows the handlers",
		from: []string{rooms}, except: []string{rooms + "/server", rooms + "/service"},
		forbid:  []string{rooms + "/service"},
		catches: [2]string{rooms + "/onboard", rooms + "/service"},
		reason:  "a room offers its idea to handlers and must be usable without them",
	},
	{
		name: "domains and names know no room",
		from: []string{rooms + "/domain", rooms + "/resource"}, only: []string{"api", rooms + "/domain", rooms + "/resource"},
		catches: [2]string{rooms + "/resource", rooms + "/registry"},
		reason:  "names and keys are the vocabulary of all rooms; tenancy must not depend on who uses it",
	},
	{
		name: "the registry stores bytes",
		from: []string{rooms + "/registry"}, only: []string{rooms + "/registry"},
		catches: [2]string{rooms + "/registry", rooms + "/resource"},
		reason:  "the contract has two engines and one conformance suite, none of which may know what is stored",
	},
	{
		name: "nobody but the server chooses an engine",
		from: []string{rooms}, except: []string{rooms + "/registry", rooms + "/server"},
		forbid:  []string{rooms + "/registry/etcd", rooms + "/registry/memory"},
		catches: [2]string{rooms + "/watchcache", rooms + "/registry/etcd"},
		reason:  "rooms hold the contract, so that every test may run them on either implementation",
	},
	{
		name: "only the registry and the agent speak to etcd",
		from: []string{"api", "billing", "controlplane", "sdk"}, except: []string{rooms + "/registry/etcd", "sdk/edge"},
		forbid:  []string{"go.etcd.io/etcd"},
		catches: [2]string{rooms + "/publish", "go.etcd.io/etcd/client/v3"},
		reason:  "fencing, limits and the meaning of a watch are decided in one place",
	},
	{
		name: "only billing/stripe knows Stripe",
		from: []string{"api", "billing", "controlplane", "sdk"}, except: []string{"billing/stripe"}, tests: true,
		forbid:  []string{"github.com/stripe/stripe-go"},
		catches: [2]string{"billing", "github.com/stripe/stripe-go/v76"},
		reason:  "the rules of billing hold for any provider",
	},
	{
		name: "only the server chooses who takes payments",
		from: []string{"billing", rooms},
		except: []string{
			rooms + "/server", "billing/local", "billing/stripe",
			rooms + "/payments", // Keeps the ledgers of billing/local.
		},
		forbid:  []string{"billing/local", "billing/stripe"},
		catches: [2]string{rooms + "/service", "billing/local"},
		reason:  "handlers and the engine hold the contract, so that every test may run them on either provider",
	},
	{
		name: "payments do not know Stripe",
		from: []string{rooms + "/payments"}, forbid: []string{"billing/stripe"},
		catches: [2]string{rooms + "/payments", "billing/stripe"},
		reason:  "webhooks are hints of any provider; the server brings who verifies them",
	},
	{
		name: "what a plan allows is pure",
		from: []string{rooms + "/entitle"},
		forbid: []string{
			rooms + "/registry", rooms + "/change", rooms + "/watchcache", rooms + "/payments", rooms + "/service",
			"github.com/jonboulle/clockwork", "log/slog", "net/http", "os",
		},
		catches: [2]string{rooms + "/entitle", rooms + "/change"},
		reason:  "a preview, a refusal and a fall of the plan must say the same of the same configuration",
	},
	{
		// Codes themselves are free: they are the vocabulary of rpcerr.Failed.
		name: "errors become statuses in one table",
		from: []string{"billing", rooms},
		except: []string{
			rooms + "/rpcerr", rooms + "/gateway", rooms + "/server", // The table, and the borders that speak gRPC.
			rooms + "/registry/etcd", rooms + "/simfleet", // Clients, which read statuses.
			rooms + "/telemetry", // Counts by code.
		},
		forbid:  []string{"google.golang.org/grpc/status"},
		catches: [2]string{rooms + "/service", "google.golang.org/grpc/status"},
		reason:  "handlers return typed errors, so that gRPC and REST answer alike and no cause leaks",
	},
	{
		name: "compilation is pure",
		from: []string{rooms + "/compile"},
		forbid: []string{
			rooms + "/registry", rooms + "/watchcache", rooms + "/publish", rooms + "/rollout", rooms + "/fleet",
			"github.com/jonboulle/clockwork", "google.golang.org/grpc", "log/slog",
			"crypto/rand", "math/rand", "net/http", "os", "os/exec", "sync/atomic",
		},
		catches: [2]string{rooms + "/compile", "os"},
		reason:  "equal inputs must give equal bytes, on every replica and after every restart",
	},
	{
		name:   "test libraries stay in tests",
		from:   []string{"api", "billing", "controlplane", "sdk"},
		except: []string{rooms + "/controlplanetest", rooms + "/registry/registrytest", rooms + "/dnstest"},
		forbid: []string{
			"testing", "github.com/stretchr/testify", "go.uber.org/goleak", "pgregory.net/rapid",
			"github.com/rogpeppe/go-internal/testscript", "github.com/stripe/stripe-mock",
		},
		catches: [2]string{rooms + "/registry", "testing"},
		reason:  "programs must not carry test flags; shared helpers live in packages whose names end in test",
	},
	{
		name: "programs do not carry test packages",
		from: []string{"api", "billing", "controlplane", "sdk"},
		forbid: []string{
			rooms + "/archtest", rooms + "/dnstest", rooms + "/registry/registrytest", rooms + "/controlplanetest",
			"billing/stripe/stripetest",
		},
		catches: [2]string{rooms + "/onboard", rooms + "/dnstest"},
		reason:  "harnesses and conformance suites may fail a test, which a program is not",
	},
}

// violations returns the imports of one file that the rule forbids.
func (r rule) violations(file goFile) []string {
	folder := file.folder()
	if !withinAny(folder, r.from) || withinAny(folder, r.except) || file.test && !r.tests {
		return nil
	}
	var found []string
	for _, imported := range file.imports {
		own, ours := strings.CutPrefix(imported, module+"/")
		if ours {
			imported = own
		}
		bad := withinAny(imported, r.forbid) && !withinAny(imported, r.allow)
		if r.only != nil {
			bad = ours && !withinAny(imported, r.only) && !within(imported, folder)
		}
		if bad {
			found = append(found, fmt.Sprintf("%s imports %s: %s, since %s", file.name, imported, r.name, r.reason))
		}
	}
	return found
}

func TestLayers(t *testing.T) {
	for _, file := range goFiles(t) {
		for _, rule := range rules {
			for _, violation := range rule.violations(file) {
				t.Error(violation)
			}
		}
	}
}

// TestRulesCatch keeps a rule from being void by a slip in its own row.
func TestRulesCatch(t *testing.T) {
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			if rule.reason == "" {
				t.Error("no reason")
			}
			to := rule.catches[1]
			if first, _, _ := strings.Cut(to, "/"); first == "api" || first == "billing" || first == "controlplane" || first == "sdk" {
				to = module + "/" + to
			}
			file := goFile{name: rule.catches[0] + "/file.go", imports: []string{"context", to}}
			if got := rule.violations(file); len(got) != 1 {
				t.Errorf("%s importing %s is not caught: %q", rule.catches[0], to, got)
			}
			file.imports = []string{"context", module + "/" + rule.catches[0] + "/part"}
			if got := rule.violations(file); len(got) != 0 {
				t.Errorf("a package of its own is refused: %q", got)
			}
		})
	}
}

// TestRulesSpare checks what must stay possible.
func TestRulesSpare(t *testing.T) {
	for _, pair := range [][2]string{
		{"controlplane/cmd/breakwaterd/main.go", module + "/" + rooms + "/server"},
		{"billing/stripe/client.go", "github.com/stripe/stripe-go/v76"},
		{"sdk/edge/agent.go", "go.etcd.io/etcd/client/v3"},
		{rooms + "/compile/site.go", module + "/sdk/edge/wire"},
		{rooms + "/compile/site_test.go", "os"},
		{rooms + "/publish/seal.go", module + "/sdk/edge/wire"},
		{rooms + "/publish/seal_test.go", module + "/sdk/edge"},
		{rooms + "/registry/etcd/store.go", module + "/" + rooms + "/registry"},
		{rooms + "/registry/registrytest/run.go", "testing"},
		{rooms + "/server/server.go", module + "/" + rooms + "/registry/etcd"},
		{rooms + "/server/server.go", module + "/" + rooms + "/service"},
		{rooms + "/service/sites.go", module + "/" + rooms + "/registry"},
		{rooms + "/simfleet/fleet.go", module + "/sdk/edge"},
		{rooms + "/watchcache/cache_test.go", module + "/" + rooms + "/registry/etcd"},
	} {
		file := goFile{name: pair[0], imports: []string{pair[1]}}
		file.test = strings.HasSuffix(file.name, "_test.go") || isTestPackage(file.folder())
		for _, rule := range rules {
			for _, violation := range rule.violations(file) {
				t.Error(violation)
			}
		}
	}
}
