package local

import (
	"context"
	"fmt"
	"maps"

	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/billing"
)

// maxSubscriptions is how many subscriptions of a customer are remembered.
const maxSubscriptions = 10

// refused is a call that can't be.
func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", billing.ErrRefused, fmt.Sprintf(format, args...))
}

// billed checks quantities and leaves out those of nothing.
func (p *Provider) billed(quantities billing.Quantities) (map[string]int64, error) {
	out := map[string]int64{}
	for plan, n := range quantities {
		switch {
		case n < 0:
			return nil, refused("%d sites of %s", n, plan)
		case n > 0 && price(p.cfg.Plans, plan) == 0:
			return nil, refused("the plan %q has no price", plan)
		case n > 0:
			out[plan] = n
		}
	}
	if len(out) == 0 {
		return nil, refused("a subscription needs an item")
	}
	return out, nil
}

// CreateSubscription implements [billing.Provider].
func (p *Provider) CreateSubscription(ctx context.Context, key string, r billing.SubscriptionRequest) (*billing.Subscription, error) {
	quantities, err := p.billed(r.Quantities)
	if err != nil {
		return nil, err
	}
	var out *billing.Subscription
	err = p.call(ctx, r.Customer, key, fmt.Sprintf("subscribe %v", quantities), func(b *book) (string, error) {
		if err := b.exists(); err != nil {
			return "", err
		}
		if b.replay {
			out, err = b.shownByID(b.before.GetAnswer())
			return "", err
		}
		b.ledger.SubscriptionCount++
		s := &storev1.LedgerSubscription{
			Id: subscriptionID(r.Customer, b.ledger.GetSubscriptionCount()), Status: string(billing.Incomplete),
			AnchorTime: timestamppb.New(b.now), Quantities: quantities,
			ExpireTime: timestamppb.New(b.now.Add(confirmLife)),
		}
		if old := b.current(); old != nil && !billing.Status(old.GetStatus()).Over() {
			return "", refused("there is a subscription already")
		}
		b.ledger.Subscriptions = append(b.ledger.GetSubscriptions(), s)
		if n := len(b.ledger.GetSubscriptions()); n > maxSubscriptions {
			b.ledger.Subscriptions = b.ledger.GetSubscriptions()[n-maxSubscriptions:]
		}
		inv := b.bill(s, billing.ReasonCreate, months(p.cfg.Plans, quantities, month(b.now, 0)))
		if err := b.put(inv); err != nil {
			return "", err
		}
		out, err = b.shown(s)
		return s.GetId(), err
	})
	return out, err
}

// Subscription implements [billing.Provider].
func (p *Provider) Subscription(ctx context.Context, subscription string) (*billing.Subscription, error) {
	customer, _, ok := parseID("sub_", subscription)
	if !ok {
		return nil, fmt.Errorf("%w: subscription %s", billing.ErrNotFound, subscription)
	}
	var out *billing.Subscription
	err := p.read(ctx, customer, func(b *book) (err error) {
		out, err = b.shownByID(subscription)
		return err
	})
	return out, err
}

// CustomerSubscriptions implements [billing.Provider]: there is at most one.
func (p *Provider) CustomerSubscriptions(ctx context.Context, customer string) ([]*billing.Subscription, error) {
	var out []*billing.Subscription
	err := p.read(ctx, customer, func(b *book) error {
		out = nil
		s := b.current()
		if s == nil || billing.Status(s.GetStatus()).Over() {
			return nil
		}
		shown, err := b.shown(s)
		out = append(out, shown)
		return err
	})
	return out, err
}

// change runs a change of a subscription that is not over.
func (p *Provider) change(ctx context.Context, key, subscription, request string, fn func(*book, *storev1.LedgerSubscription) error) (*billing.Subscription, error) {
	customer, _, ok := parseID("sub_", subscription)
	if !ok {
		return nil, fmt.Errorf("%w: subscription %s", billing.ErrNotFound, subscription)
	}
	var out *billing.Subscription
	err := p.call(ctx, customer, key, subscription+" "+request, func(b *book) (string, error) {
		s, err := b.find(subscription)
		if err != nil {
			return "", err
		}
		if !b.replay {
			if billing.Status(s.GetStatus()).Over() {
				return "", refused("the subscription is %s", s.GetStatus())
			}
			if err := fn(b, s); err != nil {
				return "", err
			}
		}
		out, err = b.shown(s)
		return subscription, err
	})
	return out, err
}

