package stripe

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	stripego "github.com/stripe/stripe-go/v76"
	"pgregory.net/rapid"

	"github.com/breakwater-cdn/breakwater/billing"
)

var todays = map[string]string{"pro": "price_pro", "business": "price_business", "enterprise": "price_enterprise"}

func one(id, plan string, n int64) item {
	return item{id: id, plan: plan, price: todays[plan], quantity: n}
}

func TestChanges(t *testing.T) {
	for name, test := range map[string]struct {
		now  []item
		want billing.Quantities
		// paid is what an upgrade sends, free what a change without a payment does.
		paid, free []change
	}{
		"the first": {
			want: billing.Quantities{"pro": 2},
			paid: []change{{price: "price_pro", quantity: 2}},
			free: []change{{price: "price_pro", quantity: 2}},
		},
		"another site": {
			now: []item{one("si_1", "pro", 1)}, want: billing.Quantities{"pro": 2},
			paid: []change{{id: "si_1", quantity: 2}},
			free: []change{{id: "si_1", quantity: 2}},
		},
		"one of two goes up": {
			now: []item{one("si_1", "pro", 2)}, want: billing.Quantities{"pro": 1, "business": 1},
			paid: []change{{id: "si_1", quantity: 1}, {price: "price_business", quantity: 1}},
			free: []change{{id: "si_1", quantity: 1}, {price: "price_business", quantity: 1}},
		},
		"the only one goes up": {
			now: []item{one("si_1", "pro", 1)}, want: billing.Quantities{"business": 1},
			paid: []change{{id: "si_1", price: "price_business", quantity: 1}},
			free: []change{{id: "si_1", price: "price_business", quantity: 1}},
		},
		"the last of a plan joins others": {
			now: []item{one("si_1", "pro", 1), one("si_2", "business", 3)}, want: billing.Quantities{"business": 4},
			paid: []change{{id: "si_2", quantity: 4}, {id: "si_1", quantity: 0}},
			free: []change{{id: "si_2", quantity: 4}, {id: "si_1", deleted: true}},
		},
		"an item at zero is used again": {
			now: []item{one("si_1", "pro", 0), one("si_2", "business", 4)}, want: billing.Quantities{"pro": 1, "business": 3},
			paid: []change{{id: "si_1", quantity: 1}, {id: "si_2", quantity: 3}},
			free: []change{{id: "si_1", quantity: 1}, {id: "si_2", quantity: 3}},
		},
		"an item at zero is in nobody's way": {
			now: []item{one("si_1", "pro", 0), one("si_2", "business", 4)}, want: billing.Quantities{"business": 4},
			free: []change{{id: "si_1", deleted: true}},
		},
		"an old price stays": {
			now: []item{{"si_1", "pro", "price_old", 2}}, want: billing.Quantities{"pro": 3},
			paid: []change{{id: "si_1", quantity: 3}},
			free: []change{{id: "si_1", quantity: 3}},
		},
		"two items of a plan become one": {
			now: []item{{"si_1", "pro", "price_old", 2}, one("si_2", "pro", 1)}, want: billing.Quantities{"pro": 3},
			paid: []change{{id: "si_2", quantity: 3}, {id: "si_1", quantity: 0}},
			free: []change{{id: "si_2", quantity: 3}, {id: "si_1", deleted: true}},
		},
		"a price of nobody's": {
			now: []item{{"si_1", "price_x", "price_x", 1}, one("si_2", "pro", 1)}, want: billing.Quantities{"pro": 2},
			paid: []change{{id: "si_2", quantity: 2}},
			free: []change{{id: "si_2", quantity: 2}, {id: "si_1", deleted: true}},
		},
		"as wanted": {now: []item{one("si_1", "pro", 1)}, want: billing.Quantities{"pro": 1, "business": 0}},
	} {
		t.Run(name, func(t *testing.T) {
			for mayDelete, want := range map[bool][]change{false: test.paid, true: test.free} {
				got, err := changes(test.now, test.want, todays, mayDelete)
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("deleting %v: %+v, %v", mayDelete, got, err)
				}
			}
		})
	}
}

