package authz_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz/permission"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// allServices are all services of the API, whether or not a server has them yet.
func allServices(t *testing.T) []protoreflect.ServiceDescriptor {
	t.Helper()
	// The packages are linked by what is used of them here.
	_ = []proto.Message{&breakwaterv1.Account{}, &opsv1.Bug{}, &edgev1.ReportRequest{}}
	var out []protoreflect.ServiceDescriptor
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if strings.HasPrefix(string(f.Package()), "breakwater.") {
			for i := range f.Services().Len() {
				out = append(out, f.Services().Get(i))
			}
		}
		return true
	})
	if len(out) < 10 {
		t.Fatalf("only %d services are linked", len(out))
	}
	return out
}

func table(t *testing.T) *authz.Table {
	t.Helper()
	tab, err := authz.NewTable(allServices(t)...)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestEveryRPCIsDeclared(t *testing.T) {
	for _, r := range table(t).Rules() {
		if r.Permission == "" || r.Scope == breakwaterv1.Access_SCOPE_UNSPECIFIED {
			t.Errorf("%s has an empty rule", r.FullMethod)
		}
	}
}

// TestDeclarationsAreRequired changes one declaration at a time and expects the table to
// name the RPC.
func TestDeclarationsAreRequired(t *testing.T) {
	original := protodesc.ToFileDescriptorProto(breakwaterv1.File_breakwater_v1_accounts_proto)
	access := func(a *breakwaterv1.Access) func(*descriptorpb.MethodDescriptorProto) {
		return func(m *descriptorpb.MethodDescriptorProto) {
			proto.SetExtension(m.GetOptions(), breakwaterv1.E_Access, a)
		}
	}
	for name, tc := range map[string]struct {
		change func(*descriptorpb.MethodDescriptorProto)
		says   string
	}{
		"no option": {func(m *descriptorpb.MethodDescriptorProto) {
			proto.ClearExtension(m.GetOptions(), breakwaterv1.E_Access)
		}, "declares no access"},
		"no scope": {access(&breakwaterv1.Access{Permission: "accounts.get", Resource: "name"}), "declares no access"},
		"no permission": {
			access(&breakwaterv1.Access{Scope: breakwaterv1.Access_ACCOUNT, Resource: "name"}),
			"not `collection.verb`",
		},
		"no resource": {
			access(&breakwaterv1.Access{Scope: breakwaterv1.Access_ACCOUNT, Permission: "accounts.get"}),
			"names no resource",
		},
		"unknown field": {
			access(&breakwaterv1.Access{Scope: breakwaterv1.Access_ACCOUNT, Permission: "accounts.get", Resource: "nam"}),
			"no single field nam",
		},
		"wrong scope": {
			access(&breakwaterv1.Access{Scope: breakwaterv1.Access_SITE, Permission: "accounts.get", Resource: "name"}),
			"no resource of a site",
		},
		"mutates without options": {
			access(&breakwaterv1.Access{Scope: breakwaterv1.Access_ACCOUNT, Permission: "accounts.get", Resource: "name", Mutates: true}),
			"lacks request_id",
		},
	} {
		t.Run(name, func(t *testing.T) {
			fd := proto.Clone(original).(*descriptorpb.FileDescriptorProto)
			for _, m := range fd.GetService()[0].GetMethod() {
				if m.GetName() == "GetAccount" {
					tc.change(m)
				}
			}
			file, err := protodesc.NewFile(fd, protoregistry.GlobalFiles)
			if err != nil {
				t.Fatal(err)
			}
			_, err = authz.NewTable(file.Services().Get(0))
			if err == nil || !strings.Contains(err.Error(), "AccountService.GetAccount") || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v", err)
			}
		})
	}
}

type registered map[string]grpc.ServiceInfo

func (r registered) GetServiceInfo() map[string]grpc.ServiceInfo { return r }

