package billing

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/protobuf/proto"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// till is a payment provider for tests: one customer's worth of Stripe, with renewals, cards
// that fail, idempotency keys, and answers that get lost.
type till struct {
	clock     clockwork.Clock
	plans     *Plans
	card      string // accept, decline, action or none.
	entered   int    // Tells cards apart that behave the same.
	digits    string // The card's last four; by what it does where empty.
	customers map[string]*Customer
	subs      []*tillSub
	invoices  []*Invoice
	keys      map[string]tillAnswer
	// charges counts successful charges of each invoice; credits what was given.
	charges map[string]int
	credits []int64
	calls   []string
	// fault is asked before and after each call does its work.
	fault  func(point string) error
	number int
	// fresh has repeats of changes of subscriptions answered with what is there now, as the
	// client for Stripe does where it sees that nothing is left to be done.
	fresh bool
	// renewed hears of every renewal, at its time.
	renewed func(billed Quantities)
}

const tillSecret = "a client's secret"

type tillSub struct {
	Subscription
	anchor  time.Time
	periods int
	expires time.Time
	// covered is what the current period is billed for.
	covered Quantities
}

type tillAnswer struct {
	request string
	made    time.Time
	value   any
	err     error
}

func newTill(clock clockwork.Clock, plans *Plans) *till {
	return &till{
		clock: clock, plans: plans, card: "accept", customers: map[string]*Customer{},
		keys: map[string]tillAnswer{}, charges: map[string]int{},
		fault: func(string) error { return nil }, renewed: func(Quantities) {},
	}
}

func (p *till) id(prefix string) string {
	p.number++
	return fmt.Sprintf("%s_%03d", prefix, p.number)
}

func (p *till) now() time.Time { return p.clock.Now().Truncate(time.Second) }

// change is a call that changes something, under a key.
func tillChange[T any](p *till, key, op, request string, fn func() (T, error)) (T, error) {
	var none T
	if err := p.fault("before " + op); errors.Is(err, errBroken) {
		p.keys[key] = tillAnswer{request: op + request, made: p.clock.Now(), err: ErrSpent}
		return none, ErrRetry
	} else if err != nil {
		return none, err
	}
	p.catchUp()
	if a, ok := p.keys[key]; ok && p.clock.Now().Sub(a.made) < 24*time.Hour {
		if a.request != op+request {
			return none, fmt.Errorf("%w: the key has another request: %s, not %s", ErrRefused, a.request, op+request)
		}
		if a.err != nil {
			return none, a.err
		}
		if old, ok := a.value.(*Subscription); ok && p.fresh {
			a.value = p.show(p.sub(old.ID))
		}
		return a.value.(T), nil
	}
	p.calls = append(p.calls, op)
	value, err := fn()
	p.keys[key] = tillAnswer{request: op + request, made: p.clock.Now(), value: value, err: err}
	if lost := p.fault("after " + op); errors.Is(lost, errBroken) {
		p.keys[key] = tillAnswer{request: op + request, made: p.clock.Now(), err: ErrSpent}
		return none, ErrRetry
	} else if lost != nil {
		return none, lost
	}
	return value, err
}

func tillRead[T any](p *till, op string, fn func() (T, error)) (T, error) {
	var none T
	if err := p.fault("before reading " + op); err != nil {
		return none, ErrRetry
	}
	p.catchUp()
	value, err := fn()
	if lost := p.fault("after reading " + op); lost != nil {
		return none, ErrRetry
	}
	return value, err
}

// catchUp does what time asked for.
func (p *till) catchUp() {
	for {
		var first *tillSub
		var at time.Time
		for _, s := range p.subs {
			if s.Status.Over() {
				continue
			}
			next := s.PeriodEnd
			if s.Status == Incomplete {
				next = s.expires
			} else if s.Pending != nil && s.Pending.Expires.Before(next) {
				next = s.Pending.Expires
			}
			if first == nil || next.Before(at) {
				first, at = s, next
			}
		}
		if first == nil || at.After(p.now()) {
			return
		}
		p.occur(first, at)
	}
}

