package payments_test

import (
	"errors"
	"testing"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/billing/local"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/payments"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

func TestLedgers(t *testing.T) {
	w := newWorld(t)
	ledgers, cus, wrong := payments.NewLedgers(w.writer), local.CustomerOf("acme"), errors.New("wrong")
	update := func(fn func(local.Tx) error) {
		t.Helper()
		if err := ledgers.Update(t.Context(), cus, fn); err != nil && !errors.Is(err, wrong) {
			t.Fatal(err)
		}
	}
	update(func(tx local.Tx) error {
		if inv, err := tx.Invoice(1); inv != nil || err != nil {
			t.Error("an invoice that is not there:", inv, err)
		}
		tx.Ledger().Balance = 7
		return tx.PutInvoice(&storev1.LedgerInvoice{Number: 1, Reason: "first"})
	})
	update(func(tx local.Tx) error {
		inv, err := tx.Invoice(1)
		if err != nil || inv.GetReason() != "first" || tx.Ledger().GetBalance() != 7 {
			t.Error(inv, tx.Ledger(), err)
		}
		tx.Ledger().Balance = 8
		return wrong
	})
	kv, err := w.store.Get(t.Context(), resource.PaymentLedger(cus))
	if err != nil {
		t.Fatal(err)
	}
	update(func(tx local.Tx) error {
		if tx.Ledger().GetBalance() != 7 {
			t.Errorf("what failed was stored: %v", tx.Ledger())
		}
		return nil
	})
	if again, err := w.store.Get(t.Context(), resource.PaymentLedger(cus)); err != nil || again.ModRevision != kv.ModRevision {
		t.Error("a change of nothing was stored", err)
	}
}
