package stripetest

import (
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"
)

// TestShare checks the arithmetic of one line.
func TestShare(t *testing.T) {
	day := 24 * time.Hour
	from := time.Date(2017, 2, 14, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		why    string
		amount int64
		at     time.Time
		period time.Duration
		want   int64
	}{
		// Published at https://gist.github.com/matthewarkin/27bcfdf622eb91d3508ea082d0ad50b8: Stripe
		// credits 364 cents of 1000 from 1488568488 to the period's end, 1489449600:
		// 1000 × 881112 ÷ 2419200 = 364.21.
		{"Stripe's own", 1000, time.Unix(1488568488, 0), 28 * day, 364},
		// Stripe's documentation: half of the period of $10 is $5, of $20 is $10.
		{"half of ten", 1000, from.Add(14 * day), 28 * day, 500},
		{"half of twenty", 2000, from.Add(14 * day), 28 * day, 1000},
		{"all of it", 2000, from, 28 * day, 2000},
		{"none of it", 2000, from.Add(28 * day), 28 * day, 0},
		// 2000 × 1 ÷ 4000 = 0.5, which is rounded up.
		{"half a cent", 2000, from.Add(3999 * time.Second), 4000 * time.Second, 1},
		// 2000 × 1 ÷ 4001 = 0.49988.
		{"less than half a cent", 2000, from.Add(4000 * time.Second), 4001 * time.Second, 0},
	} {
		if got := share(test.amount, test.at, from, from.Add(test.period)); got != test.want {
			t.Errorf("%s: %d, want %d", test.why, got, test.want)
		}
	}
}

// TestWorkedExamples changes subscriptions and compares every line, to the cent. Periods
// are of March, 31 days: 2,678,400 seconds.
func TestWorkedExamples(t *testing.T) {
	const second = time.Second
	for _, test := range []struct {
		name   string
		before []string
		// after are changes of items: index of the item or -1, price or "", quantity.
		after []change
		used  time.Duration
		want  []int64
	}{
		{
			// 10 days are used, 21 of 31 left.
			// Credit 2000 × 21 ÷ 31 = 1354.84 → −1355. Charge 20000 × 21 ÷ 31 = 13548.39 → 13548.
			"Pro to Business, price swapped",
			[]string{"Pro", "1"},
			[]change{{0, "Business", 1}},
			10 * 24 * time.Hour,
			[]int64{-1355, 13548},
		},
		{
			// The whole old quantity is credited, the whole new one charged, each rounded:
			// 2 × 2000 × 21 ÷ 31 = 2709.68 → −2710; 3 × 2000 × 21 ÷ 31 = 4064.52 → 4065.
			"two Pro become three",
			[]string{"Pro", "2"},
			[]change{{0, "", 3}},
			10 * 24 * time.Hour,
			[]int64{-2710, 4065},
		},
		{
			// One of two goes up to a plan that has an item:
			// Pro: 2 × 2000 × ½ = 2000 → −2000, 1 × 2000 × ½ = 1000; Business: −10000, 20000.
			"one of two Pro to Business",
			[]string{"Pro", "2", "Business", "1"},
			[]change{{0, "", 1}, {1, "", 2}},
			31 * 12 * time.Hour,
			[]int64{-2000, 1000, -10000, 20000},
		},
		{
			// A plan without an item gets one: nothing is credited.
			// 300000 × (2678400 − 1) ÷ 2678400 = 299999.89 → 300000; after one second.
			"a new item after a second",
			[]string{"Pro", "1"},
			[]change{{-1, "Enterprise", 1}},
			second,
			[]int64{300000},
		},
		{
			// One second is left: 2000 ÷ 2678400 = 0.0007 → 0, 300000 ÷ 2678400 = 0.11 → 0.
			"the last second",
			[]string{"Pro", "1"},
			[]change{{0, "Enterprise", 1}},
			31*24*time.Hour - second,
			[]int64{0, 0},
		},
		{
			// To zero: the item stays, and bills nothing: −2000 × ⅓ and nothing; 31 days ÷ 3 = 892800 s are left.
			// 2000 × 892800 ÷ 2678400 = 666.67 → −667; 20000 ÷ 3 = 6666.67 → 6667.
			"the last Pro to Business's new item",
			[]string{"Pro", "1"},
			[]change{{0, "", 0}, {-1, "Business", 1}},
			2 * 892800 * second,
			[]int64{-667, 6667},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := start(t, epoch, Config{})
			customer := a.customer(Card{})
			sub := a.subscribe(customer, test.before...)
			path := "/v1/subscriptions/" + sub["id"].(string)
			a.clock.Advance(test.used)
			fields := []string{"proration_date", decimal(a.clock.Now().Unix())}
			preview := []string{
				"subscription", sub["id"].(string), "subscription_proration_behavior", "always_invoice",
				"subscription_proration_date", decimal(a.clock.Now().Unix()),
			}
			for n, c := range test.after {
				for key, value := range c.fields(a, sub) {
					fields = append(fields, "items["+strconv.Itoa(n)+"]"+key, value)
					preview = append(preview, "subscription_items["+strconv.Itoa(n)+"]"+key, value)
				}
			}
			shown := a.get("/v1/invoices/upcoming", preview...)
			// The update comes later than its date, as after a quote: the same is charged.
			if test.used < 30*24*time.Hour {
				a.clock.Advance(10 * time.Minute)
			}
			a.post(path, append(fields, "proration_behavior", "always_invoice", "payment_behavior", "pending_if_incomplete")...)
			got := a.latest(sub)
			if !slices.Equal(amounts(got), test.want) || !slices.Equal(amounts(shown), test.want) {
				t.Errorf("lines %v, previewed %v, want %v", amounts(got), amounts(shown), test.want)
			}
			var total int64
			for _, n := range test.want {
				total += n
			}
			if cents(got, "total") != total || cents(shown, "total") != total || got["status"] != "paid" {
				t.Errorf("total %v, previewed %v, want %d; %v", got["total"], shown["total"], total, got["status"])
			}
		})
	}
}