// Upgrade implements [billing.Provider].
func (p *Provider) Upgrade(ctx context.Context, key string, u billing.UpgradeRequest) (*billing.Subscription, error) {
	after, err := p.billed(u.Quantities)
	if err != nil {
		return nil, err
	}
	at := unix(u.ProrationTime)
	return p.change(ctx, key, u.Subscription, fmt.Sprintf("upgrade %v %d", after, at.Unix()), func(b *book, s *storev1.LedgerSubscription) error {
		if s.GetStatus() != string(billing.Active) || len(s.GetPending()) > 0 {
			return refused("the subscription is %s, or waits for a payment", s.GetStatus())
		}
		p := month(s.GetAnchorTime().AsTime(), s.GetPeriods())
		lines := prorations(b.cfg.Plans, s.GetQuantities(), after, p, at)
		s.Pending, s.ExpireTime = after, timestamppb.New(b.now.Add(confirmLife))
		if p.end.Before(s.GetExpireTime().AsTime()) {
			s.ExpireTime = timestamppb.New(p.end)
		}
		inv := b.bill(s, billing.ReasonUpdate, lines)
		if s.GetExpireTime() != nil { // Not paid by the balance.
			b.attempt(s, inv)
		}
		return b.put(inv)
	})
}

// SetQuantities implements [billing.Provider].
func (p *Provider) SetQuantities(ctx context.Context, key, subscription string, quantities billing.Quantities) (*billing.Subscription, error) {
	after, err := p.billed(quantities)
	if err != nil {
		return nil, err
	}
	return p.change(ctx, key, subscription, fmt.Sprintf("quantities %v", after), func(_ *book, s *storev1.LedgerSubscription) error {
		if len(s.GetPending()) > 0 {
			return refused("the subscription waits for a payment")
		}
		s.Quantities = maps.Clone(after)
		return nil
	})
}

// SetCancelAtPeriodEnd implements [billing.Provider].
func (p *Provider) SetCancelAtPeriodEnd(ctx context.Context, key, subscription string, cancel bool) (*billing.Subscription, error) {
	return p.change(ctx, key, subscription, fmt.Sprintf("cancel at end %t", cancel), func(_ *book, s *storev1.LedgerSubscription) error {
		s.CancelAtPeriodEnd = cancel
		return nil
	})
}

// CancelSubscription implements [billing.Provider]. A subscription that is over stays so.
func (p *Provider) CancelSubscription(ctx context.Context, key, subscription string) (*billing.Subscription, error) {
	if s, err := p.Subscription(ctx, subscription); err != nil || s.Status.Over() {
		return s, err
	}
	return p.change(ctx, key, subscription, "cancel", func(b *book, s *storev1.LedgerSubscription) error {
		return b.end(s)
	})
}

func (b *book) shownByID(id string) (*billing.Subscription, error) {
	s, err := b.find(id)
	if err != nil {
		return nil, err
	}
	return b.shown(s)
}

// shown is a subscription as [billing.Provider] has it.
func (b *book) shown(s *storev1.LedgerSubscription) (*billing.Subscription, error) {
	p := month(s.GetAnchorTime().AsTime(), s.GetPeriods())
	out := &billing.Subscription{
		ID: s.GetId(), Customer: b.ledger.GetCustomer(), Account: b.ledger.GetAccount(), Status: billing.Status(s.GetStatus()),
		PeriodStart: p.start, PeriodEnd: p.end, Quantities: maps.Clone(s.GetQuantities()), CancelAtPeriodEnd: s.GetCancelAtPeriodEnd(),
	}
	if len(s.GetPending()) > 0 {
		out.Pending = &billing.PendingUpdate{Quantities: maps.Clone(s.GetPending()), Expires: s.GetExpireTime().AsTime()}
	}
	inv, err := b.invoice(s.GetLatestInvoice())
	if err != nil {
		return nil, err
	}
	out.Latest = b.shownInvoice(inv)
	return out, nil
}
