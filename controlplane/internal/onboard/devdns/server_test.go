package devdns

import (
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/onboard"
)

var pair = []string{"amber.ns.cdn.test", "basil.ns.cdn.test"}

func start(t *testing.T) (*Server, *onboard.Checker) {
	t.Helper()
	s, err := Start(Config{
		Addr: "127.0.0.1:0",
		NameServers: func(domain string) []string {
			if domain == "unregistered.test" {
				return nil
			}
			return pair
		},
		TXT: func(name string) []string {
			if name == "_breakwater.shop.test" {
				return []string{strings.Repeat("long", 400), "bwv-token", `with "quotes" and \`}
			}
			return nil
		},
		CNAME: func(name string) string {
			if name == "_breakwater.alias.test" {
				return "bwv-token.verify.cdn.example"
			}
			return ""
		},
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := onboard.New(onboard.Config{Resolvers: []string{s.Addr()}, Endpoint: s.Endpoint})
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

// The checks of production, against the server of development.
func TestOnboarding(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	for name, r := range map[string]struct {
		got  onboard.Result
		want onboard.Kind
	}{
		"delegated":    {c.CheckDelegation(ctx, "shop.test", pair), onboard.OK},
		"upper case":   {c.CheckDelegation(ctx, "shop.test", []string{"BASIL.ns.cdn.test.", "amber.ns.cdn.test"}), onboard.OK},
		"other pair":   {c.CheckDelegation(ctx, "shop.test", []string{"x.test", "y.test"}), onboard.NotDelegated},
		"unregistered": {c.CheckDelegation(ctx, "unregistered.test", pair), onboard.NXDomain},
		"not test":     {c.CheckDelegation(ctx, "example.com", pair), onboard.Refused},
		"TXT":          {c.CheckTXT(ctx, "_breakwater.shop.test", "bwv-token"), onboard.OK},
		"TXT quotes":   {c.CheckTXT(ctx, "_breakwater.shop.test", `with "quotes" and \`), onboard.OK},
		"no TXT":       {c.CheckTXT(ctx, "_breakwater.other.test", "bwv-token"), onboard.NoRecord},
		"CNAME":        {c.CheckCNAME(ctx, "_breakwater.alias.test", "bwv-token.verify.cdn.example"), onboard.OK},
		"no CNAME":     {c.CheckCNAME(ctx, "_breakwater.shop.test", "x.cdn.example"), onboard.NoRecord},
	} {
		if r.got.Kind != r.want {
			t.Errorf("%s: %+v", name, r.got)
		}
	}
	f, err := c.Scan(ctx, "shop.test")
	if err != nil || len(f.Records) != 0 || !slices.Equal(f.NameServers, pair) {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestLifecycle(t *testing.T) {
	s, _ := start(t)
	if _, err := Start(Config{Addr: s.Addr(), Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a second server started at the same port")
	}
	if _, err := Start(Config{Addr: "127.0.0.1:0"}); err == nil {
		t.Error("a server started without a logger")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error("the second close:", err)
	}
	c, err := net.Dial("tcp", s.Addr())
	if err == nil {
		t.Error("the closed server still listens")
		_ = c.Close()
	}
}

// With no callbacks it answers, and everything is empty.
func TestWithoutCallbacks(t *testing.T) {
	s, err := Start(Config{Addr: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, network := range []string{"udp", "tcp"} {
		for _, qtype := range []uint16{dns.TypeNS, dns.TypeA, dns.TypeTXT, dns.TypeSOA} {
			for _, name := range []string{"test.", "ns.test.", "a.test.", "b.a.test."} {
				q := new(dns.Msg)
				q.SetQuestion(name, qtype)
				m, _, err := (&dns.Client{Net: network}).ExchangeContext(t.Context(), q, s.Addr())
				if err != nil || m.Rcode != dns.RcodeSuccess {
					t.Errorf("%s %s %d: %v %v", network, name, qtype, m, err)
				}
			}
		}
	}
}
