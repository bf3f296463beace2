package service

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// sealAll chains what waits; there is one server here, so the fence is a key that is not.
func (w *accountWorld) sealAll() {
	w.Helper()
	for {
		n, err := w.sealer.Seal(w.Context(), registry.Compare{Key: "control/leader"})
		must(w.T, err)
		if n == 0 {
			return
		}
		_, err = w.cache.Read(w.Context())
		must(w.T, err)
	}
}

func (w *accountWorld) rename(as, name string, pairs ...string) {
	w.Helper()
	_, err := w.accounts.UpdateAccount(w.as(as, pairs...), &breakwaterv1.UpdateAccountRequest{
		Account: &breakwaterv1.Account{Name: "accounts/acme", DisplayName: name},
	})
	must(w.T, err)
}

func TestAuditLog(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	w.rename(owner, "one", call.MetadataPeer, "192.0.2.9:1", call.MetadataRequestID, "req-1")
	list, err := w.audit.ListAuditEvents(w.as(owner), &breakwaterv1.ListAuditEventsRequest{Parent: "accounts/acme"})
	must(t, err)
	if len(list.GetAuditEvents()) != 2 {
		t.Fatalf("events %v", list)
	}
	e := list.GetAuditEvents()[0]
	if e.GetMethod() != "UpdateAccount" || e.GetPrincipal() != "user:owner@acme.test" || e.GetResource() != "accounts/acme" || e.GetSourceAddress() != "192.0.2.9" ||
		e.GetHttpRequestId() != "req-1" || !slices.Equal(e.GetChangedFields(), []string{"displayName"}) || e.GetHash() != "" {
		t.Errorf("event %v", e)
	}
	v, err := w.audit.VerifyAuditEvents(w.as(owner), &breakwaterv1.VerifyAuditEventsRequest{Parent: "accounts/acme"})
	must(t, err)
	if !v.GetValid() || v.GetPendingEvents() != 2 {
		t.Errorf("verified %v", v)
	}
	w.sealAll()
	v, err = w.audit.VerifyAuditEvents(w.as(owner), &breakwaterv1.VerifyAuditEventsRequest{Parent: "accounts/acme"})
	must(t, err)
	if !v.GetValid() || v.GetPendingEvents() != 0 || v.GetCheckedEvents() != 2 || v.GetHeadHash() == "" {
		t.Errorf("verified %v", v)
	}
	list, err = w.audit.ListAuditEvents(w.as(owner), &breakwaterv1.ListAuditEventsRequest{Parent: "accounts/acme"})
	must(t, err)
	if list.GetAuditEvents()[0].GetSequence() != 2 || list.GetAuditEvents()[0].GetName() != e.GetName() {
		t.Errorf("sealed %v", list)
	}
	_, err = w.audit.ListAuditEvents(w.op(), &breakwaterv1.ListAuditEventsRequest{Parent: "accounts/none"})
	w.refused(err, "NOT_FOUND")
}

func TestAuditPagesAndExport(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	var want []string
	for i := range 75 {
		w.rename(owner, fmt.Sprint("name", i))
		if i == 40 {
			w.sealAll()
		}
	}
	token := ""
	var pages int
	for {
		list, err := w.audit.ListAuditEvents(w.as(owner), &breakwaterv1.ListAuditEventsRequest{
			Parent: "accounts/acme", PageSize: 10, PageToken: token, Filter: "method = UpdateAccount",
		})
		must(t, err)
		pages++
		for _, e := range list.GetAuditEvents() {
			want = append(want, e.GetName())
		}
		// What happens meanwhile does not move the pages.
		w.rename(owner, fmt.Sprint("meanwhile", pages))
		if pages == 3 {
			w.sealAll()
		}
		if token = list.GetNextPageToken(); token == "" {
			break
		}
	}
	if len(want) != 75 || pages != 8 {
		t.Errorf("%d events on %d pages", len(want), pages)
	}
	slices.Reverse(want)

	stream, err := w.audit.ExportAuditEvents(w.as(owner), &breakwaterv1.ExportAuditEventsRequest{Parent: "accounts/acme", Filter: `summary != "x" AND method = UpdateAccount`})
	must(t, err)
	var got []string
	for {
		e, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		got = append(got, e.GetName())
	}
	if !slices.Equal(got[:75], want) || len(got) != 75+pages {
		t.Errorf("exported %d events, listed %d", len(got), len(want))
	}
}

func TestSecretsAreNotAudited(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	_, secret := w.token(owner, &breakwaterv1.Token{Permissions: []string{"*"}})
	list, err := w.audit.ListAuditEvents(w.as(owner), &breakwaterv1.ListAuditEventsRequest{Parent: "accounts/acme"})
	must(t, err)
	if e := list.GetAuditEvents()[0]; e.GetMethod() != "CreateToken" || e.GetSummary() == "" || fmt.Sprint(list) == "" || slices.Contains(e.GetChangedFields(), secret) {
		t.Errorf("event %v", e)
	}
}

func TestOnBehalfOfIsAudited(t *testing.T) {
	w := newAccountWorld(t)
	w.account("acme")
	_, admin := w.member("acme", "admin@x.test", breakwaterv1.Member_ADMIN)
	_ = admin
	token, program := w.token(w.operator, &breakwaterv1.Token{Permissions: []string{"members.impersonate", "accounts.*"}})
	w.rename(program, "by a program", call.MetadataOnBehalfOf, "Admin@x.test")
	list, err := w.audit.ListAuditEvents(w.op(), &breakwaterv1.ListAuditEventsRequest{Parent: "accounts/acme", PageSize: 1})
	must(t, err)
	if e := list.GetAuditEvents()[0]; e.GetPrincipal() != token.GetName() || e.GetOnBehalfOf() != "admin@x.test" {
		t.Errorf("event %v", e)
	}
	_, err = w.accounts.DeleteAccount(w.as(program, call.MetadataOnBehalfOf, "admin@x.test"), &breakwaterv1.DeleteAccountRequest{Name: "accounts/acme"})
	w.refused(err, "PERMISSION_DENIED")
}
