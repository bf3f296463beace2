package activation

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/domain"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/onboard"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// check looks for the proof of a site and stores what that means.
func (w *Worker) check(ctx context.Context, seen *storev1.SiteRecord) error {
	result := w.prove(ctx, seen.GetSite())
	if ctx.Err() != nil {
		return ctx.Err() // What an interrupted check found means nothing.
	}
	misses := w.count(sitestate.Tenant(seen).Site(seen.GetSite().GetDomain()), seen.GetSite().GetState(), result)
	return w.change(ctx, seen, sitestate.DueCheck, func(e *edit) error {
		check := e.rec.GetSite().GetActivationCheck()
		check.LastCheckTime = timestamppb.New(e.tx.Now())
		check.Result, check.Detail = string(result.Kind), result.Reason
		check.Attempts++
		switch {
		case result.Kind == onboard.OK:
			return e.proven()
		case e.rec.GetSite().GetState() == breakwaterv1.Site_ACTIVE:
			return e.missing(result, misses)
		}
		e.next(w.cfg.Schedule.NextCheck(int(check.GetAttempts()), w.cfg.Rand))
		return sitestate.CommitTouch(e.tx, e.rec, e.revision, nil)
	})
}

func (w *Worker) prove(ctx context.Context, site *breakwaterv1.Site) onboard.Result {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.CheckLimit)
	defer cancel()
	v := site.GetVerification()
	switch {
	case site.GetSetup() == breakwaterv1.Site_FULL:
		return w.cfg.Prover.CheckDelegation(ctx, site.GetDomain(), site.GetNameServers())
	case v.GetType() == "CNAME":
		return w.cfg.Prover.CheckCNAME(ctx, v.GetName(), v.GetValue())
	default:
		return w.cfg.Prover.CheckTXT(ctx, v.GetName(), v.GetValue())
	}
}

// count keeps and returns how many checks in a row found for certain that an active site's
// proof is gone.
func (w *Worker) count(key string, state breakwaterv1.Site_State, result onboard.Result) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case state != breakwaterv1.Site_ACTIVE || result.Kind == onboard.OK:
		delete(w.misses, key)
	case !result.Temporary:
		w.misses[key]++
	}
	return w.misses[key]
}

// next plans the next check.
func (e *edit) next(wait time.Duration) {
	e.rec.GetSite().GetActivationCheck().NextCheckTime = timestamppb.New(e.tx.Now().Add(wait))
}

// missing is for an active site whose proof was not found.
func (e *edit) missing(result onboard.Result, misses int) error {
	switch {
	case result.Temporary:
		e.next(e.w.cfg.Schedule.NextActiveCheck(e.w.cfg.Rand))
		return sitestate.CommitTouch(e.tx, e.rec, e.revision, nil)
	case misses < e.w.cfg.LoseAfter:
		e.next(e.w.cfg.Schedule.NextCheck(misses, e.w.cfg.Rand))
		return sitestate.CommitTouch(e.tx, e.rec, e.revision, nil)
	}
	index, key, err := e.index()
	if err != nil {
		return err
	}
	if index.GetActiveAccount() == sitestate.Account(e.rec) {
		index.ActiveAccount = ""
		if err := e.tx.Put(key, index); err != nil {
			return err
		}
	}
	if err := sitestate.Step(e.rec, sitestate.Lose, result.Reason, e.free(), e.tx.Now(), e.w.cfg.Times); err != nil {
		return err
	}
	return e.lost(e.tx)
}

// lost stores a site that moved, and cancels what is paid for it: its account has the domain
// no more. to is the change, as its account's.
func (e *edit) lost(to sitestate.Tx) error {
	e.next(e.w.cfg.Schedule.NextCheck(1, e.w.cfg.Rand))
	const method = "MoveSite"
	err := e.version(to, method, "site moved: "+e.rec.GetSite().GetStateReason(), "state")
	if err != nil || e.w.cfg.Billing == nil {
		return err
	}
	return e.w.cfg.Billing.SiteLost(e.tx, e.rec, func(event *breakwaterv1.AuditEvent) {
		event.Method = method
		to.Audit(event)
	})
}

