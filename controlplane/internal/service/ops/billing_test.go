package ops_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/payments"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/service/ops"
)

// registryWriter writes to the registry as the server's does.
func (w *world) registryWriter() (*change.Writer, change.Source) {
	source := change.FromCache(w.registryCache)
	return change.New(w.registry, source, change.Config{
		Clock: w.clock, Logger: slog.New(slog.DiscardHandler), NewID: func(time.Time) string { return "id" },
	}), source
}

func TestOutbox(t *testing.T) {
	w := newWorld(t)
	writer, source := w.registryWriter()
	o := ops.NewOutbox(writer, source, w.ctl.Logger)
	later := timestamppb.New(w.clock.Now().Add(time.Hour))
	w.put(w.registry, resource.Outbox("billing-acme"), &storev1.OutboxItem{Kind: "billing", Subject: "acme", NextTime: later})
	w.put(w.registry, resource.Outbox("billing-rival"), &storev1.OutboxItem{Kind: "billing", Subject: "rival", NextTime: later, Attempts: 3, LastError: "no answer"})
	w.put(w.registry, resource.Outbox("mail-acme-in_1.overdue"), &storev1.OutboxItem{Kind: "mail", Subject: "acme", NextTime: later, Attempts: 1, Dead: true, LastError: "refused"})

	list := func(filter, token string) *opsv1.ListOutboxItemsResponse {
		t.Helper()
		out, err := o.ListOutboxItems(w.as("ListOutboxItems"), &opsv1.ListOutboxItemsRequest{PageSize: 2, Filter: filter, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	first := list("", "")
	second := list("", first.GetNextPageToken())
	if len(first.GetOutboxItems()) != 2 || len(second.GetOutboxItems()) != 1 || second.GetNextPageToken() != "" ||
		first.GetOutboxItems()[0].GetState() != opsv1.OutboxItem_WAITING || first.GetOutboxItems()[1].GetState() != opsv1.OutboxItem_FAILING {
		t.Fatalf("%v, then %v", first, second)
	}
	dead := list("state=DEAD", "").GetOutboxItems()
	if len(dead) != 1 || dead[0].GetName() != "outboxItems/mail-acme-in_1.overdue" || dead[0].GetLastError() != "refused" || dead[0].GetNextTime() != nil {
		t.Fatalf("%v", dead)
	}

	_, err := o.DeleteOutboxItem(w.as("DeleteOutboxItem"), &opsv1.DeleteOutboxItemRequest{Name: "outboxItems/billing-acme"})
	is(t, err, codes.FailedPrecondition, rpcerr.ReasonInvalidState)
	_, err = o.RetryOutboxItem(w.as("RetryOutboxItem"), &opsv1.RetryOutboxItemRequest{Name: "outboxItems/none"})
	is(t, err, codes.NotFound, rpcerr.ReasonNotFound)
	_, err = o.RetryOutboxItem(w.as("RetryOutboxItem"), &opsv1.RetryOutboxItemRequest{Name: "outboxItems/../x"})
	is(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField)
	retried, err := o.RetryOutboxItem(w.as("RetryOutboxItem"), &opsv1.RetryOutboxItemRequest{Name: dead[0].GetName()})
	if err != nil || retried.GetState() != opsv1.OutboxItem_WAITING || !retried.GetNextTime().AsTime().Equal(w.clock.Now().UTC()) {
		t.Fatalf("%v, %v", retried, err)
	}
	w.put(w.registry, resource.Outbox("mail-acme-in_1.overdue"), &storev1.OutboxItem{Kind: "mail", Dead: true})
	if _, err := o.DeleteOutboxItem(w.as("DeleteOutboxItem", validateOnly), &opsv1.DeleteOutboxItemRequest{Name: dead[0].GetName()}); err != nil {
		t.Fatal(err)
	}
	if len(list("state=DEAD", "").GetOutboxItems()) != 1 {
		t.Error("validateOnly dropped it")
	}
	if _, err := o.DeleteOutboxItem(w.as("DeleteOutboxItem"), &opsv1.DeleteOutboxItemRequest{Name: dead[0].GetName()}); err != nil {
		t.Fatal(err)
	}
	if len(list("state=DEAD", "").GetOutboxItems()) != 0 {
		t.Error("it is still there")
	}
	w.audited("operator:ada RetryOutboxItem "+dead[0].GetName(), "operator:ada DeleteOutboxItem "+dead[0].GetName())
}

// office compares accounts; one of them can't be compared.
type office struct{ repairs []bool }

func (o *office) Account(_ context.Context, account string, repair bool) ([]billing.Difference, error) {
	if o.repairs = append(o.repairs, repair); account == "broken" {
		return nil, errors.New("broken")
	}
	return []billing.Difference{{Kind: "quantity", Ours: "1", Theirs: "2", Repaired: repair}}, nil
}

func (o *office) Some(ctx context.Context, after string, _ payments.Limit, repair bool) (payments.Round, error) {
	if after != "" {
		return payments.Round{Last: after}, nil
	}
	found, err := o.Account(ctx, "acme", repair)
	return payments.Round{Findings: []payments.Finding{{Account: "acme", Difference: found[0]}}, Accounts: 1, Last: "acme", More: true}, err
}

func TestReconcile(t *testing.T) {
	w := newWorld(t)
	writer, _ := w.registryWriter()
	o := &office{}
	for _, account := range []string{"acme", "broken"} {
		w.put(w.registry, resource.ForAccount(account).Record(), &storev1.AccountRecord{})
	}
	b := ops.NewBilling(o, writer, w.ctl.Logger)
	reconcile := func(req *opsv1.ReconcileRequest, options ...func(*call.Info)) (*opsv1.ReconcileResponse, error) {
		return b.Reconcile(w.as("Reconcile", options...), req)
	}
	all, err := reconcile(&opsv1.ReconcileRequest{})
	if err != nil || all.GetAccounts() != 1 || all.GetNextAccount() != "accounts/acme" || len(all.GetDifferences()) != 1 || !all.GetDifferences()[0].GetRepaired() {
		t.Fatalf("%v, %v", all, err)
	}
	if rest, err := reconcile(&opsv1.ReconcileRequest{AfterAccount: all.GetNextAccount()}); err != nil || rest.GetNextAccount() != "" {
		t.Fatalf("%v, %v", rest, err)
	}
	o.repairs = nil
	dry, err := reconcile(&opsv1.ReconcileRequest{Account: "accounts/acme"}, validateOnly)
	if err != nil || dry.GetDifferences()[0].GetRepaired() || len(o.repairs) != 1 || o.repairs[0] {
		t.Fatalf("%v, %v, %v", dry, err, o.repairs)
	}
	for range 2 { // A repeat compares nothing.
		if _, err := reconcile(&opsv1.ReconcileRequest{Account: "accounts/acme"}, keyed("k", "r")); err != nil {
			t.Fatal(err)
		}
	}
	_, err = reconcile(&opsv1.ReconcileRequest{Account: "accounts/broken"})
	is(t, err, codes.Unavailable, rpcerr.ReasonUnavailable)
	_, err = reconcile(&opsv1.ReconcileRequest{Account: "accounts/nope"})
	is(t, err, codes.NotFound, rpcerr.ReasonNotFound)
	_, err = reconcile(&opsv1.ReconcileRequest{Account: "acme"})
	is(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField)
	_, err = reconcile(&opsv1.ReconcileRequest{AfterAccount: "/"})
	is(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField)
	w.audited("operator:ada Reconcile billing", "operator:ada Reconcile billing", "operator:ada Reconcile accounts/acme/billing")
}

// wallet knows one account.
type wallet struct{ cards []string }

func (c *wallet) HasAccount(_ context.Context, account string) (bool, error) {
	return account == "acme", nil
}

func (c *wallet) SetCard(ctx context.Context, account string, b opsv1.Card_Behavior) error {
	if call.From(ctx).FullMethod != "" {
		return errors.New("what a card sets off runs as part of a call")
	}
	c.cards = append(c.cards, account+" "+b.String())
	return nil
}

func TestCreateCard(t *testing.T) {
	w := newWorld(t)
	c := &wallet{}
	d := ops.NewDev(ops.DevConfig{Cards: c, Writer: w.ctl.Writer, Logger: w.ctl.Logger})
	for _, name := range []string{"acme", "accounts/acme"} {
		card, err := d.CreateCard(w.as("CreateCard"), &opsv1.CreateCardRequest{Account: name, Behavior: opsv1.Card_DECLINE})
		if err != nil || card.GetAccount() != "accounts/acme" || card.GetBehavior() != opsv1.Card_DECLINE {
			t.Errorf("%s: %v, %v", name, card, err)
		}
	}
	if _, err := d.CreateCard(w.as("CreateCard", validateOnly), &opsv1.CreateCardRequest{Account: "acme", Behavior: opsv1.Card_ACCEPT}); err != nil {
		t.Error(err)
	}
	if len(c.cards) != 2 || c.cards[0] != "acme DECLINE" {
		t.Errorf("%v", c.cards)
	}
	_, err := d.CreateCard(w.as("CreateCard"), &opsv1.CreateCardRequest{Account: "nobody", Behavior: opsv1.Card_ACCEPT})
	is(t, err, codes.NotFound, rpcerr.ReasonNotFound)
	_, err = d.CreateCard(w.as("CreateCard"), &opsv1.CreateCardRequest{Account: "a/b", Behavior: opsv1.Card_ACCEPT})
	is(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField)
	_, err = ops.NewDev(ops.DevConfig{Writer: w.ctl.Writer}).CreateCard(w.as("CreateCard"), &opsv1.CreateCardRequest{Account: "acme", Behavior: opsv1.Card_ACCEPT})
	is(t, err, codes.Unimplemented, rpcerr.ReasonUnimplemented)
}
