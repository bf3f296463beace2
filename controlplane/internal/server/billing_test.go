package server_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
)

const subscription = shop + "/subscription"

// paid starts a control plane with one site on the free plan.
func paid(t *testing.T) (*controlplanetest.ControlPlane, *controlplanetest.REST, *controlplanetest.REST) {
	t.Helper()
	cp := controlplanetest.Start(t, controlplanetest.BakeScale(0), controlplanetest.SmallFleet(t, 3))
	acme := cp.Account("acme")
	cp.Site(acme, "acme", "shop.test")
	return cp, acme, cp.REST(cp.Operator)
}

// change changes the plan of shop.test, and waits until the payment is decided where a busy
// machine did not get to it in time for the answer.
func change(cp *controlplanetest.ControlPlane, c *controlplanetest.REST, body string, headers ...string) controlplanetest.JSON {
	var answer controlplanetest.Response
	cp.Eventually("the payment provider is asked in time", func() bool {
		answer = c.Do(http.MethodPost, subscription+":change", body, headers...)
		return answer.Reason() != "PAYMENT_METHOD_REQUIRED"
	})
	out := answer.Body
	cp.Eventually("the payment is decided", func() bool {
		if out.Text("state") == "UPGRADING" {
			out = c.Get(subscription)
		}
		return out.Text("state") != "UPGRADING"
	})
	return out
}

// A site goes from plan to plan by curl alone, and what the plan does not have goes off at
// the edge too.
func TestPlans(t *testing.T) {
	cp, acme, op := paid(t)

	refused := acme.Do(http.MethodPatch, shop+"/apps/prefetch", `{"enabled": true}`)
	if info := refused.Detail("ErrorInfo"); refused.Status != http.StatusBadRequest || refused.Reason() != "PLAN_REQUIRED" ||
		info.Text("metadata.requiredPlan") != "business" || info.Text("metadata.preview") != subscription+":preview" {
		t.Fatalf("an app of the plan business on free: %d %s", refused.Status, refused.Raw)
	}

	first := acme.OK(http.MethodPost, subscription+":preview", `{"plan": "pro"}`)
	if first.Int("dueNow.units") != 20 || first.Int("dueNow.nanos") != 0 || first.Text("dueNow.currencyCode") != "USD" || first.Text("quote") == "" {
		t.Fatalf("the preview of pro: %v", first)
	}
	cp.Eventually("validateOnly is content", func() bool {
		return acme.Do(http.MethodPost, subscription+":change?validateOnly=true", `{"plan": "pro", "quote": "`+first.Text("quote")+`"}`).Status == http.StatusOK
	})
	if got := acme.Get(subscription).Text("plan"); got != "free" {
		t.Fatalf("validateOnly changed the plan to %s", got)
	}
	version := acme.Get(shop).Int("version")
	pro := change(cp, acme, `{"plan": "pro", "quote": "`+first.Text("quote")+`"}`, "Idempotency-Key", "to-pro")
	if pro.Text("plan") != "pro" || pro.Text("state") != "ACTIVE" || pro.Int("version") != version+1 {
		t.Fatalf("with a good card the site has the new plan and version: %v", pro)
	}
	if again := change(cp, acme, `{"plan": "pro", "quote": "`+first.Text("quote")+`"}`, "Idempotency-Key", "to-pro"); again.Text("plan") != "pro" {
		t.Errorf("the repeat: %v", again)
	}

	op.OK(http.MethodPost, "/v1/dev/clock:advance", `{"by": "864000s"}`)
	second := acme.OK(http.MethodPost, subscription+":preview", `{"plan": "business"}`)
	if due := second.Int("dueNow.units"); due <= 100 || due >= 180 || len(second.Objects("lines")) != 2 {
		t.Fatalf("two thirds of the period are prorated: %v", second)
	}
	business := change(cp, acme, `{"plan": "business", "quote": "`+second.Text("quote")+`"}`)
	if business.Text("plan") != "business" {
		t.Fatalf("the upgrade: %v", business)
	}
	invoices := acme.Get("/v1/accounts/acme/invoices").Objects("invoices")
	if len(invoices) != 2 || invoices[0].Int("total.units") != second.Int("dueNow.units") || invoices[1].Int("total.units") != 20 {
		t.Fatalf("the invoices: %v", invoices)
	}
	acme.OK(http.MethodPatch, shop+"/apps/prefetch", `{"enabled": true}`)
	cp.Live(acme, "acme", "shop.test")

	down := acme.OK(http.MethodPost, subscription+":preview", `{"plan": "pro"}`)
	if off := down.Objects("turnsOff"); len(off) != 1 || off[0].Text("app") != "prefetch" || off[0].Text("requiredPlan") != "business" || down.Int("dueNow.units") != 0 {
		t.Fatalf("the preview of the downgrade: %v", down)
	}
	scheduled := acme.OK(http.MethodPost, subscription+":change", `{"plan": "pro"}`)
	if scheduled.Text("plan") != "business" || scheduled.Text("pendingPlan") != "pro" || scheduled.Text("state") != "ACTIVE" {
		t.Fatalf("the downgrade: %v", scheduled)
	}
	if acme.Get(shop+"/apps/prefetch").Text("enabled") != "true" {
		t.Error("something was taken away before the period's end")
	}
	end, err := time.Parse(time.RFC3339, scheduled.Text("currentPeriodEnd"))
	if err != nil {
		t.Fatal(err)
	}
	op.OK(http.MethodPost, "/v1/dev/clock:advance", `{"to": "`+end.Add(time.Minute).Format(time.RFC3339)+`"}`)
	if app := acme.Get(shop + "/apps/prefetch"); app.Text("enabled") != "false" || app.Text("available") != "false" {
		t.Errorf("after the period: %v", app)
	}
	fell := acme.Get(subscription)
	if fell.Text("plan") != "pro" || fell.Text("pendingPlan") != "" || acme.Get(shop).Text("plan") != "pro" {
		t.Errorf("after the period: %v", fell)
	}
	if p := cp.Live(acme, "acme", "shop.test"); p.Int("version") != fell.Int("version") {
		t.Errorf("the edge serves version %d, want %d", p.Int("version"), fell.Int("version"))
	}
	cp.Converged()
	if newest := acme.Get("/v1/accounts/acme/invoices").Objects("invoices")[0]; newest.Int("total.units") != 20 || newest.Text("state") != "PAID" {
		t.Errorf("the renewal bills pro: %v", newest)
	}
	// What was switched off is there again with the plan.
	change(cp, acme, `{"plan": "business"}`)
	if acme.Get(shop+"/apps/prefetch").Text("enabled") != "true" {
		t.Error("the app did not come back")
	}
}

