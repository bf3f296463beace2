package billing

import (
	"context"
	"errors"
	"fmt"
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

// maxSteps bounds one run of Settle: another one goes on.
const maxSteps = 50

// Settle does what is left to be done for an account, a step at a time: it looks at the
// record, does what follows, stores what came of it, and looks again. It may be stopped
// anywhere and run again; two that run at once do no harm, and one of them is wasted.
//
// again is when to look next: now where there is more than one run should do, and zero for
// when [Tx.Work] asks. An error says what failed: try again with back-off, but for a
// [*HopelessError], which is for a person.
func (e *Engine) Settle(ctx context.Context, account string) (again time.Time, err error) {
	run := settling{Engine: e, account: account, refused: map[operation]bool{}}
	for range maxSteps {
		rec, err := e.store.Record(ctx, account)
		if err != nil {
			return time.Time{}, err
		}
		switch s := e.rules.next(rec, e.clock.Now()); s.action {
		case nothing:
			return s.again, nil
		case ask:
			err = e.ask(ctx, rec)
		case call:
			err = run.call(ctx, rec)
		default:
			err = e.store.Update(ctx, account, func(tx Tx) error { return run.step(tx) })
		}
		if err != nil {
			return time.Time{}, err
		}
	}
	return e.clock.Now(), nil
}

// settling is one run of Settle.
type settling struct {
	*Engine
	account string
	// begun is the key of the call that this run began: its answer is not an old one.
	begun string
	// refused are the operations that the provider refused in this run: after a second look a
	// second refusal is for a person.
	refused map[operation]bool
}

// step does what needs no provider, by what the record says now.
func (run *settling) step(tx Tx) error {
	r, rec, now := &run.rules, tx.Record(), tx.Now()
	switch s := r.next(rec, now); s.action {
	case entitleSites:
		return upToFull(s.sites, func(domain string) error { return r.entitle(tx, domain, r.why(rec)) })
	case fallSites:
		return upToFull(s.sites, func(domain string) error { return r.fall(tx, domain) })
	case remind:
		return r.remind(tx)
	case degrade:
		return r.degrade(tx)
	case writeOffDebt:
		r.writeOffDebt(tx)
	case closeDebt:
		rec.Standing = nil
	case expireMove:
		r.giveUpMove(tx, "The payment was not confirmed in time.")
	case failMove:
		if err := r.failed(tx, s.reason); err != nil {
			return err
		}
		r.agree(rec)
	case expireCall:
		r.forget(rec)
	case begin:
		if err := r.begin(tx, s); err != nil {
			return err
		}
		run.begun = rec.GetCall().GetKey()
	case nothing, ask, call: // Something changed meanwhile: look again.
	}
	return nil
}

// upToFull does something to sites until the transaction holds no more; the others are found
// again by the next look. A first site always fits.
func upToFull(sites []string, do func(domain string) error) error {
	for i, domain := range sites {
		switch err := do(domain); {
		case i > 0 && errors.Is(err, ErrFull):
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}

// fall lets a site go to its next plan, in one transaction with its version.
func (r *rules) fall(tx Tx, domain string) error {
	rec := tx.Record()
	r.lapsed(tx, domain)
	return r.entitle(tx, domain, fmt.Sprintf("the period that was paid for is over: plan %s", r.site(rec, domain).GetPlan()))
}

// why says why sites have something else than they had.
func (r *rules) why(rec *storev1.BillingRecord) string {
	if rec.GetStanding() != nil {
		return "an invoice is overdue"
	}
	return "what is paid for"
}

// ask fetches the account's state and takes it in.
func (e *Engine) ask(ctx context.Context, rec *storev1.BillingRecord) error {
	s, err := e.fetch(ctx, rec, false)
	if err != nil {
		return err
	}
	return e.store.Update(ctx, rec.GetAccount(), func(tx Tx) error {
		return e.rules.take(tx, rec, s)
	})
}

// take takes a fetched state in, unless something newer is known than when it was asked for.
func (r *rules) take(tx Tx, asked *storev1.BillingRecord, s *snapshot) error {
	rec := tx.Record()
	if rec.GetCall() != nil || rec.GetCalls() != asked.GetCalls() || rec.GetCustomer() != asked.GetCustomer() ||
		!at(rec.GetSeen().GetTime()).Equal(at(asked.GetSeen().GetTime())) {
		return nil
	}
	rec.Refetch = rec.GetAsked() != asked.GetAsked()
	if err := r.observe(tx, s, request{}); err != nil {
		return err
	}
	r.agree(rec)
	return nil
}

// forget ends a call whose key may be forgotten at the provider: what came of it is found out
// by asking.
func (r *rules) forget(rec *storev1.BillingRecord) {
	switch req, err := callRequest(rec); operation(rec.GetCall().GetOperation()) {
	case opCredit:
		for _, c := range rec.GetCredits() {
			c.Unsure = c.GetUnsure() || err == nil && c.GetId() == req.Credit
		}
	case opPay:
		if m := rec.GetMove(); m != nil && err == nil && m.GetInvoice() == req.Invoice {
			m.Tried = false
		}
		if st := rec.GetStanding(); st != nil && err == nil && st.GetInvoice() == req.Invoice {
			st.TriedMethod = ""
		}
	case opQuantities, opCancelAtPeriodEnd:
		// It may have been done: what it told of falls that were taken back since counts, if the
		// renewal turns out to lack them.
		for domain, plan := range req.Sites {
			s, ok := rec.GetSites()[domain]
			if !ok {
				continue
			}
			next, renewal := r.plans.price(s.GetNextPlan()), s.GetRenewalPlan()
			if r.plans.price(plan) > next || renewal != "" && r.plans.price(renewal) < next {
				continue
			}
			s.RenewalPlan = plan
			if plan == s.GetNextPlan() {
				s.RenewalPlan = ""
			}
		}
	default:
	}
	rec.Call, rec.Refetch = nil, true
}

// call makes the call that is stored, and stores what came of it.
func (run *settling) call(ctx context.Context, rec *storev1.BillingRecord) error {
	op := operation(rec.GetCall().GetOperation())
	req, err := callRequest(rec)
	if err != nil {
		return &HopelessError{Operation: string(op), Err: err}
	}
	a, err := run.perform(ctx, rec, op, req)
	if err == nil && a.snapshot.subscription != nil {
		err = run.complete(ctx, rec, &a.snapshot)
		if err != nil {
			return err // The call is repeated, and answered as before.
		}
	}
	var declined *PaymentError
	switch {
	case err == nil:
		return run.finish(ctx, rec, func(tx Tx) error { return run.rules.answered(tx, op, req, a) })
	case errors.As(err, &declined):
		return run.finish(ctx, rec, func(tx Tx) error { return run.rules.declined(tx, op, declined) })
	case errors.Is(err, ErrSpent):
		return run.finish(ctx, rec, func(tx Tx) error {
			run.rules.forget(tx.Record())
			return nil
		})
	case errors.Is(err, ErrRefused), errors.Is(err, ErrNotFound):
		return run.refuse(ctx, rec, op, req, err)
	}
	return err
}

// finish stores what came of a call, if it still is under way.
func (run *settling) finish(ctx context.Context, made *storev1.BillingRecord, fn func(Tx) error) error {
	return run.store.Update(ctx, run.account, func(tx Tx) error {
		rec := tx.Record()
		key := made.GetCall().GetKey()
		if rec.GetCall().GetKey() != key {
			return nil
		}
		rec.Refetch = rec.GetRefetch() || key != run.begun
		if err := fn(tx); err != nil {
			return err
		}
		rec.Call = nil
		run.rules.agree(rec)
		return nil
	})
}

// refuse stores that the provider refused a call. What can be told to the customer is; the
// rest is tried once more after a look at what is there.
func (run *settling) refuse(ctx context.Context, rec *storev1.BillingRecord, op operation, req request, cause error) error {
	run.logger.WarnContext(ctx, "the payment provider refused a call", "account", run.account, "operation", string(op), "error", cause)
	if err := run.finish(ctx, rec, func(tx Tx) error { return run.rules.refused(tx, op, req, cause) }); err != nil {
		return err
	}
	hopeless := run.refused[op] || op == opCreateCustomer
	run.refused[op] = true
	switch {
	case op == opUpgrade, op == opCreateSubscription, op == opUpdateCustomer:
		return nil
	case hopeless:
		return &HopelessError{Operation: string(op), Err: cause}
	}
	return nil
}
