package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// Store is what is needed of the registry.
type Store interface {
	Get(ctx context.Context, key string) (registry.KV, error)
	List(ctx context.Context, req registry.ListRequest) (registry.ListResponse, error)
	Commit(ctx context.Context, txn registry.Txn) (int64, error)
}

// View is the newest state at hand; an old one only delays.
type View interface {
	Get(key string) (registry.KV, bool)
	List(prefix, after string, limit int) (kvs []registry.KV, more bool)
}

// Config is what a Purger needs.
type Config struct {
	Store  Store
	View   func() View
	Logger *slog.Logger
	// NameServersRetired is how long the name servers of a purged site are not assigned for
	// its domain again.
	NameServersRetired time.Duration
}

// Purger removes accounts. It is safe for concurrent use.
type Purger struct{ cfg Config }

// New returns a Purger.
func New(cfg Config) *Purger { return &Purger{cfg: cfg} }

// batch bounds the keys of one transaction.
const batch = 500

// look bounds the accounts that are read from the view at a time.
const look = 1000

// PurgeDue removes every account whose purge time is not after now, and says how many that
// were. fence is compared in every transaction, where it names a key. An account that can't
// be removed now is logged and tried again by the next call.
func (p *Purger) PurgeDue(ctx context.Context, fence registry.Compare, now time.Time) (purged int, err error) {
	view, cursor := p.cfg.View(), ""
	for {
		kvs, more := view.List(resource.AccountIndexPrefix, cursor, look)
		for _, kv := range kvs {
			cursor = kv.Key
			tenant := resource.ForAccount(strings.TrimPrefix(kv.Key, resource.AccountIndexPrefix))
			record, ok := view.Get(tenant.Record())
			if !ok || !due(record, now) {
				continue
			}
			if failed := p.purge(ctx, fence, tenant, now); failed != nil {
				if ctx.Err() != nil {
					return purged, ctx.Err()
				}
				p.cfg.Logger.Warn("a deleted account waits to be purged", slog.String("account", tenant.Account()), slog.Any("cause", failed))
				err = errors.Join(err, failed)
				continue
			}
			purged++
		}
		if !more {
			return purged, err
		}
	}
}

func due(record registry.KV, now time.Time) bool {
	var rec storev1.AccountRecord
	if proto.Unmarshal(record.Value, &rec) != nil {
		return false
	}
	at := rec.GetAccount().GetPurgeTime()
	return rec.GetAccount().GetDeleteTime() != nil && at != nil && !now.Before(at.AsTime())
}

// uidOf is what tells an account from another one of the same ID.
func uidOf(record registry.KV) string {
	var rec storev1.AccountRecord
	if proto.Unmarshal(record.Value, &rec) != nil || rec.GetAccount().GetUid() == "" {
		return fmt.Sprint(record.CreateRevision)
	}
	return rec.GetAccount().GetUid()
}

// purging is one account's purge.
type purging struct {
	*Purger
	tenant resource.Tenant
	now    time.Time
	// guard is compared in every transaction.
	guard []registry.Compare
}

func (p *Purger) purge(ctx context.Context, fence registry.Compare, tenant resource.Tenant, now time.Time) error {
	record, err := p.cfg.Store.Get(ctx, tenant.Record())
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if !due(record, now) {
		return nil
	}
	a := &purging{Purger: p, tenant: tenant, now: now, guard: []registry.Compare{
		{Key: tenant.Record(), ModRevision: record.ModRevision},
	}}
	if fence.Key != "" {
		a.guard = append(a.guard, fence)
	}
	if err := a.sites(ctx); err != nil {
		return err
	}
	if err := a.archive(ctx, uidOf(record)); err != nil {
		return err
	}
	// What indexes point at goes with them, before all the rest.
	for _, step := range []struct {
		prefix string
		index  func(kv registry.KV) (string, error)
	}{
		{tenant.Members(), a.memberIndex},
		{tenant.Tokens(), a.tokenIndex},
		{tenant.Billing(), a.customerIndex},
	} {
		if err := a.sweep(ctx, step.prefix, step.index); err != nil {
			return err
		}
	}
	for _, prefix := range tenant.All() {
		if err := a.sweep(ctx, prefix, nil); err != nil {
			return err
		}
	}
	return a.commit(ctx, nil, registry.Delete(tenant.Record()), registry.Delete(resource.AccountIndex(tenant.Account())),
		registry.Delete(resource.BillingIndex(tenant.Account())))
}