func TestServicesOfAServer(t *testing.T) {
	server := registered{"breakwater.v1.AccountService": {}, "grpc.health.v1.Health": {}}
	got, err := authz.Services(server, "grpc.health.v1.Health")
	if err != nil || len(got) != 1 || got[0].Name() != "AccountService" {
		t.Errorf("services %v, %v", got, err)
	}
	if _, err := authz.Services(registered{"no.such.Service": {}}); err == nil {
		t.Error("an unknown service is let through")
	}
}

func grant(account string, permissions []string, sites ...string) authn.Principal {
	return authn.Principal{Kind: authn.Token, ID: "accounts/" + account + "/tokens/t", Grants: []authn.Grant{
		{Account: account, Permissions: permissions, Sites: sites},
	}}
}

func TestCheck(t *testing.T) {
	const (
		getSite      = "/breakwater.v1.SiteService/GetSite"
		listSites    = "/breakwater.v1.SiteService/ListSites"
		createSite   = "/breakwater.v1.SiteService/CreateSite"
		suspendSite  = "/breakwater.v1.SiteService/SuspendSite"
		getAccount   = "/breakwater.v1.AccountService/GetAccount"
		listAccounts = "/breakwater.v1.AccountService/ListAccounts"
		updAccount   = "/breakwater.v1.AccountService/UpdateAccount"
		listTokens   = "/breakwater.v1.TokenService/ListTokens"
		createToken  = "/breakwater.v1.TokenService/CreateToken"
		listAudit    = "/breakwater.v1.AuditService/ListAuditEvents"
		listPlans    = "/breakwater.v1.PlanService/ListPlans"
		createBug    = "/breakwater.ops.v1.DevService/CreateBug"
		report       = "/breakwater.edge.v1.EdgeService/Report"
	)
	all := []string{"*"}
	operator := authn.Principal{Kind: authn.Operator, ID: "operator"}
	acting := authn.Principal{Kind: authn.Operator, ID: "operator", OnBehalfOf: "v@x.test", Grants: []authn.Grant{
		{Account: "acme", Permissions: permission.OfRole(breakwaterv1.Member_VIEWER)},
	}}
	edge := authn.EdgeServer("SJC", "sjc-1")
	site := &breakwaterv1.GetSiteRequest{Name: "accounts/acme/sites/shop.test"}
	account := &breakwaterv1.GetAccountRequest{Name: "accounts/acme"}
	update := &breakwaterv1.UpdateAccountRequest{Account: &breakwaterv1.Account{Name: "accounts/acme"}}
	tokens := &breakwaterv1.ListTokensRequest{Parent: "accounts/acme"}
	create := func(d string) proto.Message {
		return &breakwaterv1.CreateSiteRequest{Parent: "accounts/acme", Site: &breakwaterv1.Site{Domain: d}}
	}
	ok, denied, unknown, invalid := rpcerr.Reason(""), rpcerr.ReasonPermissionDenied, rpcerr.ReasonUnauthenticated, rpcerr.ReasonInvalidField
	for _, tc := range []struct {
		name   string
		p      authn.Principal
		method string
		req    proto.Message
		want   rpcerr.Reason
	}{
		{"a method without a rule", operator, "/x/y", nil, denied},
		{"public for anyone", authn.Principal{}, listPlans, &breakwaterv1.ListPlansRequest{}, ok},
		{"no credential", authn.Principal{}, getSite, site, unknown},
		{"no credential comes before the name", authn.Principal{}, getSite, &breakwaterv1.GetSiteRequest{Name: "!"}, unknown},
		{"operator anywhere", operator, getSite, site, ok},
		{"operator only", operator, suspendSite, &breakwaterv1.SuspendSiteRequest{Name: "accounts/acme/sites/shop.test"}, ok},
		{"star is no operator", grant("acme", all), suspendSite, &breakwaterv1.SuspendSiteRequest{Name: "accounts/acme/sites/shop.test"}, denied},
		{"star is no operator in dev", grant("acme", all), createBug, &opsv1.CreateBugRequest{}, denied},
		{"operator in dev", operator, createBug, &opsv1.CreateBugRequest{}, ok},
		{"operator for a member is bounded", acting, updAccount, update, denied},
		{"operator for a member reads", acting, getSite, site, ok},
		{"operator for a member is no operator", acting, suspendSite, &breakwaterv1.SuspendSiteRequest{Name: "accounts/acme/sites/shop.test"}, denied},
		{"anyone with a credential", grant("acme", nil), listAccounts, &breakwaterv1.ListAccountsRequest{}, ok},
		{"the permission", grant("acme", []string{"sites.get"}), getSite, site, ok},
		{"another permission", grant("acme", []string{"sites.list"}), getSite, site, denied},
		{"another tenant", grant("other", all), getSite, site, denied},
		{"the right site", grant("acme", all, "shop.test"), getSite, site, ok},
		{"a wrong site", grant("acme", all, "else.test"), getSite, site, denied},
		{"another spelling of the right site", grant("acme", all, "shop.test"), getSite, &breakwaterv1.GetSiteRequest{Name: "accounts/acme/sites/SHOP.test."}, ok},
		{"a malformed name", grant("acme", all), getSite, &breakwaterv1.GetSiteRequest{Name: "accounts/acme"}, invalid},
		{"an empty name", grant("acme", all), getSite, &breakwaterv1.GetSiteRequest{}, invalid},
		{"a name of another collection", operator, "/breakwater.v1.MemberService/GetMember", &breakwaterv1.GetMemberRequest{Name: "accounts/acme/tokens/x"}, invalid},
		{"a nested message that is absent", operator, updAccount, &breakwaterv1.UpdateAccountRequest{}, invalid},

		{"limited: reads the account", grant("acme", all, "shop.test"), getAccount, account, ok},
		{"limited: does not change the account", grant("acme", all, "shop.test"), updAccount, update, denied},
		{"limited: lists", grant("acme", all, "shop.test"), listSites, &breakwaterv1.ListSitesRequest{Parent: "accounts/acme"}, ok},
		{"limited: lists tokens", grant("acme", all, "shop.test"), listTokens, tokens, ok},
		{"limited: makes tokens", grant("acme", all, "shop.test"), createToken, &breakwaterv1.CreateTokenRequest{Parent: "accounts/acme"}, ok},
		{"limited: no audit", grant("acme", all, "shop.test"), listAudit, &breakwaterv1.ListAuditEventsRequest{Parent: "accounts/acme"}, denied},
		{"limited: makes its site", grant("acme", all, "shop.test"), createSite, create("Shop.test"), ok},
		{"limited: makes no other site", grant("acme", all, "shop.test"), createSite, create("else.test"), denied},
		{"limited: makes no malformed site", grant("acme", all, "shop.test"), createSite, create("*"), denied},
		{"limited: makes no absent site", grant("acme", all, "shop.test"), createSite, &breakwaterv1.CreateSiteRequest{Parent: "accounts/acme"}, denied},
		{"unlimited: audit", grant("acme", all), listAudit, &breakwaterv1.ListAuditEventsRequest{Parent: "accounts/acme"}, ok},

		{"edge reports", edge, report, nil, ok},
		{"edge does nothing else", edge, getSite, site, denied},
		{"edge does not list accounts", edge, listAccounts, &breakwaterv1.ListAccountsRequest{}, denied},
		{"operator is no edge", operator, report, nil, denied},
		{"nobody is no edge", authn.Principal{}, report, nil, unknown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := tc.req
			if req != nil {
				req = proto.Clone(req)
			}
			err := table(t).Check(tc.p, tc.method, req)
			if got := reason(err); got != tc.want {
				t.Errorf("%v (%q), want %q", err, got, tc.want)
			}
		})
	}
}

