package service

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/intercept"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

var (
	_ intercept.Checker = (*Sites)(nil)
	_ intercept.Checker = (*Tokens)(nil)
	_ intercept.Checker = (*Members)(nil)
	_ intercept.Checker = (*DNS)(nil)
)

// TestAllViolationsAtOnce breaks rules of the protos and others in one request.
func TestAllViolationsAtOnce(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	labels := map[string]string{"BAD": "x"}
	for name, tc := range map[string]struct {
		err  error
		want []string
	}{
		"token": {
			w.tryToken(owner, &breakwaterv1.Token{
				Permissions: []string{"sites.gett", "??"}, Sites: []string{"a.test", "??"}, AllowedCidrs: []string{"nonsense"},
				ExpireTime: timestamppb.New(w.clock.Now()), Labels: labels,
			}),
			[]string{"allowedCidrs[0]", "expireTime", `labels["BAD"]`, "permissions[0]", "permissions[1]", "sites[1]"},
		},
		"member": {
			func() error {
				_, err := w.members.CreateMember(w.as(owner), &breakwaterv1.CreateMemberRequest{
					Parent: "accounts/acme", Member: &breakwaterv1.Member{Sites: []string{"??"}, Labels: labels},
				})
				return err
			}(),
			[]string{"email", `labels["BAD"]`, "role", "sites[0]"},
		},
	} {
		var got []string
		for _, v := range violations(tc.err) {
			got = append(got, v.GetField())
		}
		slices.Sort(got)
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestSiteViolationsAtOnce(t *testing.T) {
	w, dns, shop := newDNSWorld(t)
	site := func(s *breakwaterv1.Site) error {
		return w.sites.Check(&breakwaterv1.CreateSiteRequest{Parent: "accounts/acme", Site: s})
	}
	bad := &breakwaterv1.Origin{Address: "10.0.0.1", Port: 99999}
	for name, tc := range map[string]struct {
		err  error
		want []string
	}{
		"no domain":       {site(&breakwaterv1.Site{Domain: "??", Name: "x", Origin: bad}), []string{"domain", "origin.address", "origin.port"}},
		"the wrong setup": {site(&breakwaterv1.Site{Domain: "a.b.example", Setup: breakwaterv1.Site_FULL, Origin: bad}), []string{"origin.address", "origin.port", "setup"}},
		"another's name":  {site(&breakwaterv1.Site{Domain: "a.example", Name: "x", Origin: bad}), []string{"name", "origin.address", "origin.port"}},
		"no kind of proof": {
			site(&breakwaterv1.Site{Domain: "??", Verification: &breakwaterv1.Site_Verification{Type: "MX"}}), []string{"domain", "verification.type"},
		},
		"nothing":   {site(nil), nil},
		"all right": {site(&breakwaterv1.Site{Domain: "a.example"}), nil},
		"DNS": {
			dns.Check(&breakwaterv1.CreateDnsRecordRequest{
				Parent: shop, DnsRecord: &breakwaterv1.DnsRecord{Name: "..", Type: "A", Content: "zz", Ttl: -5, Priority: 99999999},
			}),
			[]string{"content", "name", "priority", "ttl"},
		},
	} {
		var got []string
		for _, v := range violations(rpcerr.Status(tc.err).Err()) {
			got = append(got, v.GetField())
		}
		slices.Sort(got)
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
