package activation

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// work does the one thing that is due first of a site.
func (w *Worker) work(ctx context.Context, key string) error {
	err := w.workOn(ctx, key)
	if errors.Is(err, errNotDue) {
		return nil // Somebody was faster, or changed it.
	}
	return err
}

func (w *Worker) workOn(ctx context.Context, key string) error {
	view, err := w.cfg.Feed.Read(ctx)
	if err != nil {
		return err
	}
	kv, ok := view.Get(key)
	if !ok {
		return nil
	}
	rec := &storev1.SiteRecord{}
	if err := proto.Unmarshal(kv.Value, rec); err != nil {
		return fmt.Errorf("activation: %s: %w", key, err)
	}
	what, when := sitestate.NextDue(rec)
	if what == sitestate.DueNothing || w.cfg.Clock.Now().Before(when) {
		return nil
	}
	switch what {
	case sitestate.DuePurge:
		return w.purge(ctx, rec)
	case sitestate.DueGiveUp:
		return w.giveUp(ctx, rec)
	case sitestate.DueExpiry:
		return w.expire(ctx, rec)
	case sitestate.DueCheck:
		return w.check(ctx, rec)
	case sitestate.DueNothing:
	}
	return nil
}

// errNotDue says that what was due is not any more, by what is stored now.
var errNotDue = errors.New("activation: not due any more")

// edit is one change of one site.
type edit struct {
	w        *Worker
	tx       *change.Tx
	rec      *storev1.SiteRecord
	before   *breakwaterv1.SiteConfig
	revision int64
}

// change runs one change of the site that seen is a state of, if what was due still is.
func (w *Worker) change(ctx context.Context, seen *storev1.SiteRecord, due sitestate.Due, fn func(e *edit) error) error {
	tenant, domain := sitestate.Tenant(seen), seen.GetSite().GetDomain()
	_, err := change.Do(ctx, w.cfg.Writer, tenant, func(tx *change.Tx) (*storev1.SiteRecord, error) {
		e, err := w.open(tx, tenant, domain)
		if errors.Is(err, registry.ErrNotFound) {
			return nil, errNotDue
		}
		if err != nil {
			return nil, err
		}
		what, when := sitestate.NextDue(e.rec)
		if e.rec.GetSite().GetUid() != seen.GetSite().GetUid() || what != due || tx.Now().Before(when) {
			return nil, errNotDue
		}
		return e.rec, fn(e)
	})
	return err
}

func (w *Worker) open(tx *change.Tx, tenant resource.Tenant, domain string) (*edit, error) {
	e := &edit{w: w, tx: tx, rec: &storev1.SiteRecord{}}
	key := tenant.Site(domain)
	if err := tx.Get(key, e.rec); err != nil {
		return nil, err
	}
	e.revision = tx.RevisionOf(key)
	if e.rec.GetConfig() == nil {
		e.rec.Config = &breakwaterv1.SiteConfig{}
	}
	e.before, _ = proto.Clone(e.rec.GetConfig()).(*breakwaterv1.SiteConfig)
	return e, nil
}

// free says that nobody pays for the site.
func (e *edit) free() bool {
	plan := e.rec.GetSite().GetPlan()
	return plan == "" || plan == e.w.cfg.Plans.Cheapest()
}

// version stores the site as a new version that the system made.
func (e *edit) version(to sitestate.Tx, cause, summary string, fields ...string) error {
	keep := int(e.w.cfg.Plans.Entitlements(e.rec.GetSite().GetPlan()).GetVersionsKept())
	return sitestate.CommitVersion(to, e.rec, sitestate.Change{
		PrevModRevision: e.revision, Cause: cause, Principal: systemPrincipal, ChangedFields: fields,
	}, keep, &breakwaterv1.AuditEvent{Method: cause, Summary: summary})
}

const systemPrincipal = "system"

// giveUp ends the waiting of a site; it is purged next.
func (w *Worker) giveUp(ctx context.Context, seen *storev1.SiteRecord) error {
	return w.change(ctx, seen, sitestate.DueGiveUp, func(e *edit) error {
		if e.rec.GetSite().GetState() == breakwaterv1.Site_PENDING && !e.free() {
			e.rec.GetSite().ExpireTime = nil // It was paid for since: it waits for as long as it takes.
			return sitestate.CommitTouch(e.tx, e.rec, e.revision, nil)
		}
		reason := "its proof was not found in time"
		if e.rec.GetSite().GetState() == breakwaterv1.Site_MOVED {
			reason = "its proof did not return in time"
		}
		if err := sitestate.Step(e.rec, sitestate.GiveUp, reason, e.free(), e.tx.Now(), w.cfg.Times); err != nil {
			return err
		}
		if err := e.version(e.tx, "GiveUpSite", "site given up: "+reason, "state"); err != nil || w.cfg.Billing == nil {
			return err
		}
		return w.cfg.Billing.SiteDeleted(e.tx, sitestate.Account(e.rec), e.rec.GetSite().GetDomain())
	})
}

// expire ends what has ended in the configuration.
func (w *Worker) expire(ctx context.Context, seen *storev1.SiteRecord) error {
	return w.change(ctx, seen, sitestate.DueExpiry, func(e *edit) error {
		if !sitestate.Expire(e.rec.GetConfig(), e.tx.Now()) {
			return errNotDue
		}
		fields := sitestate.ChangedFields(e.before, e.rec.GetConfig())
		return e.version(e.tx, "Expire", "ended by itself", fields...)
	})
}