func reason(err error) rpcerr.Reason {
	if err == nil {
		return ""
	}
	if e, ok := err.(*rpcerr.Error); ok { //nolint:errorlint // Check returns it unwrapped.
		return e.Reason
	}
	return "not an rpcerr.Error"
}

func TestRefusalNamesThePermission(t *testing.T) {
	err := table(t).Check(grant("acme", nil), "/breakwater.v1.SiteService/GetSite",
		&breakwaterv1.GetSiteRequest{Name: "accounts/acme/sites/shop.test"})
	e, ok := err.(*rpcerr.Error) //nolint:errorlint // Check returns it unwrapped.
	if !ok || e.Metadata["permission"] != "sites.get" {
		t.Errorf("error %v", err)
	}
}

func TestNamesAreCanonicalised(t *testing.T) {
	req := &breakwaterv1.UpdateSettingsRequest{Settings: &breakwaterv1.Settings{Name: "accounts/acme/sites/BÜCHER.test/settings"}}
	err := table(t).Check(grant("acme", []string{"*"}), "/breakwater.v1.SettingsService/UpdateSettings", req)
	if err != nil {
		t.Fatal(err)
	}
	if want := "accounts/acme/sites/xn--bcher-kva.test/settings"; req.GetSettings().GetName() != want {
		t.Errorf("name %q, want %q", req.GetSettings().GetName(), want)
	}
}