func (e *edit) index() (*storev1.DomainRecord, string, error) {
	index := &storev1.DomainRecord{}
	key := resource.DomainIndex(e.rec.GetSite().GetDomain())
	if err := e.tx.Get(key, index); err != nil && !errors.Is(err, registry.ErrNotFound) {
		return nil, key, err
	}
	return index, key, nil
}

// proven is for a site whose proof was found: it is active from now on, unless it is
// already or may not be.
func (e *edit) proven() error {
	site, account := e.rec.GetSite(), sitestate.Account(e.rec)
	active := site.GetState() == breakwaterv1.Site_ACTIVE
	if !active {
		reason, err := e.obstacle()
		if err != nil {
			return err
		}
		if reason != "" {
			site.StateReason = reason
			e.next(e.w.cfg.Schedule.NextCheck(int(site.GetActivationCheck().GetAttempts()), e.w.cfg.Rand))
			return sitestate.CommitTouch(e.tx, e.rec, e.revision, nil)
		}
	}
	e.next(e.w.cfg.Schedule.NextActiveCheck(e.w.cfg.Rand))
	if active {
		return sitestate.CommitTouch(e.tx, e.rec, e.revision, nil)
	}
	if suspended, err := e.suspended(); err != nil || suspended {
		return err
	}
	index, key, err := e.index()
	if err != nil {
		return err
	}
	if other := index.GetActiveAccount(); other != "" && other != account {
		if err := e.oust(other); err != nil {
			return err
		}
	}
	index.ActiveAccount = account
	if err := e.tx.Put(key, index); err != nil {
		return err
	}
	if err := e.announce(); err != nil {
		return err
	}
	if err := sitestate.Step(e.rec, sitestate.Prove, "", e.free(), e.tx.Now(), e.w.cfg.Times); err != nil {
		return err
	}
	if err := e.version(e.tx, "ActivateSite", "site activated", "state"); err != nil || e.w.cfg.Billing == nil {
		return err
	}
	return e.w.cfg.Billing.SiteRestored(e.tx, account, site.GetDomain())
}

// obstacle says why a site whose proof was found does not become active, or nothing.
func (e *edit) obstacle() (string, error) {
	site, account := e.rec.GetSite(), sitestate.Account(e.rec)
	d, err := domain.Parse(site.GetDomain())
	if err != nil {
		return "", err
	}
	related, err := sitestate.RelatedActive(e.tx, d, account)
	if err != nil {
		return "", err
	}
	if related != "" {
		return "its proof was found, but another account serves a name above or below it", nil
	}
	if site.GetState() != breakwaterv1.Site_MOVED || site.GetSetup() == breakwaterv1.Site_FULL {
		return "", nil
	}
	index, _, err := e.index()
	if err != nil {
		return "", err
	}
	moved := site.GetPurgeTime().AsTime().Add(-e.w.cfg.Times.Moved)
	asked := e.rec.GetRecheckTime() != nil && e.rec.GetRecheckTime().AsTime().After(moved)
	if other := index.GetActiveAccount(); other != "" && other != account && !asked {
		return "another account proved the domain later; ask for a check to take it back", nil
	}
	return "", nil
}

// announce writes the domains above that somebody has, as they are. A list of what is below
// a domain can miss what appears at the same time; a compare of the domain itself can't.
func (e *edit) announce() error {
	d, err := domain.Parse(e.rec.GetSite().GetDomain())
	if err != nil {
		return err
	}
	for above := range d.Ancestors() {
		index, key := &storev1.DomainRecord{}, resource.DomainIndex(above.String())
		err := e.tx.Get(key, index)
		if errors.Is(err, registry.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if err := e.tx.Put(key, index); err != nil {
			return err
		}
	}
	return nil
}

// oust moves the active site of another account, in the same change.
func (e *edit) oust(account string) error {
	tenant := resource.ForAccount(account)
	old, err := e.w.open(e.tx, tenant, e.rec.GetSite().GetDomain())
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if old.rec.GetSite().GetState() != breakwaterv1.Site_ACTIVE {
		return nil
	}
	const reason = "another account proved that the domain is theirs"
	if err := sitestate.Step(old.rec, sitestate.Lose, reason, old.free(), e.tx.Now(), e.w.cfg.Times); err != nil {
		return err
	}
	return old.lost(otherTx{e.tx, e.w, tenant})
}