func TestChangesRefused(t *testing.T) {
	for name, want := range map[string]billing.Quantities{
		"nothing": {}, "zero": {"pro": 0}, "less than nothing": {"pro": 2, "business": -1}, "no price": {"pro": 1, "gold": 1},
	} {
		if _, err := changes([]item{one("si_1", "pro", 1)}, want, todays, true); !errors.Is(err, billing.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestChangesDo applies changes to items: they bill what is wanted afterwards, from one item
// for each plan, nothing is left to do, and a pending update deletes none.
func TestChangesDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plans := slices.Sorted(maps.Keys(todays))
		plan := rapid.SampledFrom(plans)
		now := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) item {
			i := one("", plan.Draw(t, "plan"), rapid.Int64Range(0, 3).Draw(t, "quantity"))
			if rapid.IntRange(0, 3).Draw(t, "old") == 0 {
				i.price = "price_old_" + i.plan
			}
			return i
		}), 0, 6, func(i item) string { return i.price }).Draw(t, "items")
		for n := range now {
			now[n].id = fmt.Sprintf("si_%d", n)
		}
		want := billing.Quantities{plan.Draw(t, "sure"): 1}
		for range rapid.IntRange(0, 4).Draw(t, "more") {
			want[plan.Draw(t, "more of")]++
		}
		mayDelete := rapid.Bool().Draw(t, "may delete")
		list, err := changes(now, want, todays, mayDelete)
		if err != nil {
			t.Fatal(err)
		}
		if mayDelete == false && slices.ContainsFunc(list, func(c change) bool { return c.deleted }) {
			t.Fatal("a pending update deletes")
		}
		after := apply(t, now, list)
		if got := quantities(after); !maps.Equal(got, want) {
			t.Fatalf("%v instead of %v", got, want)
		}
		if again, err := changes(after, want, todays, mayDelete); err != nil || len(again) > 0 {
			t.Fatalf("again: %+v, %v", again, err)
		}
		slices.Reverse(now)
		if other, _ := changes(now, want, todays, mayDelete); !reflect.DeepEqual(other, list) {
			t.Fatalf("the order of items matters: %+v and %+v", list, other)
		}
	})
}

// apply does what Stripe does with changes; it refuses two items with one price.
func apply(t *rapid.T, now []item, list []change) []item {
	after := slices.Clone(now)
	planFor := map[string]string{}
	for plan, price := range todays {
		planFor[price] = plan
	}
	for n, c := range list {
		at := slices.IndexFunc(after, func(i item) bool { return i.id == c.id })
		switch {
		case c.id == "":
			after = append(after, item{fmt.Sprintf("si_new_%d", n), planFor[c.price], c.price, c.quantity})
		case at < 0:
			t.Fatalf("no item %s", c.id)
		case c.deleted:
			after = slices.Delete(after, at, at+1)
		case c.price != "":
			after[at] = item{c.id, planFor[c.price], c.price, c.quantity}
		default:
			after[at].quantity = c.quantity
		}
	}
	prices := map[string]bool{}
	for _, i := range after {
		if prices[i.price] {
			t.Fatalf("two items with %s", i.price)
		}
		prices[i.price] = true
	}
	return after
}

// TestPendingUpdate reads one that lists what changes only, and one that lists everything.
func TestPendingUpdate(t *testing.T) {
	price := func(plan string) *stripego.Price {
		return &stripego.Price{ID: todays[plan], Metadata: map[string]string{planKey: plan}}
	}
	pro := &stripego.SubscriptionItem{ID: "si_1", Price: price("pro"), Quantity: 2}
	enterprise := &stripego.SubscriptionItem{ID: "si_2", Price: price("enterprise"), Quantity: 1}
	lessPro := &stripego.SubscriptionItem{ID: "si_1", Price: price("pro"), Quantity: 1}
	business := &stripego.SubscriptionItem{ID: "si_3", Price: price("business"), Quantity: 1}
	want := billing.Quantities{"pro": 1, "business": 1, "enterprise": 1}
	for name, pending := range map[string][]*stripego.SubscriptionItem{
		"the changes": {lessPro, business}, "everything": {lessPro, enterprise, business}, "a new one has no ID": {lessPro, {Price: price("business"), Quantity: 1}},
	} {
		got := asSubscription(&stripego.Subscription{
			ID: "sub_1", Items: &stripego.SubscriptionItemList{Data: []*stripego.SubscriptionItem{pro, enterprise}},
			PendingUpdate: &stripego.SubscriptionPendingUpdate{ExpiresAt: 7, SubscriptionItems: pending},
		})
		now := []item{one("si_1", "pro", 2), one("si_2", "enterprise", 1)}
		if list, err := changes(overlaid(now, pending), want, todays, false); err != nil || len(list) > 0 {
			t.Errorf("%s: %+v is left to do, %v", name, list, err)
		}
		if !maps.Equal(got.Quantities, billing.Quantities{"pro": 2, "enterprise": 1}) || !maps.Equal(got.Pending.Quantities, want) {
			t.Errorf("%s: %v, pending %v", name, got.Quantities, got.Pending.Quantities)
		}
	}
}