func TestVisibleSites(t *testing.T) {
	sites := []string{"a.test", "b.test"}
	for _, tc := range []struct {
		name string
		p    authn.Principal
		want []string
	}{
		{"operator", authn.Principal{Kind: authn.Operator}, sites},
		{"operator for nobody's member", authn.Principal{Kind: authn.Operator, OnBehalfOf: "x"}, nil},
		{"unlimited", grant("acme", []string{"*"}), sites},
		{"limited", grant("acme", []string{"*"}, "b.test"), []string{"b.test"}},
		{"another tenant", grant("other", []string{"*"}), nil},
		{"nobody", authn.Principal{}, nil},
	} {
		var got []string
		visible := authz.VisibleSites(tc.p, "acme")
		for _, s := range sites {
			if visible(s) {
				got = append(got, s)
			}
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s sees %v, want %v", tc.name, got, tc.want)
		}
	}
}

// TestRolesKnowEveryPermission finds a declared permission of accounts or sites that no
// role but the owner's wildcard has: somebody has to decide who else may.
func TestRolesKnowEveryPermission(t *testing.T) {
	for _, r := range table(t).Rules() {
		if r.Scope != breakwaterv1.Access_ACCOUNT && r.Scope != breakwaterv1.Access_SITE {
			continue
		}
		if collection, _, _ := strings.Cut(r.Permission, "."); !permission.KnownCollection(collection) {
			t.Errorf("%s is a permission that no token can have", r.Permission)
		}
		if r.Permission == "accounts.delete" {
			continue
		}
		if !permission.Granted(permission.OfRole(breakwaterv1.Member_ADMIN), r.Permission) {
			t.Errorf("an admin may not %s: add it to the roles", r.Permission)
		}
	}
}

func TestPermissions(t *testing.T) {
	set := authz.Permissions()
	for _, r := range table(t).Rules() {
		tenant := r.Scope == breakwaterv1.Access_ACCOUNT || r.Scope == breakwaterv1.Access_SITE
		if tenant && !set.Has(r.Permission) {
			t.Errorf("no token can have %s, which %s needs", r.Permission, r.FullMethod)
		}
	}
	for p, want := range map[string]bool{
		"accounts.list": true, "apps.get": true, permission.Impersonate: true, permission.ManageOwners: true,
		"sites.suspend": false, "dataCenters.drain": false, "me.get": false, "edge.report": false, "sites.gett": false,
	} {
		if got := set.Has(p); got != want {
			t.Errorf("a token can have %s: %v, want %v", p, got, want)
		}
	}
	if !slices.IsSorted(set) || len(slices.Compact(slices.Clone(set))) != len(set) {
		t.Errorf("not a sorted set: %v", set)
	}
}
