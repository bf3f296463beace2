package local

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/billing"
)

// keyLife is how long idempotency keys hold.
const keyLife = 24 * time.Hour

// book is one customer's ledger within one change.
type book struct {
	*Provider
	tx     Tx
	ledger *storev1.Ledger
	now    time.Time
	// replay says that the call was made before: nothing may be changed again.
	replay bool
	// before is what the call answered then.
	before *storev1.LedgerCall
}

// open brings a ledger up to now.
func (p *Provider) open(tx Tx) (*book, error) {
	b := &book{Provider: p, tx: tx, ledger: tx.Ledger()}
	if b.ledger.GetCard() == storev1.Ledger_CARD_UNSPECIFIED {
		b.ledger.Card = storev1.Ledger_ACCEPTS
	}
	now := unix(tx.Now())
	if err := b.catchUp(now); err != nil {
		return nil, err
	}
	b.now = now
	b.ledger.Calls = slices.DeleteFunc(b.ledger.GetCalls(), func(c *storev1.LedgerCall) bool {
		return now.Sub(c.GetTime().AsTime()) >= keyLife
	})
	return b, nil
}

// read runs fn on the ledger of a customer that exists.
func (p *Provider) read(ctx context.Context, customer string, fn func(*book) error) error {
	return p.cfg.Store.Update(ctx, customer, func(tx Tx) error {
		b, err := p.open(tx)
		if err != nil {
			return err
		}
		if err := b.exists(); err != nil {
			return err
		}
		return fn(b)
	})
}

// call runs fn under an idempotency key. fn returns the ID of what it answers with, and is
// told when the call was made before. A [billing.PaymentError] is stored with what fn changed,
// and comes again with the key; any other error stores nothing.
func (p *Provider) call(ctx context.Context, customer, key, request string, fn func(*book) (string, error)) error {
	var declined *billing.PaymentError
	digest := sha256.Sum256([]byte(request))
	err := p.cfg.Store.Update(ctx, customer, func(tx Tx) error {
		declined = nil
		b, err := p.open(tx)
		if err != nil {
			return err
		}
		for _, c := range b.ledger.GetCalls() {
			if c.GetKey() != key {
				continue
			}
			if [sha256.Size]byte(c.GetRequestSha256()) != digest {
				return fmt.Errorf("%w: the idempotency key %s was used with another request", billing.ErrRefused, key)
			}
			b.replay, b.before = true, c
		}
		answer, err := fn(b)
		if err != nil && !errors.As(err, &declined) {
			return err
		}
		if !b.replay {
			b.ledger.Calls = append(b.ledger.GetCalls(), &storev1.LedgerCall{
				Key: key, RequestSha256: digest[:], Time: timestamppb.New(b.now), Answer: answer, Declined: declined != nil,
			})
		}
		return nil
	})
	if err == nil && declined != nil {
		return declined
	}
	return err
}

// current is the newest subscription, or nil.
func (b *book) current() *storev1.LedgerSubscription {
	if all := b.ledger.GetSubscriptions(); len(all) > 0 {
		return all[len(all)-1]
	}
	return nil
}

// find is a subscription by its ID.
func (b *book) find(id string) (*storev1.LedgerSubscription, error) {
	for _, s := range b.ledger.GetSubscriptions() {
		if s.GetId() == id {
			return s, nil
		}
	}
	return nil, fmt.Errorf("%w: subscription %s", billing.ErrNotFound, id)
}

// invoice is an invoice by its number.
func (b *book) invoice(n int64) (*storev1.LedgerInvoice, error) {
	inv, err := b.tx.Invoice(n)
	if err == nil && inv == nil {
		err = fmt.Errorf("%w: invoice %d", billing.ErrNotFound, n)
	}
	return inv, err
}

func (b *book) put(inv *storev1.LedgerInvoice) error { return b.tx.PutInvoice(inv) }