// What can be refused is, by name, and changes nothing.
func TestPlansRefused(t *testing.T) {
	cp, acme, op := paid(t)
	for _, test := range []struct {
		verb, body, reason string
		status             int
	}{
		{":change", `{"plan": "gold"}`, "INVALID_FIELD", 400},
		{":change", `{"plan": "pro", "quote": "no quote"}`, "QUOTE_STALE", 400},
		{":preview", `{"plan": "gold"}`, "INVALID_FIELD", 400},
		{":cancel", `{}`, "INVALID_STATE", 400},
		{":revoke", `{}`, "INVALID_STATE", 400},
		{":change", `{"plan": "pro", "etag": "stale"}`, "ETAG_MISMATCH", 409},
	} {
		if got := acme.Do(http.MethodPost, subscription+test.verb, test.body); got.Status != test.status || got.Reason() != test.reason {
			t.Errorf("%s %s: %d %s", test.verb, test.body, got.Status, got.Raw)
		}
	}
	if got := acme.Do(http.MethodPost, "/v1/accounts/acme/sites/none.test/subscription:preview", `{"plan": "pro"}`); got.Status != http.StatusNotFound {
		t.Errorf("of a site that is not there: %d %s", got.Status, got.Raw)
	}
	quote := acme.OK(http.MethodPost, subscription+":preview", `{"plan": "pro"}`).Text("quote")
	op.OK(http.MethodPost, "/v1/dev/clock:advance", `{"by": "901s"}`)
	if got := acme.Do(http.MethodPost, subscription+":change", `{"plan": "pro", "quote": "`+quote+`"}`); got.Reason() != "QUOTE_EXPIRED" {
		t.Errorf("after 15 minutes: %d %s", got.Status, got.Raw)
	}
	op.OK(http.MethodPost, "/v1/dev/cards", `{"account": "acme", "behavior": "DECLINE"}`)
	declined := change(cp, acme, `{"plan": "pro"}`)
	if declined.Text("plan") != "free" || declined.Text("state") != "ACTIVE" || declined.Text("failure") == "" {
		t.Errorf("with a card that is declined: %v", declined)
	}
	if acme.Get(shop).Text("plan") != "free" {
		t.Error("a plan that is not paid holds")
	}
}