func (p *till) occur(s *tillSub, at time.Time) {
	switch {
	case s.Status == Incomplete:
		s.Status = IncompleteExpired
		p.invoice(s.Latest.ID).State = breakwaterv1.Invoice_VOID
	case s.Pending != nil && !s.Pending.Expires.After(at):
		p.void(p.invoice(s.Latest.ID))
	case s.CancelAtPeriodEnd:
		s.Status = Canceled
	default:
		s.periods++
		s.PeriodStart, s.PeriodEnd = at, tillMonth(s.anchor, s.periods+1)
		s.covered = clone(s.Quantities)
		invoice := p.bill(s, ReasonCycle, at)
		for plan, n := range s.Quantities {
			p.line(invoice, InvoiceLine{Plan: plan, Quantity: n, Amount: n * p.plans.price(plan)})
		}
		p.renewed(clone(s.Quantities))
		p.finalize(invoice)
		p.attempt(s, invoice)
	}
}

func tillMonth(anchor time.Time, n int) time.Time {
	t := anchor
	for range n {
		t = addMonth(t)
	}
	return t
}

func (p *till) bill(s *tillSub, reason Reason, at time.Time) *Invoice {
	i := &Invoice{
		ID: p.id("in"), Customer: s.Customer, Subscription: s.ID, Reason: reason,
		State: breakwaterv1.Invoice_OPEN, Created: at,
	}
	p.invoices = append(p.invoices, i)
	s.Latest = i
	return i
}

func (p *till) line(i *Invoice, l InvoiceLine) {
	i.Lines = append(i.Lines, l)
	i.Subtotal += l.Amount
	i.Total += l.Amount
}

func (p *till) finalize(i *Invoice) {
	c := p.customers[i.Customer]
	take := min(i.Total, -c.Balance)
	c.Balance += take
	i.AmountDue = i.Total - take
	i.AmountRemaining = i.AmountDue
}

// attempt charges the card.
func (p *till) attempt(s *tillSub, i *Invoice) {
	i.Attempts++
	i.Action, i.Failure, i.FailedMethodID = nil, "", p.cardID()
	switch {
	case i.AmountDue == 0 || p.card == "accept":
		p.paid(s, i)
		return
	case p.card == "action":
		i.Action = &Action{URL: "https://pay.test/" + i.ID, ClientSecret: tillSecret}
	default:
		i.Failure = "Your card was declined."
	}
	if i.Reason == ReasonCycle && !s.Status.Over() {
		s.Status = PastDue
	}
}

func (p *till) paid(s *tillSub, i *Invoice) {
	p.charges[i.ID]++
	i.State, i.Paid, i.AmountPaid, i.AmountRemaining = breakwaterv1.Invoice_PAID, p.now(), i.AmountDue, 0
	i.Action, i.Failure, i.FailedMethodID = nil, "", ""
	switch i.Reason {
	case ReasonCreate:
		s.Status = Active
		s.covered = clone(s.Quantities)
	case ReasonUpdate:
		for plan := range p.plans.rank {
			p.plans.add(s.covered, plan, s.Pending.Quantities[plan]-s.Quantities[plan])
		}
		s.Quantities, s.Pending = s.Pending.Quantities, nil
	default:
		if s.Status == PastDue && !p.owes() {
			s.Status = Active
		}
	}
}

func (p *till) owes() bool {
	return slices.ContainsFunc(p.invoices, func(i *Invoice) bool {
		return i.Reason == ReasonCycle && i.State == breakwaterv1.Invoice_OPEN
	})
}

func (p *till) void(i *Invoice) {
	p.customers[i.Customer].Balance -= i.Total - i.AmountDue
	i.State, i.Action = breakwaterv1.Invoice_VOID, nil
	for _, s := range p.subs {
		if s.Latest.ID != i.ID {
			continue
		}
		s.Pending = nil
		if s.Status == Incomplete {
			s.Status = IncompleteExpired
		}
	}
}

func (p *till) invoice(id string) *Invoice {
	for _, i := range p.invoices {
		if i.ID == id {
			return i
		}
	}
	return nil
}

func (p *till) sub(id string) *tillSub {
	for _, s := range p.subs {
		if s.ID == id {
			return s
		}
	}
	return nil
}

// alive is the one subscription that is not over; nil for none.
func (p *till) alive() *tillSub {
	for _, s := range p.subs {
		if !s.Status.Over() {
			return s
		}
	}
	return nil
}

