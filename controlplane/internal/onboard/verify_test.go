package onboard

import (
	"slices"
	"strings"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/dnstest"
)

const partialZone = `
@	NS	ns1.hoster.test.
_ok	TXT	"other"
_ok	TXT	"bwv-" "token"
_wrong	TXT	"bwv-other"
_alias	CNAME	_ok
_far	CNAME	_alias
_loop1	CNAME	_loop2
_loop2	CNAME	_loop1
_self	CNAME	_self
_dangling CNAME	nothing.nobody.test.
_a	A	192.0.2.1
_long0	CNAME	_long1
_long1	CNAME	_long2
_long2	CNAME	_long3
_long3	CNAME	_long4
_long4	CNAME	_long5
_long5	CNAME	_long6
_long6	CNAME	_long7
_long7	CNAME	_long8
_long8	CNAME	_long9
_long9	CNAME	_ok
_outside CNAME	other.hoster.test.
`

func partial(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.hoster.Zone("theirs.test", partialZone+"_big TXT \""+strings.Repeat("z", 200)+"\" \""+strings.Repeat("q\\\"", 100)+"\"\n"+uniqueTexts()+"_big TXT \"bwv-token\"\n")
	w.hoster.Zone("hoster.test", "@ NS ns1\nns1 A 192.0.2.4\nns2 A 192.0.2.4\nother TXT bwv-token\n")
	return w
}

// uniqueTexts do not fit into one UDP packet.
func uniqueTexts() string {
	var b strings.Builder
	for i := range 30 {
		b.WriteString("_big TXT \"" + strings.Repeat(string(rune('a'+i%26)), 60+i) + "\"\n")
	}
	return b.String()
}

func TestCheckTXT(t *testing.T) {
	w := partial(t)
	for name, want := range map[string]Kind{
		"_ok": OK, "_alias": OK, "_far": OK, "_outside": OK, "_big": OK,
		"_wrong": Mismatch, "_a": NoRecord, "_none": NXDomain, "_dangling": NXDomain,
		"_loop1": CNAMELoop, "_self": CNAMELoop, "_long0": CNAMELoop, "_long3": OK,
	} {
		t.Run(name, func(t *testing.T) {
			r := w.check.CheckTXT(t.Context(), name+".theirs.test", "bwv-token")
			if r.Kind != want || r.Temporary || r.Reason == "" {
				t.Error(explain(r))
			}
		})
	}
	r := w.check.CheckTXT(t.Context(), "_wrong.theirs.test", "bwv-token")
	if !slices.Equal(r.Seen, []string{"bwv-other"}) {
		t.Errorf("seen %q", r.Seen)
	}
	tcp := slices.ContainsFunc(w.resolver.Queries(), func(q dnstest.Query) bool { return q.Network == "tcp" && q.Name == "_big.theirs.test" })
	if !tcp {
		t.Error("the large answer was not asked for over TCP")
	}
}

func TestCheckCNAME(t *testing.T) {
	w := partial(t)
	for name, c := range map[string]struct {
		want string
		kind Kind
		seen []string
	}{
		"_alias":    {"_OK.theirs.test.", OK, []string{"_ok.theirs.test"}},
		"_far":      {"_ok.theirs.test", OK, []string{"_ok.theirs.test"}},
		"_dangling": {"nothing.nobody.test", OK, []string{"nothing.nobody.test"}},
		"_outside":  {"elsewhere.hoster.test", Mismatch, []string{"other.hoster.test"}},
		"_ok":       {"x.hoster.test", NoRecord, nil},
		"_none":     {"x.hoster.test", NXDomain, nil},
		"_self":     {"x.hoster.test", CNAMELoop, []string{"_self.theirs.test"}},
		"_loop1":    {"x.hoster.test", CNAMELoop, []string{"_loop1.theirs.test", "_loop2.theirs.test"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.check.CheckCNAME(t.Context(), name+".theirs.test", c.want)
			if r.Kind != c.kind || !slices.Equal(r.Seen, c.seen) || r.Temporary || r.Reason == "" {
				t.Errorf("seen %q, %s", r.Seen, explain(r))
			}
		})
	}
	if r := w.check.CheckCNAME(t.Context(), "_long0.theirs.test", "x.hoster.test"); r.Kind != CNAMELoop {
		t.Error(explain(r))
	}
}

// Many resolvers only say that they failed where CNAMEs loop.
func TestLoopBehindServFail(t *testing.T) {
	w := partial(t)
	w.resolver.Break(dnstest.Fault{Type: "TXT", Do: dnstest.ServFail})
	if r := w.check.CheckTXT(t.Context(), "_loop1.theirs.test", "x"); r.Kind != CNAMELoop || r.Temporary {
		t.Error(explain(r))
	}
	if r := w.check.CheckTXT(t.Context(), "_ok.theirs.test", "x"); r.Kind != ServFail || !r.Temporary {
		t.Error(explain(r))
	}
}

// An answer may hold only the first part of a chain.
func TestChainLeftOpen(t *testing.T) {
	w := partial(t)
	c := w.checker(t, Config{})
	// An authoritative server, unlike a resolver, stops at the end of its zones.
	c.cfg.Resolvers = []string{w.hoster.Addr()}
	if r := c.CheckTXT(t.Context(), "_outside.theirs.test", "bwv-token"); r.Kind != OK || len(r.Evidence) != 2 {
		t.Error(explain(r))
	}
	// And it answers a loop with the loop.
	if r := c.CheckTXT(t.Context(), "_loop1.theirs.test", "bwv-token"); r.Kind != CNAMELoop || len(r.Evidence) != 1 {
		t.Error(explain(r))
	}
}

func TestVerifyFaults(t *testing.T) {
	for name, c := range map[string]struct {
		do   dnstest.Behaviour
		want Kind
	}{
		"silent": {dnstest.Drop, Timeout}, "refused": {dnstest.Refuse, Refused}, "garbage": {dnstest.Garbage, Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := partial(t)
			w.resolver.Break(dnstest.Fault{Do: c.do})
			check := w.impatient(t)
			for _, r := range []Result{
				check.CheckTXT(t.Context(), "_ok.theirs.test", "x"),
				check.CheckCNAME(t.Context(), "_ok.theirs.test", "x"),
			} {
				if r.Kind != c.want || !r.Temporary || r.Reason == "" {
					t.Error(explain(r))
				}
			}
		})
	}
}

func TestSecondResolver(t *testing.T) {
	w := partial(t)
	broken := w.net.Resolver(w.root)
	broken.Break(dnstest.Fault{Do: dnstest.ServFail})
	c := w.checker(t, Config{})
	c.cfg.Resolvers = []string{broken.Addr(), w.resolver.Addr()}
	if r := c.CheckTXT(t.Context(), "_ok.theirs.test", "bwv-token"); r.Kind != OK || len(r.Evidence) != 2 {
		t.Error(explain(r))
	}
}