// A payment that waits for the customer says so, and is confirmed or given up.
func TestRequiresAction(t *testing.T) {
	cp, acme, op := paid(t)
	op.OK(http.MethodPost, "/v1/dev/cards", `{"account": "acme", "behavior": "REQUIRES_ACTION"}`)
	waits := change(cp, acme, `{"plan": "pro"}`)
	if waits.Text("state") != "REQUIRES_ACTION" || waits.Text("pendingPlan") != "pro" || waits.Text("pendingAction.url") == "" || waits.Text("plan") != "free" {
		t.Fatalf("a payment that waits: %v", waits)
	}
	cp.Site(acme, "acme", "blog.test")
	if got := acme.Do(http.MethodPost, "/v1/accounts/acme/sites/blog.test/subscription:change", `{"plan": "pro"}`); got.Status != http.StatusConflict || got.Reason() != "CHANGE_IN_PROGRESS" {
		t.Errorf("two changes of money at a time: %d %s", got.Status, got.Raw)
	}
	op.OK(http.MethodPost, "/v1/dev/cards", `{"account": "acme", "behavior": "ACCEPT"}`)
	cp.Eventually("the payment is confirmed", func() bool { return acme.Get(subscription).Text("plan") == "pro" })
}

// A renewal that is not paid: grace, then what free has, then all is there again.
func TestUnpaid(t *testing.T) {
	cp, acme, op := paid(t)
	change(cp, acme, `{"plan": "pro"}`)
	acme.OK(http.MethodPatch, "/v1/accounts/acme/billing", `{"email": "pay@acme.example", "legalName": "Acme Inc."}`)
	acme.OK(http.MethodPatch, shop+"/apps/waf", `{"enabled": true}`)
	op.OK(http.MethodPost, "/v1/dev/cards", `{"account": "acme", "behavior": "DECLINE"}`)
	op.OK(http.MethodPost, "/v1/dev/clock:advance", `{"by": "2764800s"}`) // 32 days
	if s := acme.Get(subscription); s.Text("state") != "PAST_DUE" || s.Text("degradeTime") == "" || s.Text("entitledPlan") != "pro" {
		t.Fatalf("the renewal is not paid: %v", s)
	}
	if b := acme.Get("/v1/accounts/acme/billing"); b.Text("standing") != "PAST_DUE" {
		t.Errorf("%v", b)
	}
	letters, err := filepath.Glob(filepath.Join(cp.Config.DataDir, "mail", "*.eml"))
	if err != nil || len(letters) == 0 {
		t.Fatalf("no reminder was sent: %v", err)
	}
	if text, err := os.ReadFile(letters[0]); err != nil || !strings.Contains(string(text), "pay@acme.example") {
		t.Errorf("the reminder: %s, %v", text, err)
	}
	op.OK(http.MethodPost, "/v1/dev/clock:advance", `{"by": "1296000s"}`) // 15 days
	if s := acme.Get(subscription); s.Text("state") != "DEGRADED" || s.Text("plan") != "pro" || s.Text("entitledPlan") != "free" {
		t.Fatalf("after the grace: %v", s)
	}
	if acme.Get(shop+"/apps/waf").Text("enabled") != "false" || acme.Get(shop).Text("state") != "ACTIVE" {
		t.Error("a degraded site has what free has, and is online")
	}
	op.OK(http.MethodPost, "/v1/dev/cards", `{"account": "acme", "behavior": "ACCEPT"}`)
	cp.Eventually("all is there again", func() bool {
		return acme.Get(subscription).Text("state") == "ACTIVE" && acme.Get(shop+"/apps/waf").Text("enabled") == "true"
	})
	cp.Live(acme, "acme", "shop.test")
}

