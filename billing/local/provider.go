package local

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
)

// Config is what a Provider needs.
type Config struct {
	Store Store
	Plans *billing.Plans
	// ConfirmURL is the page that customers are sent to when a payment waits for them, which
	// only test cards do.
	ConfirmURL string
}

// Provider implements [billing.Provider] over a ledger. It may be used concurrently.
type Provider struct{ cfg Config }

var _ billing.Provider = (*Provider)(nil)

// New makes a Provider.
func New(cfg Config) *Provider { return &Provider{cfg: cfg} }

// SetCard says what becomes of an account's payments from now on; before, they are paid. A
// card that pays confirms what waits for the customer.
func (p *Provider) SetCard(ctx context.Context, account string, card storev1.Ledger_Card) error {
	return p.cfg.Store.Update(ctx, CustomerOf(account), func(tx Tx) error {
		b, err := p.open(tx)
		if err != nil {
			return err
		}
		b.ledger.Account = account
		return b.setCard(card)
	})
}

func (b *book) setCard(card storev1.Ledger_Card) error {
	b.ledger.Card = card
	b.ledger.CardCount++
	s := b.current()
	if s == nil || card != storev1.Ledger_ACCEPTS {
		return nil
	}
	latest, err := b.invoice(s.GetLatestInvoice())
	if err != nil || !latest.GetWaits() || latest.GetState() != breakwaterv1.Invoice_OPEN {
		return err
	}
	b.attempt(s, latest)
	return b.put(latest)
}

// CreateCustomer implements [billing.Provider].
func (p *Provider) CreateCustomer(ctx context.Context, key string, c billing.CustomerRequest) (*billing.Customer, error) {
	return p.customer(ctx, key, CustomerOf(c.Account), &c)
}

// UpdateCustomer implements [billing.Provider].
func (p *Provider) UpdateCustomer(ctx context.Context, key, customer string, c billing.CustomerRequest) (*billing.Customer, error) {
	if CustomerOf(c.Account) != customer {
		return nil, fmt.Errorf("%w: customer %s", billing.ErrNotFound, customer)
	}
	return p.customer(ctx, key, customer, &c)
}

func (p *Provider) customer(ctx context.Context, key, customer string, c *billing.CustomerRequest) (*billing.Customer, error) {
	details, err := proto.MarshalOptions{Deterministic: true}.Marshal(c.Details)
	if err != nil {
		return nil, err
	}
	var out *billing.Customer
	err = p.call(ctx, customer, key, fmt.Sprintf("customer %s %s %x", c.Account, c.Email, details), func(b *book) (string, error) {
		if !b.replay {
			b.ledger.Customer, b.ledger.Account, b.ledger.Created = customer, c.Account, true
			b.ledger.Email, b.ledger.Details = c.Email, proto.CloneOf(c.Details)
		}
		out = b.shownCustomer()
		return customer, nil
	})
	return out, err
}

// Customer implements [billing.Provider].
func (p *Provider) Customer(ctx context.Context, customer string) (*billing.Customer, error) {
	var out *billing.Customer
	err := p.read(ctx, customer, func(b *book) error {
		out = b.shownCustomer()
		return nil
	})
	return out, err
}

// Credit implements [billing.Provider].
func (p *Provider) Credit(ctx context.Context, key, customer string, cents int64, reason string) error {
	if cents <= 0 {
		return fmt.Errorf("%w: a credit of %d cents", billing.ErrRefused, cents)
	}
	return p.call(ctx, customer, key, fmt.Sprintf("credit %d %s", cents, reason), func(b *book) (string, error) {
		if err := b.exists(); err != nil || b.replay {
			return customer, err
		}
		b.ledger.Balance -= cents
		return customer, nil
	})
}

// CheckoutSession implements [billing.Provider]: there is no page; the customer has a card
// that pays at once, and goes on to successURL.
func (p *Provider) CheckoutSession(ctx context.Context, key, customer, successURL, cancelURL string) (*billing.Session, error) {
	err := p.call(ctx, customer, key, "checkout "+successURL+" "+cancelURL, func(b *book) (string, error) {
		if err := b.exists(); err != nil || b.replay {
			return customer, err
		}
		return customer, b.setCard(storev1.Ledger_ACCEPTS)
	})
	if err != nil {
		return nil, err
	}
	return &billing.Session{URL: successURL}, nil
}

// PortalSession implements [billing.Provider]: there is no page, so the customer goes back.
func (p *Provider) PortalSession(ctx context.Context, _, customer, returnURL string) (*billing.Session, error) {
	if _, err := p.Customer(ctx, customer); err != nil {
		return nil, err
	}
	return &billing.Session{URL: returnURL}, nil
}

func (b *book) exists() error {
	if b.ledger.GetCreated() {
		return nil
	}
	return fmt.Errorf("%w: customer", billing.ErrNotFound)
}

func (b *book) shownCustomer() *billing.Customer {
	return &billing.Customer{
		ID: b.ledger.GetCustomer(), Account: b.ledger.GetAccount(), Balance: b.ledger.GetBalance(),
		Email: b.ledger.GetEmail(), Details: proto.CloneOf(b.ledger.GetDetails()),
		PaymentMethod: b.card(), PaymentMethodID: cardID(b.ledger.GetCustomer(), b.ledger.GetCardCount()),
	}
}

// card is the test card that behaves as it should, by the numbers of Stripe's
// (https://docs.stripe.com/testing).
func (b *book) card() *breakwaterv1.Billing_PaymentMethod {
	last4 := map[storev1.Ledger_Card]string{
		storev1.Ledger_ACCEPTS: "4242", storev1.Ledger_DECLINES: "0341", storev1.Ledger_WAITS: "3184",
	}[b.ledger.GetCard()]
	return &breakwaterv1.Billing_PaymentMethod{
		Type: "card", Brand: "visa", Last4: last4, ExpireMonth: 12, ExpireYear: int32(b.now.Year() + 3),
	}
}

// unix is a time in whole seconds, as Stripe's are.
func unix(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
