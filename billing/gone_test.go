package billing

import (
	"strings"
	"testing"
	"time"
)

func (s *shop) remove(site string) {
	s.t.Helper()
	s.sites[site].Deleted = true
	s.must(s.decide(func(tx Tx) error { return s.engine.SiteDeleted(tx, site) }))
}

func (s *shop) restore(site string) {
	s.t.Helper()
	s.sites[site].Deleted = false
	s.must(s.decide(func(tx Tx) error { return s.engine.SiteRestored(tx, site) }))
}

func (s *shop) lose(site string) {
	s.t.Helper()
	s.must(s.decide(func(tx Tx) error {
		return s.engine.SiteLost(tx, site, "another account proved that the domain is theirs", tx.Now().Add(7*24*time.Hour))
	}))
}

func (s *shop) closes() { s.t.Helper(); s.must(s.decide(s.engine.AccountDeleted)) }

func (s *shop) reopens() { s.t.Helper(); s.must(s.decide(s.engine.AccountRestored)) }

// bought is a shop with a paid site in the middle of its first month.
func bought(t *testing.T, plan string) *shop {
	t.Helper()
	s := ready(t, "a.test", "b.test")
	s.must(s.change("a.test", plan))
	s.settle()
	s.pass(10 * 24 * time.Hour)
	return s
}

// TestRestored takes away what was paid for, in every way, and gives it back.
func TestRestored(t *testing.T) {
	late := func(s *shop) { s.pass(s.record.GetSeen().GetPeriodEnd().AsTime().Sub(s.clock.Now()) - 4*time.Minute) }
	steps := func(do ...func(*shop)) []func(*shop) { return do }
	remove := func(s *shop) { s.remove("a.test") }
	restore := func(s *shop) { s.restore("a.test") }
	lose := func(s *shop) { s.lose("a.test") }
	closes, reopens := (*shop).closes, (*shop).reopens
	for name, c := range map[string]struct {
		do   []func(*shop)
		next string
		says string
	}{
		"undeleted":              {do: steps(remove, restore)},
		"proven again":           {do: steps(lose, restore)},
		"with the account":       {do: steps(closes, reopens)},
		"deleted":                {do: steps(remove), next: "free"},
		"lost":                   {do: steps(lose), next: "free"},
		"in a deleted account":   {do: steps(closes), next: "free"},
		"the account alone":      {do: steps(remove, closes, reopens), next: "free"},
		"then the site":          {do: steps(remove, closes, reopens, restore)},
		"lost meanwhile":         {do: steps(closes, lose, reopens), next: "free"},
		"proven too early":       {do: steps(lose, closes, restore), next: "free"},
		"proven, then reopened":  {do: steps(lose, closes, restore, reopens)},
		"lost, then deleted":     {do: steps(lose, remove, restore)},
		"too late for the month": {do: steps(remove, late, restore), next: "free", says: "plan business stays cancelled: the month ends in a moment"},
		"a late account":         {do: steps(closes, late, reopens), next: "free", says: "stays cancelled for 1 sites: the month ends"},
		"cancelled before":       {do: steps(func(s *shop) { s.must(s.cancel("a.test")) }, remove, restore), next: "free"},
		"cancelled meanwhile":    {do: steps(lose, func(s *shop) { s.must(s.cancel("a.test")) }, restore), next: "free"},
		"free meanwhile":         {do: steps(lose, func(s *shop) { s.must(s.change("a.test", "free")) }, restore), next: "free"},
		"chosen meanwhile":       {do: steps(lose, func(s *shop) { s.must(s.change("a.test", "pro")) }, restore), next: "pro"},
		"revoked meanwhile":      {do: steps(lose, func(s *shop) { s.must(s.revoke("a.test")) }, restore)},
		"what was to fall":       {do: steps(func(s *shop) { s.must(s.change("a.test", "pro")) }, remove, restore), next: "pro"},
		"lost, chosen, reopened": {do: steps(lose, func(s *shop) { s.must(s.revoke("a.test")) }, closes, reopens)},
		"once":                   {do: steps(remove, restore, func(s *shop) { s.must(s.cancel("a.test")) }, restore), next: "free"},
		"without a subscription": {
			do: steps(remove, func(s *shop) {
				s.till.alive().Status = Canceled
				s.must(s.ask(false))
				s.settle()
			}, restore), next: "free", says: "plan business stays cancelled: the subscription has ended",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := bought(t, "business")
			for _, do := range c.do {
				do(s)
				s.settle()
			}
			s.on("a.test", "business", c.next)
			s.agrees()
			if !strings.Contains(strings.Join(s.audits, "\n"), c.says) {
				t.Errorf("audited %q", s.audits)
			}
			s.pass(32 * 24 * time.Hour)
			paid := c.next
			if paid == "" {
				paid = "business"
			}
			s.on("a.test", paid, "")
		})
	}
}

