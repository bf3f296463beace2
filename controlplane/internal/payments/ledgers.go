package payments

import (
	"context"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/billing/local"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// Ledgers keep what the built-in payment provider knows, as if it were somewhere else: its
// changes are transactions of their own, and outlive accounts, as books must.
type Ledgers struct{ writer *change.Writer }

var _ local.Store = (*Ledgers)(nil)

// NewLedgers makes Ledgers.
func NewLedgers(writer *change.Writer) *Ledgers { return &Ledgers{writer: writer} }

// Update implements [local.Store].
func (l *Ledgers) Update(ctx context.Context, customer string, fn func(local.Tx) error) error {
	ctx = call.With(ctx, call.Info{FullMethod: systemMethod})
	_, err := change.Do(ctx, l.writer, resource.Tenant{}, func(tx *change.Tx) (*storev1.Ledger, error) {
		t := &ledgerTx{Tx: tx, customer: customer, ledger: &storev1.Ledger{}}
		key := resource.PaymentLedger(customer)
		if _, err := get(tx, key, t.ledger); err != nil {
			return nil, err
		}
		before := proto.CloneOf(t.ledger)
		if err := fn(t); err != nil || proto.Equal(before, t.ledger) {
			return nil, err
		}
		return nil, tx.Put(key, t.ledger)
	})
	return err
}

// ledgerTx is a change of one ledger.
type ledgerTx struct {
	*change.Tx
	customer string
	ledger   *storev1.Ledger
}

// Ledger implements [local.Tx].
func (t *ledgerTx) Ledger() *storev1.Ledger { return t.ledger }

// Invoice implements [local.Tx].
func (t *ledgerTx) Invoice(number int64) (*storev1.LedgerInvoice, error) {
	inv := &storev1.LedgerInvoice{}
	if found, err := get(t.Tx, resource.PaymentInvoice(t.customer, number), inv); err != nil || !found {
		return nil, err
	}
	return inv, nil
}

// PutInvoice implements [local.Tx].
func (t *ledgerTx) PutInvoice(inv *storev1.LedgerInvoice) error {
	return t.Put(resource.PaymentInvoice(t.customer, inv.GetNumber()), inv)
}
