package intercept_test

import (
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// unknown adds field 999 to a message and returns it.
func unknown[M proto.Message](m M) M {
	m.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 999, protowire.VarintType), 1))
	return m
}

func TestUnknownFieldsAreRefused(t *testing.T) {
	f := serve(t, nil)
	account := func(req *breakwaterv1.CreateAccountRequest) error {
		req.OwnerEmail = "o@x.test"
		_, err := f.accounts().CreateAccount(as(t, "op"), req)
		return err
	}
	configure := func(req *breakwaterv1.ConfigureSiteRequest) error {
		req.Name = "accounts/acme/sites/shop.test"
		_, err := breakwaterv1.NewSiteServiceClient(f.conn).ConfigureSite(as(t, "acme"), req)
		return err
	}
	threats := func(entries ...*breakwaterv1.ThreatSettings_FirewallEntry) *breakwaterv1.ConfigureSiteRequest {
		return &breakwaterv1.ConfigureSiteRequest{ThreatSettings: &breakwaterv1.ThreatSettings{FirewallEntries: entries}}
	}
	for _, tc := range []struct {
		name  string
		err   error
		field string
	}{
		{"none", account(&breakwaterv1.CreateAccountRequest{Account: &breakwaterv1.Account{Labels: map[string]string{"a": "b"}}}), ""},
		{"of the request", account(unknown(&breakwaterv1.CreateAccountRequest{})), "#999"},
		{"below", account(&breakwaterv1.CreateAccountRequest{Account: unknown(&breakwaterv1.Account{})}), "account.#999"},
		{"in a list", configure(threats(&breakwaterv1.ThreatSettings_FirewallEntry{}, unknown(&breakwaterv1.ThreatSettings_FirewallEntry{}))), "threatSettings.firewallEntries[1].#999"},
		{"in a map", configure(&breakwaterv1.ConfigureSiteRequest{Apps: map[string]*breakwaterv1.ConfigureSiteRequest_AppChange{
			"a": unknown(&breakwaterv1.ConfigureSiteRequest_AppChange{}),
		}}), `apps["a"].#999`},
	} {
		field := ""
		for _, d := range status.Convert(tc.err).Details() {
			if bad, ok := d.(*errdetails.BadRequest); ok {
				field = bad.GetFieldViolations()[0].GetField()
			}
		}
		if field != tc.field || field != "" && reason(tc.err) != "INVALID_FIELD" {
			t.Errorf("%s: %v, field %q", tc.name, tc.err, field)
		}
	}
	_, err := f.accounts().UpdateAccount(as(t, "reader"), &breakwaterv1.UpdateAccountRequest{
		Account: unknown(&breakwaterv1.Account{Name: "accounts/acme"}),
	})
	if reason(err) != "PERMISSION_DENIED" {
		t.Errorf("permission comes first: %v", err)
	}
}