// TestRestoredTooLate brings a site back when its plan has fallen already, known or not.
func TestRestoredTooLate(t *testing.T) {
	for name, settles := range map[string]bool{"settled": true, "unsettled": false} {
		t.Run(name, func(t *testing.T) {
			s := bought(t, "business")
			s.remove("a.test")
			s.settle()
			s.clock.Advance(30 * 24 * time.Hour)
			if settles {
				s.settle()
			}
			s.restore("a.test")
			s.settle()
			s.on("a.test", "free", "")
			if says := strings.Contains(strings.Join(s.audits, "\n"), "plan business stays cancelled: the period that was paid for is over"); says == settles {
				t.Errorf("audited %q", s.audits)
			}
			if s.till.total() != 20000 {
				t.Errorf("charged %d", s.till.total())
			}
		})
	}
}

// TestLossIsTold: who loses a domain that is paid for gets a letter, and pays no renewal.
func TestLossIsTold(t *testing.T) {
	s := bought(t, "business")
	s.lose("b.test")
	if len(s.mails) > 0 {
		t.Errorf("nothing was paid for: %q", s.mails)
	}
	s.lose("a.test")
	s.settle()
	if len(s.mails) != 1 || !strings.Contains(s.mails[0], "a.test is no longer served from your account") {
		t.Fatalf("%q", s.mails)
	}
	text := s.engine.rules.lossLetter("a.test", "its proof is gone", s.record.GetSites()["a.test"], shopOpens.AddDate(0, 0, 17))
	for _, want := range []string{
		"a.test is no longer served from your account: its proof is gone.", "Its plan, Business, is not renewed. It is paid for until 10 February 2026.",
		"by 27 January 2026, it is served again, and its plan goes on",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the letter lacks %q: %s", want, text)
		}
	}
	s.must(s.cancel("a.test"))
	if text := s.engine.rules.lossLetter("a.test", "", s.record.GetSites()["a.test"], shopOpens); strings.Contains(text, "goes on") {
		t.Errorf("it was cancelled: %s", text)
	}
	s.pass(32 * 24 * time.Hour)
	if s.till.total() != 20000 || s.till.alive() != nil {
		t.Errorf("charged %d", s.till.total())
	}
}

// TestLossGivesUpPayment: a payment for a domain that is lost is not made any more, and one
// that was made nevertheless is not renewed.
func TestLossGivesUpPayment(t *testing.T) {
	for name, confirms := range map[string]bool{"in time": false, "too late": true} {
		t.Run(name, func(t *testing.T) {
			s := bought(t, "pro")
			s.till.card = "action"
			s.must(s.change("a.test", "business"))
			s.settle()
			if confirms {
				s.till.confirm(true)
			}
			s.lose("a.test")
			s.settle()
			plan := "pro"
			if confirms {
				plan = "business"
			}
			s.on("a.test", plan, "free")
			s.restore("a.test")
			s.settle()
			next := "pro"
			if !confirms {
				next = ""
			}
			s.on("a.test", plan, next)
			s.agrees()
		})
	}
}

// TestLostButWanted: who chooses a dearer plan for a domain that they lost has it.
func TestLostButWanted(t *testing.T) {
	s := bought(t, "pro")
	s.lose("a.test")
	s.must(s.change("a.test", "business"))
	s.settle()
	s.on("a.test", "business", "")
	s.agrees()
}

// TestGivenUpIsNoFailure: a payment that the customer gives up did not fail, whatever its
// invoice says.
func TestGivenUpIsNoFailure(t *testing.T) {
	s := bought(t, "pro")
	s.till.card = "action"
	s.must(s.change("a.test", "business"))
	s.settle()
	s.till.invoice(s.till.alive().Latest.ID).Failure = "The payment waits for your confirmation."
	s.must(s.cancel("a.test"))
	s.settle()
	if sub := s.on("a.test", "pro", ""); sub.GetFailure() != "" {
		t.Errorf("it failed: %s", sub.GetFailure())
	}
}
