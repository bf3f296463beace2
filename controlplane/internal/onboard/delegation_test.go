package onboard

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/dnstest"
)

func TestCheckDelegation(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		domain string
		kind   Kind
		seen   []string
	}{
		"ours, though our servers do not serve it yet": {"ours.test", OK, pair},
		"with others":                   {"theirs.test", NotDelegated, []string{"ns1.hoster.test", "ns2.hoster.test"}},
		"others beside ours":            {"both.test", NotDelegated, []string{"amber.ns.cdn.test", "basil.ns.cdn.test", "ns1.hoster.test"}},
		"one of the pair":               {"half.test", NotDelegated, []string{"amber.ns.cdn.test", "other.ns.cdn.test"}},
		"not registered":                {"nobody.test", NXDomain, nil},
		"exists without delegation":     {"parked.test", NotDelegated, nil},
		"an alias":                      {"alias.test", NotDelegated, nil},
		"no such top-level name":        {"shop.nowhere", NXDomain, nil},
		"a zone between":                {"sub.group.test", OK, pair},
		"below names that are no zones": {"deep.in.nobody.test", NXDomain, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.check.CheckDelegation(t.Context(), c.domain, pair)
			if r.Kind != c.kind || !slices.Equal(r.Seen, c.seen) || r.Temporary {
				t.Errorf("seen %v, %s", r.Seen, explain(r))
			}
			if r.Reason == "" || len(r.Evidence) == 0 {
				t.Error("no reason or no evidence")
			}
		})
	}
}

// Servers that claim a domain for themselves prove nothing.
func TestSelfDeclaredDoesNotCount(t *testing.T) {
	w := newWorld(t)
	// The resolver was tricked into asking the impostor.
	w.root.Zone(".", ". NS a.root.test.\ntest. NS a.nic.test.\na.nic.test. A 192.0.2.2\nselfish.test. NS ns1.hoster.test.\nns1.hoster.test. A 192.0.2.4\n")
	r := w.check.CheckDelegation(t.Context(), "selfish.test", pair)
	if r.Kind != NXDomain {
		t.Error(explain(r))
	}
	// And where the name exists in the parent zone for another reason.
	w.registry.Zone("test", registryZone+"selfish TXT x\n")
	w.second.Zone("test", registryZone+"selfish TXT x\n")
	r = w.check.CheckDelegation(t.Context(), "selfish.test", pair)
	if r.Kind != NotDelegated || !strings.Contains(r.Reason, "parent zone does not") || !slices.Equal(r.Seen, pair) {
		t.Error(explain(r))
	}
}

// A server that has authority for both zones gives the delegation in effect, but hearsay
// without authority is none.
func TestParentThatServesTheChild(t *testing.T) {
	w := newWorld(t)
	child := "@ NS amber.ns.cdn.test.\n@ NS basil.ns.cdn.test.\n"
	w.registry.Zone("cohosted.test", child)
	w.second.Zone("cohosted.test", child)
	if r := w.check.CheckDelegation(t.Context(), "cohosted.test", pair); r.Kind != OK {
		t.Error(explain(r))
	}
	for _, s := range []*dnstest.Server{w.registry, w.second} {
		s.Break(dnstest.Fault{Name: "cohosted.test", Type: "NS", Do: dnstest.NoAuthority})
	}
	if r := w.check.CheckDelegation(t.Context(), "cohosted.test", pair); r.Kind != Lame || !r.Temporary {
		t.Error(explain(r))
	}
}

