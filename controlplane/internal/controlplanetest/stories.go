package controlplanetest

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Patience bounds how long a story waits for what must happen: on a busy machine a server may
// blame the wrong release for a crash, and its data center is then told again only after
// half a minute, or a whole one.
const Patience = 3 * time.Minute

// poll is how often a story looks again.
const poll = 50 * time.Millisecond

// Eventually waits until done says so, and fails the test with what when it does not.
func (cp *ControlPlane) Eventually(what string, done func() bool) {
	cp.t.Helper()
	cp.eventually(poll, func() string { return what }, done)
}

func (cp *ControlPlane) eventually(every time.Duration, what func() string, done func() bool) {
	cp.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			cp.t.Fatalf("not within %v: %s", Patience, what())
		case <-tick.C:
		}
	}
}

// Account makes an account and returns a client of it with all permissions.
func (cp *ControlPlane) Account(id string) *REST {
	cp.t.Helper()
	op := cp.REST(cp.Operator)
	op.OK(http.MethodPost, "/v1/accounts", fmt.Sprintf(`{"accountId": %q, "ownerEmail": "owner@%s.test"}`, id, id))
	return cp.REST(op.OK(http.MethodPost, "/v1/accounts/"+id+"/tokens", `{"displayName": "test", "permissions": ["*"]}`).Text("secret"))
}

// Site onboards a site and waits until it is active and live everywhere.
func (cp *ControlPlane) Site(c *REST, account, domain string) {
	cp.t.Helper()
	path := "/v1/accounts/" + account + "/sites"
	c.OK(http.MethodPost, path, fmt.Sprintf(`{"domain": %q, "origin": {"address": "203.0.113.10"}}`, domain))
	cp.Eventually(domain+" is active", func() bool {
		return c.Get(path+"/"+domain).Text("state") == "ACTIVE"
	})
	cp.Live(c, account, domain)
}

// Live waits until the newest version of a site is LIVE, and returns its propagation.
func (cp *ControlPlane) Live(c *REST, account, domain string) JSON {
	cp.t.Helper()
	return cp.Propagates(c, account, domain, "LIVE")
}

// Propagates waits until the newest version of a site is in a state.
func (cp *ControlPlane) Propagates(c *REST, account, domain, state string) JSON {
	cp.t.Helper()
	var last JSON
	told := func() string {
		return fmt.Sprintf("%s is %s; version %s is %s in %s of %s data centers, reason %q", domain, state, last.Text("version"),
			last.Text("state"), last.Text("appliedDataCenters"), last.Text("totalDataCenters"), last.Text("reason"))
	}
	cp.eventually(poll, told, func() bool {
		last = c.Get("/v1/accounts/" + account + "/sites/" + domain + "/propagation")
		return last.Text("state") == state
	})
	return last
}