func (a *purging) commit(ctx context.Context, also []registry.Compare, ops ...registry.Op) error {
	_, err := a.cfg.Store.Commit(ctx, registry.Txn{If: append(also, a.guard...), Then: ops})
	if err != nil {
		return fmt.Errorf("retention: %s: %w", resource.AccountName(a.tenant.Account()), err)
	}
	return nil
}

// sites removes the sites one by one, each with its claim on the domain.
func (a *purging) sites(ctx context.Context) error {
	for {
		page, err := a.cfg.Store.List(ctx, registry.ListRequest{Prefix: a.tenant.Sites(), Limit: batch})
		if err != nil {
			return err
		}
		for _, kv := range page.KVs {
			if err := a.site(ctx, strings.TrimPrefix(kv.Key, a.tenant.Sites())); err != nil {
				return err
			}
		}
		if !page.More {
			return nil
		}
	}
}

func (a *purging) site(ctx context.Context, domain string) error {
	key := resource.DomainIndex(domain)
	kv, err := a.cfg.Store.Get(ctx, key)
	if errors.Is(err, registry.ErrNotFound) {
		return a.commit(ctx, nil, registry.Delete(a.tenant.Site(domain)))
	}
	if err != nil {
		return err
	}
	var rec storev1.DomainRecord
	if err := proto.Unmarshal(kv.Value, &rec); err != nil {
		return fmt.Errorf("retention: %s: %w", key, err)
	}
	release := registry.Delete(key)
	if !sitestate.Release(&rec, a.tenant.Account(), a.now, a.now.Add(a.cfg.NameServersRetired)) {
		value, err := proto.MarshalOptions{Deterministic: true}.Marshal(&rec)
		if err != nil {
			return fmt.Errorf("retention: %s: %w", key, err)
		}
		release = registry.Put(key, value)
	}
	return a.commit(ctx, []registry.Compare{{Key: key, ModRevision: kv.ModRevision}}, release, registry.Delete(a.tenant.Site(domain)))
}

func (a *purging) memberIndex(kv registry.KV) (string, error) {
	var rec storev1.MemberRecord
	if err := proto.Unmarshal(kv.Value, &rec); err != nil {
		return "", fmt.Errorf("retention: %s: %w", kv.Key, err)
	}
	return resource.EmailIndex(rec.GetMember().GetEmail(), a.tenant.Account()), nil
}

func (a *purging) tokenIndex(kv registry.KV) (string, error) {
	return resource.TokenIndex(strings.TrimPrefix(kv.Key, a.tenant.Tokens())), nil
}

// archive puts the books of the built-in payment provider, which outlive the account, where
// an account of the same ID does not find them.
func (a *purging) archive(ctx context.Context, uid string) error {
	kv, err := a.cfg.Store.Get(ctx, a.tenant.Billing())
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var rec storev1.BillingRecord
	if err := proto.Unmarshal(kv.Value, &rec); err != nil {
		return fmt.Errorf("retention: %s: %w", kv.Key, err)
	}
	for rec.GetCustomer() != "" {
		page, err := a.cfg.Store.List(ctx, registry.ListRequest{Prefix: resource.PaymentLedgers(rec.GetCustomer()), Limit: batch})
		if err != nil || len(page.KVs) == 0 {
			return err
		}
		var ops []registry.Op
		for _, kv := range page.KVs {
			ops = append(ops, registry.Put(resource.PaymentArchive(uid, kv.Key), kv.Value), registry.Delete(kv.Key))
		}
		if err := a.commit(ctx, nil, ops...); err != nil {
			return err
		}
	}
	return nil
}

func (a *purging) customerIndex(kv registry.KV) (string, error) {
	var rec storev1.BillingRecord
	if err := proto.Unmarshal(kv.Value, &rec); err != nil {
		return "", fmt.Errorf("retention: %s: %w", kv.Key, err)
	}
	return resource.CustomerIndex(rec.GetCustomer()), nil
}

// sweep removes everything below a prefix but the account's record, each key with the index
// that points at it.
func (a *purging) sweep(ctx context.Context, prefix string, index func(registry.KV) (string, error)) error {
	for {
		page, err := a.cfg.Store.List(ctx, registry.ListRequest{Prefix: prefix, Limit: batch})
		if err != nil {
			return err
		}
		var ops []registry.Op
		for _, kv := range page.KVs {
			if kv.Key == a.tenant.Record() {
				continue
			}
			ops = append(ops, registry.Delete(kv.Key))
			if index == nil {
				continue
			}
			at, err := index(kv)
			if err != nil {
				return err
			}
			ops = append(ops, registry.Delete(at))
		}
		if len(ops) == 0 {
			return nil
		}
		if err := a.commit(ctx, nil, ops...); err != nil {
			return err
		}
	}
}
