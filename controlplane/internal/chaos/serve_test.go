package chaos

import (
	"context"
	"fmt"
	"net/http"
	"testing"
)

const shop = "/v1/accounts/acme/sites/shop.example"

// TestServe starts an installation as the documentation says, and takes a site to the edge.
func TestServe(t *testing.T) {
	w := newWorld(t, options{separateEdge: true})
	took(t, "a site is live", func() {
		w.site("acme", "shop.example")
		w.live("acme", "shop.example")
	})
}

// site onboards a site and proves that it belongs to the account.
func (w *world) site(account, domain string) {
	w.t.Helper()
	accountPath := "/v1/accounts/" + account
	w.try(w.operator, http.MethodPost, "/v1/accounts",
		`{"accountId": "`+account+`", "account": {"displayName": "A"}, "ownerEmail": "a@example.com"}`, "Idempotency-Key", "make-"+account)
	site := w.try(w.operator, http.MethodPost, accountPath+"/sites",
		`{"domain": "`+domain+`", "origin": {"address": "203.0.113.10"}, "setup": "PARTIAL"}`, "Idempotency-Key", "make-"+domain)
	w.dns.set(site.Text("verification.name"), site.Text("verification.value"))
	eventually(w.t, domain+" is active", func(ctx context.Context) error {
		got, err := w.replicas[0].as(w.operator).ok(ctx, http.MethodPost, accountPath+"/sites/"+domain+":checkActivation", "{}")
		if err == nil && got.Text("state") != "ACTIVE" {
			err = fmt.Errorf("%v", got)
		}
		return err
	})
}

// live waits until the newest version of a site is live, as every replica tells it.
func (w *world) live(account, domain string) {
	w.t.Helper()
	for _, r := range w.replicas {
		eventually(w.t, domain+" is live, says "+r.name, func(ctx context.Context) error {
			got, err := r.as(w.operator).get(ctx, "/v1/accounts/"+account+"/sites/"+domain+"/propagation")
			if err == nil && got.Text("state") != "LIVE" {
				err = fmt.Errorf("%v", got)
			}
			return err
		})
	}
}