func (p *till) show(s *tillSub) *Subscription {
	out := s.Subscription
	out.Quantities = clone(s.Quantities)
	out.Latest = copyInvoice(s.Latest)
	if s.Pending != nil {
		out.Pending = &PendingUpdate{Quantities: clone(s.Pending.Quantities), Expires: s.Pending.Expires}
	}
	return &out
}

func copyInvoice(i *Invoice) *Invoice {
	if i == nil {
		return nil
	}
	out := *i
	out.Lines = slices.Clone(i.Lines)
	return &out
}

func (p *till) showCustomer(c *Customer) *Customer {
	out := *c
	out.PaymentMethod, out.PaymentMethodID = nil, p.cardID()
	if p.card != "none" {
		out.PaymentMethod = &breakwaterv1.Billing_PaymentMethod{Type: "card", Brand: "visa", Last4: map[string]string{
			"accept": "4242", "decline": "0341", "action": "3155",
		}[p.card]}
		if p.digits != "" {
			out.PaymentMethod.Last4 = p.digits
		}
	}
	return &out
}

// cardID is the card's ID; empty for none.
func (p *till) cardID() string {
	if p.card == "none" {
		return ""
	}
	return fmt.Sprintf("pm_%s_%d", p.card, p.entered)
}

func (p *till) CreateCustomer(_ context.Context, key string, r CustomerRequest) (*Customer, error) {
	return tillChange(p, key, "CreateCustomer", r.Account+r.Email, func() (*Customer, error) {
		c := &Customer{ID: p.id("cus"), Account: r.Account, Email: r.Email, Details: r.Details}
		p.customers[c.ID] = c
		return p.showCustomer(c), nil
	})
}

func (p *till) UpdateCustomer(_ context.Context, key, customer string, r CustomerRequest) (*Customer, error) {
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(r.Details)
	if err != nil {
		return nil, err
	}
	return tillChange(p, key, "UpdateCustomer", customer+string(text), func() (*Customer, error) {
		if r.Details.GetLegalName() == "refuse me" {
			return nil, ErrRefused
		}
		c, err := p.find(customer)
		if err != nil {
			return nil, err
		}
		p.customers[customer].Email, p.customers[customer].Details = r.Email, r.Details
		if len(r.Details.GetTaxIds()) > 0 {
			c.DetailsFailure = "The tax ID was refused."
		}
		return c, nil
	})
}

func (p *till) find(customer string) (*Customer, error) {
	c, ok := p.customers[customer]
	if !ok {
		return nil, ErrNotFound
	}
	return p.showCustomer(c), nil
}

func (p *till) Customer(_ context.Context, customer string) (*Customer, error) {
	return tillRead(p, "Customer", func() (*Customer, error) { return p.find(customer) })
}

func (p *till) Credit(_ context.Context, key, customer string, cents int64, reason string) error {
	_, err := tillChange(p, key, "Credit", fmt.Sprint(customer, cents, reason), func() (bool, error) {
		p.customers[customer].Balance -= cents
		p.credits = append(p.credits, cents)
		return true, nil
	})
	return err
}

func (p *till) CheckoutSession(context.Context, string, string, string, string) (*Session, error) {
	return &Session{URL: "https://pay.test/checkout"}, nil
}

func (p *till) PortalSession(context.Context, string, string, string) (*Session, error) {
	return &Session{URL: "https://pay.test/portal"}, nil
}

func (p *till) CreateSubscription(_ context.Context, key string, r SubscriptionRequest) (*Subscription, error) {
	return tillChange(p, key, "CreateSubscription", fmt.Sprint(r), func() (*Subscription, error) {
		if len(r.Quantities) == 0 {
			return nil, fmt.Errorf("%w: no items", ErrRefused)
		}
		now := p.now()
		s := &tillSub{anchor: now, expires: now.Add(23 * time.Hour), Subscription: Subscription{
			ID: p.id("sub"), Customer: r.Customer, Account: r.Account, Status: Incomplete,
			PeriodStart: now, PeriodEnd: addMonth(now), Quantities: clone(r.Quantities),
		}}
		p.subs = append(p.subs, s)
		invoice := p.bill(s, ReasonCreate, now)
		for plan, n := range r.Quantities {
			p.line(invoice, InvoiceLine{Plan: plan, Quantity: n, Amount: n * p.plans.price(plan)})
		}
		p.finalize(invoice)
		if invoice.AmountDue == 0 {
			p.attempt(s, invoice)
		}
		return p.show(s), nil
	})
}

