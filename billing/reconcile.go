package billing

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

// Difference is where the payment provider had something else than it should.
type Difference struct {
	// Kind is what differed: `customer`, `details`, `subscription`, `status`, `quantity`, `cancel`
	// or `invoice`.
	Kind string
	// Ours is what it should be, Theirs what it was.
	Ours, Theirs string
	// Repaired says that its repair is under way or done; false where a person is needed, or
	// where nothing was to be repaired.
	Repaired bool
}

// Reconcile compares an account with what the payment provider has, and returns what differs.
// With repair what was found is taken in, and [Tx.Work] asked for where something is to be
// done; without it nothing is stored. What a call or a payment is about to change is no
// difference.
func (e *Engine) Reconcile(ctx context.Context, account string, repair bool) ([]Difference, error) {
	rec, err := e.store.Record(ctx, account)
	if err != nil {
		return nil, err
	}
	if rec.GetCustomer() == "" || rec.GetCall() != nil {
		if !repair || e.rules.next(rec, e.clock.Now()).action == nothing {
			return nil, nil
		}
		return nil, e.store.Update(ctx, account, func(tx Tx) error { // Also after it was given up.
			tx.Work()
			return nil
		})
	}
	s, err := e.fetch(ctx, rec, true)
	if err != nil {
		return nil, err
	}
	found := e.rules.compare(rec, s)
	other, err := e.otherDetails(ctx, rec, s.customer)
	if err != nil {
		return nil, err
	}
	if len(other) > 0 {
		found = append(found, Difference{Kind: kindDetails, Ours: "what the account says", Theirs: "another " + strings.Join(other, ", ")})
	}
	if !repair {
		return found, nil
	}
	for i := range found {
		found[i].Repaired = found[i].Kind != kindInvoice
	}
	return found, e.store.Update(ctx, account, func(tx Tx) error {
		now := tx.Now()
		before := proto.CloneOf(tx.Record())
		if err := e.rules.take(tx, rec, s); err != nil {
			return err
		}
		after := tx.Record()
		after.ReconcileTime = stamp(now)
		if len(other) > 0 {
			after.DetailsNumber++ // So that it is told again.
		}
		if a := e.rules.next(after, now); a.action != nothing || changes(before, after) {
			tx.Work()
		}
		for _, d := range found {
			if !d.Repaired {
				continue
			}
			tx.Audit(billingResource, fmt.Sprintf("%s was %s at the payment provider, and should be %s", d.Kind, d.Theirs, d.Ours))
		}
		return nil
	})
}

// otherDetails compares what the provider has of the details with what it should have now: also the
// account's name and its owner's address may have changed since it was told.
func (e *Engine) otherDetails(ctx context.Context, rec *storev1.BillingRecord, c *Customer) (other []string, err error) {
	err = e.store.Update(ctx, rec.GetAccount(), func(tx Tx) error {
		email, d, err := details(tx)
		other = otherDetails(rec, c, email, d)
		return err
	})
	return other, err
}

// changes says whether times may have moved at which something is to be done.
func changes(before, after *storev1.BillingRecord) bool {
	a, b := proto.CloneOf(before), proto.CloneOf(after)
	a.ReconcileTime, b.ReconcileTime = nil, nil
	if a.GetSeen() != nil && b.GetSeen() != nil {
		a.Seen.Time, b.Seen.Time = nil, nil
	}
	return !proto.Equal(a, b)
}

// The kinds of differences.
const (
	kindCustomer     = "customer"
	kindDetails      = "details"
	kindSubscription = "subscription"
	kindStatus       = "status"
	kindQuantity     = "quantity"
	kindCancel       = "cancel"
	kindInvoice      = "invoice"
)

// compare says what differs between a record and what the provider has.
func (r *rules) compare(rec *storev1.BillingRecord, s *snapshot) []Difference {
	var found []Difference
	differ := func(kind, ours, theirs string) {
		found = append(found, Difference{Kind: kind, Ours: ours, Theirs: theirs})
	}
	if s.customerGone {
		differ(kindCustomer, rec.GetCustomer(), "none")
		return found
	}
	for _, id := range s.strays {
		differ(kindSubscription, orNone(rec.GetSubscription()), id)
	}
	sub := s.subscription
	switch {
	case sub == nil && rec.GetSubscription() != "":
		differ(kindSubscription, rec.GetSubscription(), "none")
		return found
	case sub == nil:
		return found
	case rec.GetSubscription() == "":
		differ(kindSubscription, "none", sub.ID)
		return found
	}
	seen, moving := rec.GetSeen(), rec.GetMove() != nil
	if string(sub.Status) != seen.GetStatus() && !moving {
		differ(kindStatus, seen.GetStatus(), string(sub.Status))
	}
	if sub.Status.Over() || !live(rec) || moving || renewedSince(rec, sub) {
		return found
	}
	q, cancel := r.target(rec)
	if !same(q, sub.Quantities) {
		differ(kindQuantity, listed(q), listed(sub.Quantities))
	}
	if cancel != sub.CancelAtPeriodEnd {
		differ(kindCancel, fmt.Sprint(cancel), fmt.Sprint(sub.CancelAtPeriodEnd))
	}
	if sub.Pending != nil {
		differ(kindInvoice, "none", "an upgrade to "+listed(sub.Pending.Quantities)+" that waits for its payment")
	}
	return found
}

func orNone(id string) string {
	if id == "" {
		return "none"
	}
	return id
}

// listed shows quantities, in order.
func listed(q Quantities) string {
	var parts []string
	for _, plan := range slices.Sorted(maps.Keys(q)) {
		parts = append(parts, fmt.Sprintf("%d %s", q[plan], plan))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}
