package server_test

import (
	"net/http"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
)

// The development server's DNS has both kinds of records, and where two accounts want
// different ones at a name, that of the later one.
func TestVerifiedByRecords(t *testing.T) {
	cp := controlplanetest.Start(t)
	acme, beta := cp.Account("acme"), cp.Account("beta")
	create := func(who *controlplanetest.REST, account, domain, kind string) (path string) {
		made := who.OK(http.MethodPost, "/v1/accounts/"+account+"/sites",
			`{"domain": "`+domain+`", "setup": "PARTIAL", "verification": {"type": "`+kind+`"}}`)
		if got := made.Text("verification.type"); got != kind {
			t.Errorf("%s is verified by %s, not %s", domain, got, kind)
		}
		path = "/v1/accounts/" + account + "/sites/" + domain
		cp.Eventually(path+" is active", func() bool { return who.Get(path).Text("state") == "ACTIVE" })
		return path
	}
	create(acme, "acme", "www.records.test", "TXT")
	create(acme, "acme", "alias.records.test", "CNAME")
	first := create(acme, "acme", "both.records.test", "TXT")
	create(beta, "beta", "both.records.test", "CNAME")
	if got := acme.Get(first).Text("state"); got != "MOVED" {
		t.Errorf("the earlier site is %s", got)
	}
}