func (p *till) Subscription(_ context.Context, id string) (*Subscription, error) {
	return tillRead(p, "Subscription", func() (*Subscription, error) {
		s := p.sub(id)
		if s == nil {
			return nil, ErrNotFound
		}
		return p.show(s), nil
	})
}

func (p *till) CustomerSubscriptions(_ context.Context, customer string) ([]*Subscription, error) {
	return tillRead(p, "CustomerSubscriptions", func() ([]*Subscription, error) {
		var out []*Subscription
		for _, s := range p.subs {
			if s.Customer == customer && !s.Status.Over() {
				out = append(out, p.show(s))
			}
		}
		return out, nil
	})
}

// changeSub is a change of a subscription that is not over.
func (p *till) changeSub(key, op, request, id string, fn func(*tillSub) error) (*Subscription, error) {
	return tillChange(p, key, op, id+request, func() (*Subscription, error) {
		s := p.sub(id)
		switch {
		case s == nil:
			return nil, ErrNotFound
		case s.Status.Over():
			return nil, fmt.Errorf("%w: the subscription is over", ErrRefused)
		}
		if err := fn(s); err != nil {
			return nil, err
		}
		return p.show(s), nil
	})
}

func (p *till) Upgrade(_ context.Context, key string, u UpgradeRequest) (*Subscription, error) {
	return p.changeSub(key, "Upgrade", fmt.Sprint(u.Quantities, u.ProrationTime.Unix()), u.Subscription, func(s *tillSub) error {
		if s.Status != Active || s.Pending != nil || s.CancelAtPeriodEnd {
			return fmt.Errorf("%w: %s, pending %v, cancel %v", ErrRefused, s.Status, s.Pending, s.CancelAtPeriodEnd)
		}
		if u.ProrationTime.Before(s.PeriodStart) || !u.ProrationTime.Before(s.PeriodEnd) {
			return fmt.Errorf("%w: the proration time is outside of the period", ErrRefused)
		}
		expires := p.now().Add(23 * time.Hour)
		if s.PeriodEnd.Before(expires) {
			expires = s.PeriodEnd
		}
		lines := p.proration(s, u)
		invoice := p.bill(s, ReasonUpdate, p.now())
		for _, l := range lines {
			p.line(invoice, l)
		}
		s.Pending = &PendingUpdate{Quantities: clone(u.Quantities), Expires: expires}
		p.finalize(invoice)
		p.attempt(s, invoice)
		return nil
	})
}

func (p *till) proration(s *tillSub, u UpgradeRequest) []InvoiceLine {
	whole := s.PeriodEnd.Unix() - s.PeriodStart.Unix()
	rest := s.PeriodEnd.Unix() - u.ProrationTime.Unix()
	var lines []InvoiceLine
	for _, plan := range p.plans.All() {
		id := plan.GetName()[len(namePrefix):]
		if n := u.Quantities[id] - s.Quantities[id]; n != 0 {
			sign := int64(1)
			if n < 0 {
				sign, n = -1, -n
			}
			amount := (2*n*p.plans.price(id)*rest + whole) / (2 * whole)
			lines = append(lines, InvoiceLine{Plan: id, Quantity: n, Amount: sign * amount, Proration: true})
		}
	}
	return lines
}

func (p *till) SetQuantities(_ context.Context, key, id string, q Quantities) (*Subscription, error) {
	return p.changeSub(key, "SetQuantities", fmt.Sprint(q), id, func(s *tillSub) error {
		if s.Pending != nil || len(q) == 0 {
			return fmt.Errorf("%w: a payment is pending, or nothing is left", ErrRefused)
		}
		s.Quantities = clone(q)
		return nil
	})
}

func (p *till) SetCancelAtPeriodEnd(_ context.Context, key, id string, cancel bool) (*Subscription, error) {
	return p.changeSub(key, "SetCancelAtPeriodEnd", fmt.Sprint(cancel), id, func(s *tillSub) error {
		s.CancelAtPeriodEnd = cancel
		return nil
	})
}

func (p *till) CancelSubscription(_ context.Context, key, id string) (*Subscription, error) {
	return p.changeSub(key, "CancelSubscription", "", id, func(s *tillSub) error {
		if s.Pending != nil {
			p.void(p.invoice(s.Latest.ID))
		}
		s.Status = Canceled
		return nil
	})
}