func TestDelegationFaults(t *testing.T) {
	type faults struct {
		resolver, registry, second []dnstest.Fault
	}
	all := func(do dnstest.Behaviour) []dnstest.Fault { return []dnstest.Fault{{Do: do}} }
	domain := func(do dnstest.Behaviour) []dnstest.Fault { return []dnstest.Fault{{Name: "ours.test", Do: do}} }
	for name, c := range map[string]struct {
		faults    faults
		want      Kind
		temporary bool
	}{
		"resolver fails for the domain":   {faults{resolver: domain(dnstest.ServFail)}, OK, false},
		"resolver drops the domain":       {faults{resolver: domain(dnstest.Drop)}, OK, false},
		"resolver has a stale NXDOMAIN":   {faults{resolver: domain(dnstest.NXDomain)}, OK, false},
		"resolver fails":                  {faults{resolver: all(dnstest.ServFail)}, ServFail, true},
		"resolver refuses":                {faults{resolver: all(dnstest.Refuse)}, Refused, true},
		"resolver is silent":              {faults{resolver: all(dnstest.Drop)}, Timeout, true},
		"resolver sends garbage":          {faults{resolver: all(dnstest.Garbage)}, Malformed, true},
		"resolver fails once":             {faults{resolver: []dnstest.Fault{{Name: "test", Times: 1, Do: dnstest.ServFail}}}, OK, false},
		"one parent is silent":            {faults{registry: all(dnstest.Drop)}, OK, false},
		"one parent is lame":              {faults{registry: all(dnstest.Lame)}, OK, false},
		"one parent refuses":              {faults{registry: all(dnstest.Refuse)}, OK, false},
		"one parent sends garbage":        {faults{registry: all(dnstest.Garbage)}, OK, false},
		"all parents are silent":          {faults{registry: all(dnstest.Drop), second: all(dnstest.Drop)}, Timeout, true},
		"all parents are lame":            {faults{registry: all(dnstest.Lame), second: all(dnstest.Lame)}, Lame, true},
		"all parents fail":                {faults{registry: all(dnstest.ServFail), second: all(dnstest.ServFail)}, Lame, true},
		"parents know no EDNS0":           {faults{registry: []dnstest.Fault{{WithEDNS: true, Do: dnstest.FormErr}}, second: all(dnstest.Refuse)}, OK, false},
		"parents truncate":                {faults{registry: []dnstest.Fault{{Network: "udp", Do: dnstest.Truncate}}, second: all(dnstest.Refuse)}, OK, false},
		"an NXDOMAIN without authority":   {faults{registry: domain(dnstest.NoAuthority)}, OK, false},
		"a forged packet comes first":     {faults{registry: all(dnstest.Forged), resolver: all(dnstest.Forged)}, OK, false},
		"only answers under another ID":   {faults{resolver: all(dnstest.WrongID)}, Malformed, true},
		"only answers to other questions": {faults{resolver: all(dnstest.WrongQuestion)}, Malformed, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			check := w.check
			for _, f := range slices.Concat(c.faults.resolver, c.faults.registry, c.faults.second) {
				switch f.Do {
				case dnstest.Drop, dnstest.Garbage, dnstest.WrongID, dnstest.WrongQuestion:
					check = w.impatient(t)
				default:
				}
			}
			w.resolver.Break(c.faults.resolver...)
			w.registry.Break(c.faults.registry...)
			w.second.Break(c.faults.second...)
			r := check.CheckDelegation(t.Context(), "ours.test", pair)
			if r.Kind != c.want || r.Temporary != c.temporary {
				t.Error(explain(r))
			}
		})
	}
}

func TestDelegationIsAskedWithoutRecursion(t *testing.T) {
	w := newWorld(t)
	w.check.CheckDelegation(t.Context(), "ours.test", pair)
	for _, q := range append(w.registry.Queries(), w.second.Queries()...) {
		if q.Recursion || !q.EDNS {
			t.Errorf("asked %+v", q)
		}
	}
	if len(w.registry.Queries())+len(w.second.Queries()) != 1 {
		t.Error("more than one parent server was asked, though the first answered")
	}
}

func TestDelegationEndsWithContext(t *testing.T) {
	w := newWorld(t)
	w.resolver.Break(dnstest.Fault{Do: dnstest.Drop})
	c := w.checker(t, Config{Timeout: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if r := c.CheckDelegation(ctx, "ours.test", pair); r.Kind != Timeout || !r.Temporary {
		t.Error(explain(r))
	}
	c = w.checker(t, Config{Timeout: time.Hour, Budget: 30 * time.Millisecond})
	if r := c.CheckDelegation(t.Context(), "ours.test", pair); r.Kind != Timeout || !r.Temporary {
		t.Error(explain(r))
	}
}

func TestUnreachable(t *testing.T) {
	c, err := New(Config{Resolvers: []string{"127.0.0.1:1"}, Timeout: time.Second, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	if r := c.CheckDelegation(t.Context(), "ours.test", pair); r.Kind != Unreachable || !r.Temporary {
		t.Error(explain(r))
	}
}

func TestNewRefuses(t *testing.T) {
	for _, cfg := range []Config{{}, {Resolvers: []string{"192.0.2.1"}}, {Resolvers: []string{"192.0.2.1:53"}, Timeout: -1}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v passed", cfg)
		}
	}
}