// Two dashboards change a plan at once: one of them wins, and there is one charge.
func TestTwoDashboards(t *testing.T) {
	cp, acme, _ := paid(t)
	cp.Eventually("there is a card", func() bool {
		return acme.Do(http.MethodPost, subscription+":change?validateOnly=true", `{"plan": "pro"}`).Status == http.StatusOK
	})
	quotes := [2]string{}
	for i, plan := range []string{"pro", "business"} {
		quotes[i] = acme.OK(http.MethodPost, subscription+":preview", `{"plan": "`+plan+`"}`).Text("quote")
	}
	type answer struct {
		plan string
		r    controlplanetest.Response
		err  error
	}
	answers := make(chan answer, 2)
	for i, plan := range []string{"pro", "business"} {
		go func() {
			r, err := cp.REST(acme.Token()).Try(t.Context(), http.MethodPost, subscription+":change", `{"plan": "`+plan+`", "quote": "`+quotes[i]+`"}`)
			answers <- answer{plan, r, err}
		}()
	}
	won := ""
	for range 2 {
		a := <-answers
		switch {
		case a.err != nil:
			t.Fatal(a.err)
		case a.r.Status == http.StatusOK && won == "":
			won = a.plan
		case a.r.Reason() == "CHANGE_IN_PROGRESS" || a.r.Reason() == "QUOTE_STALE":
		default:
			t.Errorf("%s: %d %s", a.plan, a.r.Status, a.r.Raw)
		}
	}
	cp.Eventually("the winner's plan holds", func() bool { return acme.Get(subscription).Text("plan") == won })
	if invoices := acme.Get("/v1/accounts/acme/invoices").Objects("invoices"); len(invoices) != 1 {
		t.Errorf("%d charges: %v", len(invoices), invoices)
	}
}

// Invoices are pages, other accounts' are not there, and operators see the outbox.
func TestInvoicesAndOutbox(t *testing.T) {
	cp, acme, op := paid(t)
	acme.OK(http.MethodPatch, "/v1/accounts/acme/billing",
		`{"legalName": "<b>Acme</b>", "address": {"regionCode": "NL", "locality": "Utrecht", "addressLines": ["Oudegracht 1"]}, "taxIds": [{"type": "eu_vat", "value": "NL123456789B12"}]}`)
	change(cp, acme, `{"plan": "pro"}`)
	invoice := acme.Get("/v1/accounts/acme/invoices").Objects("invoices")[0].Text("name")
	r, err := acme.Try(t.Context(), http.MethodGet, "/v1/"+invoice+":export", "")
	if err != nil || r.Status != http.StatusOK || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("%d %s, %v", r.Status, r.Raw, err)
	}
	if !strings.HasPrefix(r.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("the page may do more than be shown: %v", r.Header)
	}
	for _, want := range []string{"&lt;b&gt;Acme&lt;/b&gt;", "Oudegracht 1", "NL123456789B12", "$20.00"} {
		if !strings.Contains(string(r.Raw), want) {
			t.Errorf("the page has no %s", want)
		}
	}
	rival := cp.Account("rival")
	name := strings.Replace(invoice, "acme", "rival", 1)
	if got := rival.Do(http.MethodGet, "/v1/"+name, ""); got.Status != http.StatusNotFound {
		t.Errorf("another account's invoice: %d", got.Status)
	}
	if items := op.Get("/v1/outboxItems?filter=kind%3Dbilling%20AND%20subject%3Dacme").Objects("outboxItems"); len(items) != 1 || items[0].Text("name") != "outboxItems/billing-acme" || items[0].Text("state") != "WAITING" {
		t.Errorf("the outbox: %v", items)
	}
	op.OK(http.MethodPost, "/v1/outboxItems/billing-acme:retry", `{}`)
	if got := op.Do(http.MethodDelete, "/v1/outboxItems/billing-acme", ""); got.Reason() != "INVALID_STATE" {
		t.Errorf("dropping what is still tried: %d %s", got.Status, got.Raw)
	}
	if got := op.OK(http.MethodPost, "/v1/billing:reconcile", `{}`); got.Int("accounts") != 2 || len(got.Objects("differences")) != 0 {
		t.Errorf("reconciled: %v", got)
	}
	session := acme.OK(http.MethodPost, "/v1/accounts/acme/billing:createCheckoutSession", `{"successUrl": "https://acme.example/paid"}`)
	if session.Text("url") == "" {
		t.Errorf("%v", session)
	}
	if got := acme.Do(http.MethodPost, "/v1/accounts/acme/billing:createPortalSession", `{"returnUrl": "javascript:alert(1)"}`); got.Reason() != "INVALID_FIELD" {
		t.Errorf("%d %s", got.Status, got.Raw)
	}
}
