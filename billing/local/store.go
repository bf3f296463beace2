package local

import (
	"context"
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

// Store keeps the ledgers.
type Store interface {
	// Update runs fn on a customer's ledger, an empty one where there is none, and stores
	// what it changed and put, or nothing where fn fails or changed nothing. It runs fn again
	// when something changed meanwhile. The error of fn is returned as it is.
	Update(ctx context.Context, customer string, fn func(Tx) error) error
}

// Tx is one attempt at a change of one customer's ledger.
type Tx interface {
	// Ledger is the ledger; what is changed in it is stored.
	Ledger() *storev1.Ledger
	// Invoice returns an invoice by its number, also one that was put in this change, or nil
	// where there is none.
	Invoice(number int64) (*storev1.LedgerInvoice, error)
	// PutInvoice stores an invoice under its number.
	PutInvoice(invoice *storev1.LedgerInvoice) error
	// Now is the time of the change.
	Now() time.Time
}
