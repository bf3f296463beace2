package payments

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/catalog"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/entitle"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// Plans answers what plans allow. Package billing implements it.
type Plans interface {
	entitle.Plans
	// Cheapest is the ID of the plan that costs nothing.
	Cheapest() string
}

// Apps answers which apps sites may have. The service's offer implements it.
type Apps interface {
	Catalog(ctx context.Context) (*catalog.Catalog, error)
}

// Config is what Payments need.
type Config struct {
	Writer *change.Writer
	Source change.Source
	Plans  Plans
	Apps   Apps
	// Pending is how long a site that nobody pays for waits for its proof.
	Pending time.Duration
}

// Payments keep the billing records of all accounts. They are billing's store.
type Payments struct{ cfg Config }

var _ billing.Store = (*Payments)(nil)

// New makes Payments.
func New(cfg Config) *Payments { return &Payments{cfg: cfg} }

// Within runs a decision as part of a change, and stores with it what was decided. The
// change belongs to the account.
func (p *Payments) Within(tx *change.Tx, account string, decide func(billing.Tx) error) error {
	return p.within(tx, account, tx.Audit, decide)
}

// within is Within, also for a change of another account.
func (p *Payments) within(tx *change.Tx, account string, audit func(*breakwaterv1.AuditEvent), decide func(billing.Tx) error) error {
	t := &transaction{payments: p, tx: tx, tenant: resource.ForAccount(account), audit: audit}
	if err := t.open(); err != nil {
		return err
	}
	if err := decide(t); err != nil {
		return err
	}
	return t.store()
}

// Update implements [billing.Store]. The change is the system's own, whoever's call it is
// made in.
func (p *Payments) Update(ctx context.Context, account string, fn func(billing.Tx) error) error {
	ctx = call.With(ctx, call.Info{FullMethod: systemMethod})
	_, err := change.Do(ctx, p.cfg.Writer, resource.ForAccount(account), func(tx *change.Tx) (*storev1.BillingRecord, error) {
		return nil, p.Within(tx, account, fn)
	})
	return err
}

// systemMethod is how the audit log names what payments do by themselves.
const systemMethod = "SettleBilling"

// Record implements [billing.Store].
func (p *Payments) Record(ctx context.Context, account string) (*storev1.BillingRecord, error) {
	view, err := p.cfg.Source.Read(ctx)
	if err != nil {
		return nil, err
	}
	return RecordFrom(view, account)
}

// RecordFrom reads an account's record from a view; an empty one where there is none.
func RecordFrom(view change.View, account string) (*storev1.BillingRecord, error) {
	rec := &storev1.BillingRecord{}
	if kv, ok := view.Get(resource.ForAccount(account).Billing()); ok {
		if err := proto.Unmarshal(kv.Value, rec); err != nil {
			return nil, fmt.Errorf("payments: record of %s: %w", account, err)
		}
	}
	rec.Account = account
	return rec, nil
}

// Accounts implements [billing.Store].
func (p *Payments) Accounts(ctx context.Context, after string, limit int) ([]string, error) {
	view, err := p.cfg.Source.Read(ctx)
	if err != nil {
		return nil, err
	}
	from := ""
	if after != "" {
		from = resource.BillingIndex(after)
	}
	kvs, _ := view.List(resource.BillingIndexPrefix, from, limit)
	out := make([]string, len(kvs))
	for i, kv := range kvs {
		out[i] = strings.TrimPrefix(kv.Key, resource.BillingIndexPrefix)
	}
	return out, nil
}

// Pays says whether an account has a billing record, by what is at hand.
func (p *Payments) Pays(account string) bool {
	_, ok := p.cfg.Source.Cached().Get(resource.ForAccount(account).Billing())
	return ok
}

// account finds the account of a customer of the provider, or nothing.
func (p *Payments) account(ctx context.Context, customer string) (string, error) {
	view, err := p.cfg.Source.Read(ctx)
	if err != nil {
		return "", err
	}
	kv, ok := view.Get(resource.CustomerIndex(customer))
	if !ok {
		return "", nil
	}
	return string(kv.Value), nil
}

// get reads a value that may be absent.
func get(tx *change.Tx, key string, m proto.Message) (bool, error) {
	err := tx.Get(key, m)
	if errors.Is(err, registry.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