func (p *till) changeInvoice(key, op, id string, fn func(*Invoice) error) (*Invoice, error) {
	return tillChange(p, key, op, id, func() (*Invoice, error) {
		i := p.invoice(id)
		if i == nil {
			return nil, ErrNotFound
		}
		if err := fn(i); err != nil {
			return nil, err
		}
		return copyInvoice(i), nil
	})
}

func (p *till) PayInvoice(_ context.Context, key, id string) (*Invoice, error) {
	return p.changeInvoice(key, "PayInvoice", id, func(i *Invoice) error {
		switch i.State {
		case breakwaterv1.Invoice_PAID:
			return nil
		case breakwaterv1.Invoice_OPEN:
		default:
			return fmt.Errorf("%w: the invoice is %s", ErrRefused, i.State)
		}
		p.attempt(p.sub(i.Subscription), i)
		if i.Failure != "" {
			return &PaymentError{Code: "card_declined", Message: i.Failure, Invoice: id}
		}
		return nil
	})
}

func (p *till) VoidInvoice(_ context.Context, key, id string) (*Invoice, error) {
	return p.changeInvoice(key, "VoidInvoice", id, func(i *Invoice) error {
		switch i.State {
		case breakwaterv1.Invoice_VOID:
			return nil
		case breakwaterv1.Invoice_OPEN:
			p.void(i)
			return nil
		default:
			return fmt.Errorf("%w: the invoice is %s", ErrRefused, i.State)
		}
	})
}

func (p *till) MarkUncollectible(_ context.Context, key, id string) (*Invoice, error) {
	return p.changeInvoice(key, "MarkUncollectible", id, func(i *Invoice) error {
		if i.State != breakwaterv1.Invoice_OPEN {
			return fmt.Errorf("%w: the invoice is %s", ErrRefused, i.State)
		}
		i.State = breakwaterv1.Invoice_UNCOLLECTIBLE
		return nil
	})
}

func (p *till) Invoice(_ context.Context, id string) (*Invoice, error) {
	return tillRead(p, "Invoice", func() (*Invoice, error) {
		if i := p.invoice(id); i != nil {
			return copyInvoice(i), nil
		}
		return nil, ErrNotFound
	})
}

func (p *till) Invoices(_ context.Context, customer, _ string, limit int) ([]*Invoice, bool, error) {
	out, err := tillRead(p, "Invoices", func() ([]*Invoice, error) {
		var out []*Invoice
		for _, i := range p.invoices {
			if i.Customer == customer {
				out = append(out, copyInvoice(i))
			}
		}
		sort.SliceStable(out, func(a, b int) bool { return out[a].Created.After(out[b].Created) })
		return out[:min(limit, len(out))], nil
	})
	return out, false, err
}

func (p *till) Preview(_ context.Context, u UpgradeRequest) (*Invoice, error) {
	return tillRead(p, "Preview", func() (*Invoice, error) {
		s := p.sub(u.Subscription)
		if s == nil {
			return nil, ErrNotFound
		}
		i := &Invoice{}
		for _, l := range p.proration(s, u) {
			p.line(i, l)
		}
		return i, nil
	})
}

// confirm is the customer doing what the newest payment waits for.
func (p *till) confirm(works bool) {
	p.catchUp()
	for _, i := range slices.Backward(p.invoices) {
		if i.State != breakwaterv1.Invoice_OPEN || i.Action == nil {
			continue
		}
		if works {
			p.paid(p.sub(i.Subscription), i)
		} else {
			i.Action, i.Failure = nil, "You did not confirm the payment."
		}
		return
	}
}

// payOwed is the customer paying the overdue invoices on their page.
func (p *till) payOwed() {
	p.catchUp()
	for _, i := range p.invoices {
		if i.Reason == ReasonCycle && i.State == breakwaterv1.Invoice_OPEN {
			p.paid(p.sub(i.Subscription), i)
		}
	}
}

// total is what was charged.
func (p *till) total() (cents int64) {
	for _, i := range p.invoices {
		cents += i.AmountPaid
	}
	return cents
}

// Faults: an answer that is lost, and a call that fails under its key for ever, before or after
// it did its work. A read answers neither.
var (
	errLost   = fmt.Errorf("%w: the answer was lost", ErrRetry)
	errBroken = fmt.Errorf("%w: internal error", ErrRetry)
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
