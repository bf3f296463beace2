package timelines

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/billing"
)

// errCrashed is what a process sees that has died: nothing it does has an effect any more.
var errCrashed = errors.New("the process has died")

// store keeps accounts, like the registry: every transaction compares what it read.
type store struct {
	clock    clockwork.Clock
	accounts map[string]*stored
	// step is asked at each step whether the process dies there.
	step func(where string) error
	// meanwhile runs between the decision and the comparison of the next transaction.
	meanwhile func()
	// entitled is told of each site whose entitlements changed.
	entitled func(account, domain, from, to string)
	log      func(format string, args ...any)
}

type stored struct {
	version int
	record  []byte
	sites   map[string]billing.SiteState
	// work says that the outbox has an item.
	work bool
	// writtenOff is when the debt was last said to be written off.
	writtenOff time.Time
	// unsure says that whether a credit was given is for a person to find out: its key was
	// forgotten before its answer came, and the balance has changed since.
	unsure bool
}

func (s *store) read(account string) (*storev1.BillingRecord, *stored) {
	a := s.accounts[account]
	if a == nil {
		a = &stored{sites: map[string]billing.SiteState{}}
		s.accounts[account] = a
	}
	rec := &storev1.BillingRecord{}
	if err := proto.Unmarshal(a.record, rec); err != nil {
		s.log("the record of %s: %v", account, err)
	}
	rec.Account = account
	return rec, a
}

func (s *store) Update(_ context.Context, account string, fn func(billing.Tx) error) error {
	for {
		if err := s.step("before a transaction"); err != nil {
			return err
		}
		rec, a := s.read(account)
		version := a.version
		t := &tx{store: s, record: rec, sites: maps.Clone(a.sites)}
		if err := fn(t); err != nil {
			return err
		}
		if f := s.meanwhile; f != nil {
			s.meanwhile = nil
			f()
		}
		if a.version != version {
			continue // Somebody was faster: decide anew.
		}
		text, err := proto.Marshal(rec)
		if err != nil {
			return err
		}
		before := a.sites
		a.version++
		a.record, a.sites = text, t.sites
		a.work = a.work || t.work
		for _, line := range t.audits {
			s.log("    %s: %s", account, line)
			if strings.Contains(line, "written off") {
				a.writtenOff = s.clock.Now()
			}
			a.unsure = a.unsure || strings.Contains(line, "a person must look")
		}
		for domain, now := range t.sites {
			if was, ok := before[domain]; ok && was.Plan != now.Plan {
				s.entitled(account, domain, was.Plan, now.Plan)
			}
		}
		return s.step("after a transaction")
	}
}

func (s *store) Record(_ context.Context, account string) (*storev1.BillingRecord, error) {
	if err := s.step("before a read"); err != nil {
		return nil, err
	}
	rec, _ := s.read(account)
	return rec, nil
}

func (s *store) Accounts(_ context.Context, after string, limit int) ([]string, error) {
	names := slices.Sorted(maps.Keys(s.accounts))
	names = slices.DeleteFunc(names, func(name string) bool { return name <= after })
	return names[:min(limit, len(names))], nil
}

type tx struct {
	store  *store
	record *storev1.BillingRecord
	sites  map[string]billing.SiteState
	work   bool
	audits []string
}

func (t *tx) Now() time.Time                   { return t.store.clock.Now() }
func (t *tx) Principal() string                { return "ann@example.com" }
func (t *tx) Record() *storev1.BillingRecord   { return t.record }
func (t *tx) Work()                            { t.work = true }
func (t *tx) Contact() (string, string, error) { return "ann@example.com", "Ann", nil }
func (t *tx) Mail(_, _, _ string) error        { return nil }
func (t *tx) Audit(resource, summary string)   { t.audits = append(t.audits, resource+": "+summary) }

func (t *tx) Site(domain string) (billing.SiteState, bool, error) {
	s, ok := t.sites[domain]
	return s, ok, nil
}

func (t *tx) Entitle(domain, plan, _ string) error {
	if s, ok := t.sites[domain]; ok {
		s.Plan = plan
		t.sites[domain] = s
	}
	return nil
}