type change struct {
	item     int
	plan     string
	quantity int64
}

func (c change) fields(a *api, sub object) map[string]string {
	fields := map[string]string{"[quantity]": decimal(c.quantity)}
	if c.item >= 0 {
		fields["[id]"] = item0(sub, c.item)
	}
	if c.plan != "" {
		fields["[price]"] = a.prices[c.plan]
	}
	return fields
}

// TestProrationNone changes what the next renewal bills, and nothing now.
func TestProrationNone(t *testing.T) {
	a := start(t, epoch, Config{})
	customer := a.customer(Card{})
	sub := a.subscribe(customer, "Business", "2")
	path := "/v1/subscriptions/" + sub["id"].(string)
	a.clock.Advance(10 * 24 * time.Hour)
	a.post(path, "proration_behavior", "none", "items[0][id]", item0(sub, 0), "items[0][quantity]", "1",
		"items[1][price]", a.prices["Pro"])
	if got := a.Charged(customer); got != 40000 {
		t.Errorf("charged %d", got)
	}
	a.clock.Advance(22 * 24 * time.Hour)
	if got := a.Charged(customer); got != 40000+22000 {
		t.Errorf("charged %d after the renewal", got)
	}
	// Prorations that are not invoiced wait for the renewal: 31 days of March went by, then
	// one of April; from then 29 of 30 days: 2000 × 29 ÷ 30 = 1933.33.
	now := a.get(path)
	a.post(path, "items[0][id]", item0(now, 1), "items[0][deleted]", "true", "proration_date",
		decimal(instant(now, "current_period_start").Add(24*time.Hour).Unix()))
	if got := a.get("/v1/invoices/upcoming", "subscription", sub["id"].(string)); cents(got, "total") != 20000-1933 {
		t.Errorf("the next invoice is %v", got["total"])
	}
	a.clock.Advance(31 * 24 * time.Hour)
	if got := a.Charged(customer); got != 62000+18067 {
		t.Errorf("charged %d after the second renewal", got)
	}
	// A date outside of the period is refused.
	for _, at := range []time.Time{epoch, epoch.AddDate(1, 0, 0)} {
		e := a.refused(http.StatusBadRequest, http.MethodPost, path, "items[0][id]", item0(now, 0), "items[0][quantity]", "5",
			"proration_date", decimal(at.Unix()))
		if e["param"] != "proration_date" {
			t.Errorf("%v", e)
		}
	}
}

func TestSmallAmountsWait(t *testing.T) {
	a := start(t, epoch, Config{})
	customer := a.customer(Card{})
	sub := a.subscribe(customer, "Pro", "1")
	// 12 hours are left: 2000 × 0.5 ÷ 31 = 32.26 for one, 64.52 for two. 65 − 32 = 33 cents are
	// less than a card is charged, and wait on the balance.
	a.clock.Advance(31*24*time.Hour - 12*time.Hour)
	a.post("/v1/subscriptions/"+sub["id"].(string), "items[0][id]", item0(sub, 0), "items[0][quantity]", "2",
		"proration_behavior", "always_invoice", "payment_behavior", "pending_if_incomplete")
	if a.Charged(customer) != 2000 || a.Balance(customer) != 33 {
		t.Errorf("charged %d, balance %d", a.Charged(customer), a.Balance(customer))
	}
	a.clock.Advance(24 * time.Hour)
	if a.Charged(customer) != 2000+4000+33 || a.Balance(customer) != 0 {
		t.Errorf("charged %d, balance %d", a.Charged(customer), a.Balance(customer))
	}
}
