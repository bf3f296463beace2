package stripetest

import "time"

// draftLife is how long the invoice of a renewal stays a draft before it is finalized and
// collected (https://docs.stripe.com/billing/invoices/subscription#webhooks).
const draftLife = time.Hour

// due is something that happens at a time.
type due struct {
	at time.Time
	id string // Breaks ties, so that a replay is the same.
	do func()
}

// catchUp does all that fell due, in order, each as of its own time.
func (s *Server) catchUp(now time.Time) {
	for {
		next := s.nextDue()
		if next == nil || next.at.After(now) {
			break
		}
		if next.at.After(s.at) {
			s.at = next.at
		}
		next.do()
	}
	if now.After(s.at) {
		s.at = now
	}
}

func (s *Server) nextDue() *due {
	var first *due
	offer := func(at time.Time, id string, do func()) {
		if at.IsZero() {
			return
		}
		if first == nil || at.Before(first.at) || at.Equal(first.at) && id < first.id {
			first = &due{at, id, do}
		}
	}
	for _, sub := range s.subscriptions {
		switch {
		case sub.over():
			continue
		case sub.status == statusIncomplete:
			offer(sub.created.Add(incompleteLife), sub.id, func() { s.expireIncomplete(sub) })
			continue
		case sub.pending != nil:
			// At the period's end it goes before the renewal.
			offer(sub.pending.expires, "a"+sub.id, func() { s.discardPending(sub) })
		}
		offer(sub.end, sub.id, func() { s.renew(sub) })
	}
	for _, i := range s.invoices {
		switch i.status {
		case invoiceDraft:
			offer(i.finalizeAt, i.id, func() { s.finalizeAndCollect(i) })
		case invoiceOpen:
			offer(i.nextAttempt, i.id, func() { s.collect(i) })
		}
	}
	for _, v := range s.sessions {
		if v.status == sessionOpen {
			offer(v.expires, v.id, func() { s.expireSession(v) })
		}
	}
	return first
}

// renew begins the next period, or ends the subscription.
func (s *Server) renew(sub *subscription) {
	if sub.cancelAtEnd {
		s.endSubscription(sub)
		return
	}
	sub.months++
	sub.start, sub.end = sub.end, addMonths(sub.created, sub.months)
	i := s.newInvoice(sub, "subscription_cycle", append(s.cycle(sub, sub.items, sub.start, sub.end), sub.waiting...))
	sub.waiting = nil
	if sub.status != statusUnpaid { // Then drafts stay drafts.
		i.finalizeAt = s.at.Add(draftLife)
	}
	s.updated(sub)
}

func (s *Server) finalizeAndCollect(i *invoice) {
	s.finalize(i)
	if i.status == invoiceOpen {
		s.collect(i)
	}
}

// expireIncomplete gives a subscription up whose first invoice was not paid in time.
func (s *Server) expireIncomplete(sub *subscription) {
	sub.status = statusIncompleteExpired
	for _, i := range s.invoicesOf(sub.id) {
		if i.status == invoiceOpen {
			s.void(i)
		}
	}
	s.updated(sub)
}
