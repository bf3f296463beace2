package chaos

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
)

// TestServe starts an installation as the documentation says, with a cluster for data
// centers beside the registry's, and uses it.
func TestServe(t *testing.T) {
	w := newWorld(t, options{separateEdge: true})
	w.site(account, "shop.example")
	took(t, "a site is live", func() { w.live(account, "shop.example") })
	for _, e := range w.edges {
		if doc, err := e.document("site", "shop.example"); err != nil || doc.Text("domain") != "shop.example" {
			t.Errorf("%s serves %v: %v", e.name, doc, err)
		}
	}
	w.surfaces()
	w.overGRPC()
	w.current()
	w.sameContents()
	w.handOver()
}

// surfaces checks what is where: metrics are private, and development's controls nowhere.
func (w *world) surfaces() {
	w.t.Helper()
	ctx := w.t.Context()
	for _, r := range w.replicas {
		for path, want := range map[string]int{
			"/healthz": 200, "/readyz": 200, "/openapi.json": 200, "/v1/status": 200,
			"/metrics": 404, "/v1/dev/bugs": 404, "/v1/dev/clock": 404,
		} {
			if a, err := r.as(w.operator).do(ctx, http.MethodGet, path, ""); err != nil || a.status != want {
				w.t.Errorf("%s: GET %s: %d %s, %v", r.name, path, a.status, a.raw, err)
			}
		}
		admin := client{base: "http://" + r.admin, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
		if a, err := admin.do(ctx, http.MethodGet, "/metrics", ""); err != nil || a.status != 200 || !strings.Contains(string(a.raw), "go_goroutines") {
			w.t.Errorf("%s: metrics: %d %v", r.name, a.status, err)
		}
		plain := client{base: "http://" + r.http, http: admin.http}
		if a, err := plain.do(ctx, http.MethodGet, "/healthz", ""); err == nil && a.status != http.StatusBadRequest {
			w.t.Errorf("%s answers without TLS: %d %s", r.name, a.status, a.raw)
		}
	}
}

// overGRPC makes a call over TLS, and tries to report without a certificate.
func (w *world) overGRPC() {
	w.t.Helper()
	pem, err := os.ReadFile(w.ca)
	if err != nil {
		w.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	creds := credentials.NewTLS(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13})
	for _, r := range w.replicas {
		call := func(address string) error {
			conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds))
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
			defer cancel()
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+w.operator)
			_, err = opsv1.NewFleetServiceClient(conn).ListDataCenters(ctx, &opsv1.ListDataCentersRequest{})
			return err
		}
		if err := call(r.grpc); err != nil {
			w.t.Errorf("%s over gRPC: %v", r.name, err)
		}
		// Where the refusal is read too late, it looks like a broken connection.
		if err := call(r.report); status.Code(err) != codes.Unavailable {
			w.t.Errorf("%s: the report listener without a certificate: %v", r.name, err)
		}
	}
}

// current checks that what one replica acknowledged the other one tells at once, and that
// both give the same answer.
func (w *world) current() {
	w.t.Helper()
	ctx, path := w.t.Context(), sitePath("shop.example")
	for i := range 40 {
		to, from := w.replicas[i%2].as(w.operator), w.replicas[1-i%2].as(w.operator)
		changed, err := to.ok(ctx, http.MethodPatch, path+"/settings", fmt.Sprintf(`{"browserTtlSeconds": %d}`, 100+i))
		if err != nil {
			w.t.Fatal(err)
		}
		got, err := from.get(ctx, path+"/settings")
		if err != nil {
			w.t.Fatal(err)
		}
		if got.Int("browserTtlSeconds") != int64(100+i) || got.Text("etag") != changed.Text("etag") {
			w.t.Errorf("after %v the other replica tells %v", changed, got)
		}
	}
	w.live(account, "shop.example")
	eventually(w.t, "replicas agree on propagation", func(ctx context.Context) error {
		one, err1 := w.replicas[0].as(w.operator).get(ctx, path+"/propagation")
		two, err2 := w.replicas[1].as(w.operator).get(ctx, path+"/propagation")
		delete(one, "observeTime")
		delete(two, "observeTime")
		if fmt.Sprint(one) != fmt.Sprint(two) || one.Int("appliedDataCenters") != int64(len(dataCenters)) {
			return fmt.Errorf("%v and %v", one, two)
		}
		return errors.Join(err1, err2)
	})
}

// sameContents compares the files that data centers serve, but for the platform channel's,
// which bakes for minutes between its waves.
func (w *world) sameContents() {
	w.t.Helper()
	first, err := w.edges[0].contents()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range w.edges[1:] {
		got, err := e.contents()
		if err != nil {
			w.t.Fatal(err)
		}
		for _, path := range []string{"/site/shop.example.json", "/shield/shop.example.json"} {
			if got[path] != first[path] || got[path] == "" {
				w.t.Errorf("%s serves %s:\n%s\n%s serves\n%s", e.name, path, got[path], w.edges[0].name, first[path])
			}
		}
	}
}

// handOver stops the leader in good order: it ends well, and the other one leads at once.
func (w *world) handOver() {
	w.t.Helper()
	leads, other := w.leader()
	took(w.t, "the leader stops", func() {
		if code := leads.stop(); code != 0 {
			w.t.Errorf("%s ended with %d", leads.name, code)
		}
	})
	took(w.t, "after which the other leads, and a change is live", func() {
		if _, err := other.as(w.operator).ok(w.t.Context(), http.MethodPatch, sitePath("shop.example")+"/settings", `{"browserTtlSeconds": 7}`); err != nil {
			w.t.Fatal(err)
		}
		eventually(w.t, "the change is live", func(ctx context.Context) error {
			got, err := other.as(w.operator).get(ctx, sitePath("shop.example")+"/propagation")
			if err == nil && got.Text("state") != "LIVE" {
				err = fmt.Errorf("%v", got)
			}
			return err
		})
	})
	for _, e := range w.edges {
		if code := e.stop(); code != 0 {
			w.t.Errorf("%s ended with %d", e.name, code)
		}
	}
	if code := other.stop(); code != 0 {
		w.t.Errorf("%s ended with %d", other.name, code)
	}
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
