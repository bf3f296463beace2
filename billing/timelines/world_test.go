package timelines

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/jonboulle/clockwork"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/billing/stripe"
	"github.com/breakwater-cdn/breakwater/billing/stripe/stripetest"
)

// reporter is what a world needs of a test.
type reporter interface {
	Helper()
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// world is one timeline.
type world struct {
	reporter
	ctx    context.Context
	plans  *billing.Plans
	clock  *clockwork.FakeClock
	fake   *stripetest.Server
	store  *store
	engine *billing.Engine
	oracle map[string]*oracle
	names  []string

	dice *rand.Rand
	// faulty and deadly are how many of a hundred requests fail, and steps kill the process.
	faulty, deadly int
	down           bool // Stripe can't be reached at all.
	// faulted decides instead of chance.
	faulted  func(stripetest.Request) stripetest.Fault
	dead     bool
	again    map[string]time.Time // When the outbox looks again.
	failures map[string]int
	posts    []stripetest.Event // Webhooks that are under way.
	ids      int
	quiet    bool
	counts   map[string]int
}

var plans = []string{"free", "pro", "business", "enterprise"}

func newWorld(ctx context.Context, t reporter, start time.Time, seed uint64, config stripetest.Config, accounts, sites int) *world {
	catalogue, err := billing.Load()
	if err != nil {
		t.Fatalf("%v", err)
	}
	w := &world{
		reporter: t, ctx: ctx, plans: catalogue, clock: clockwork.NewFakeClockAt(start), oracle: map[string]*oracle{},
		dice: rand.New(rand.NewPCG(seed, seed)), again: map[string]time.Time{}, failures: map[string]int{}, counts: map[string]int{},
	}
	config.Fault = w.fault
	w.fake = stripetest.New(w.clock, config)
	w.store = &store{clock: w.clock, accounts: map[string]*stored{}, step: w.step, log: w.say, entitled: w.entitled}
	w.boot()
	for n := range accounts {
		name := string(rune('a'+n)) + "cme"
		w.names = append(w.names, name)
		w.oracle[name] = newOracle(w, name)
		_, a := w.store.read(name)
		for m := range sites {
			a.sites[domain(m)] = billing.SiteState{Plan: "free"}
		}
	}
	return w
}

func domain(n int) string { return fmt.Sprintf("s%d.test", n) }

func (w *world) say(format string, args ...any) {
	w.Logf("%s "+format, append([]any{w.clock.Now().UTC().Format("01-02 15:04:05")}, args...)...)
}

// boot starts a new process on the same store.
func (w *world) boot() {
	w.dead = false
	client, err := stripe.New(stripe.Config{
		Key: "sk_test_fake", HTTPClient: &http.Client{Transport: wire{w}}, Plans: w.plans, Clock: w.clock,
	})
	if err != nil {
		w.Fatalf("%v", err)
	}
	if w.engine == nil {
		if _, err := client.Sync(w.ctx, w.plans, false); err != nil {
			w.Fatalf("%v", err)
		}
	}
	w.engine = billing.New(billing.Config{
		Plans: w.plans, Provider: client, Store: w.store, Clock: w.clock, QuoteKey: []byte("0123456789abcdef0123456789abcdef"),
		Logger: slog.New(slog.DiscardHandler),
		NewID: func(time.Time) string {
			w.ids++
			return fmt.Sprintf("id%d", w.ids)
		},
	})
}

// step is asked at each step of the process.
func (w *world) step(where string) error {
	if w.dead {
		return errCrashed
	}
	if w.deadly > 0 && w.dice.IntN(100) < w.deadly {
		w.say("    dies %s", where)
		w.counts["crashes"]++
		w.dead = true
		return errCrashed
	}
	return nil
}

// wire is the way to Stripe of a process that may die before and after each request.
type wire struct{ w *world }

func (c wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := c.w.step("before a request"); err != nil {
		return nil, err
	}
	response, err := c.w.fake.Transport().RoundTrip(r)
	if died := c.w.step("after a request"); died != nil {
		if response != nil {
			_ = response.Body.Close()
		}
		return nil, died
	}
	return response, err
}

func (w *world) fault(r stripetest.Request) stripetest.Fault {
	if w.down {
		return stripetest.Unavailable
	}
	if w.faulted != nil {
		return w.faulted(r)
	}
	if w.faulty == 0 || w.dice.IntN(100) >= w.faulty {
		return stripetest.None
	}
	f := stripetest.Fault(1 + w.dice.IntN(stripetest.Faults-1))
	w.counts["faults"]++
	w.say("    fault %d of %s %s", f, r.Method, r.Path)
	return f
}

func (w *world) record(account string) *storev1.BillingRecord {
	rec, _ := w.store.read(account)
	return rec
}

func (w *world) customer(account string) string { return w.record(account).GetCustomer() }

// pass lets time pass. Decisions come only after the oracle knows what happened meanwhile.
func (w *world) pass(d time.Duration) {
	w.clock.Advance(d)
	w.fake.Sync()
	w.collect()
}

// collect gives the oracles what Stripe recorded, and the post the new webhooks.
func (w *world) collect() {
	w.posts = append(w.posts, w.fake.TakeEvents()...)
	for _, name := range w.names {
		w.oracle[name].learn()
	}
}

// decide makes a decision of a customer as one transaction.
func (w *world) decide(account, what string, fn func(billing.Tx) error) bool {
	w.collect()
	// It is another process that decides, and lives.
	deadly, dead := w.deadly, w.dead
	w.deadly, w.dead = 0, false
	err := w.store.Update(w.ctx, account, fn)
	w.deadly, w.dead = deadly, dead
	w.collect()
	if err != nil {
		w.say("%s: %s: %v", account, what, err)
		return false
	}
	w.say("%s: %s", account, what)
	w.counts["decisions"]++
	return true
}

// post delivers a webhook: it is a hint to ask again about the account of its customer.
func (w *world) post(e stripetest.Event) {
	var body struct {
		ID   string `json:"id"`
		Data struct {
			Object struct {
				Customer string `json:"customer"`
				ID       string `json:"id"`
				Object   string `json:"object"`
			} `json:"object"`
		} `json:"data"`
	}
	if err := json.Unmarshal(e.Payload, &body); err != nil {
		w.Fatalf("%s: %v", e.ID, err)
	}
	about := body.Data.Object
	customer := about.Customer
	if about.Object == "customer" {
		customer = about.ID
	}
	for _, name := range w.names {
		if customer != "" && w.customer(name) == customer {
			w.safely(func() error {
				return w.store.Update(w.ctx, name, func(t billing.Tx) error { return w.engine.Ask(t, false) })
			})
		}
	}
}

// safely runs what no oracle needs to know of, in a process that may die.
func (w *world) safely(fn func() error) {
	if err := fn(); err != nil && !w.dead {
		w.say("    %v", err)
	}
	if w.dead {
		w.boot()
	}
}

// settle runs the outbox's item of an account once, if it is due or forced.
func (w *world) settle(account string, force bool) {
	_, a := w.store.read(account)
	at, ok := w.again[account]
	if !force && !a.work && (!ok || at.After(w.clock.Now())) {
		return
	}
	a.work = false
	delete(w.again, account)
	w.counts["settles"]++
	next, err := w.engine.Settle(w.ctx, account)
	w.collect()
	switch {
	case w.dead:
		w.boot()
		a.work = true
	case err != nil:
		w.failures[account]++
		w.say("  settle %s: %v", account, short(err))
		if w.quiet && strings.Contains(err.Error(), "can't succeed") {
			w.Fatalf("hopeless: %v", err)
		}
		w.again[account] = w.clock.Now().Add(time.Minute << min(w.failures[account], 6))
	default:
		w.failures[account] = 0
		if !next.IsZero() {
			w.again[account] = next
		}
	}
	w.oracle[account].look()
}

func short(err error) string {
	text := err.Error()
	return text[:min(len(text), 200)]
}
