package payments

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/compile"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/entitle"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// Entitle implements [billing.Tx].
func (t *transaction) Entitle(domain, plan, why string) error {
	key := t.tenant.Site(domain)
	rec := &storev1.SiteRecord{}
	ok, err := get(t.tx, key, rec)
	if err != nil || !ok {
		return err
	}
	plans := t.payments.cfg.Plans
	was := SiteState(rec, plans.Cheapest()).Plan
	if was == plan {
		return nil
	}
	size := 2 * proto.Size(rec)
	if t.entitled > 0 && (t.entitled >= maxEntitled || t.entitledBytes+size > maxEntitledBytes) {
		return billing.ErrFull
	}
	t.entitled, t.entitledBytes = t.entitled+1, t.entitledBytes+size
	if rec.GetConfig() == nil {
		rec.Config = &breakwaterv1.SiteConfig{}
	}
	sitestate.CompleteConfig(rec.GetConfig())
	fitted, err := t.fit(rec, plan)
	if err != nil {
		return err
	}
	fields := append(sitestate.ChangedFields(rec.GetConfig(), fitted.Config), "plan")
	rec.Config, rec.Parked, rec.Site.Plan = fitted.Config, fitted.Parked, plan
	if site := rec.GetSite(); site.GetState() == breakwaterv1.Site_PENDING && plan == plans.Cheapest() && site.GetExpireTime() == nil {
		site.ExpireTime = timestamppb.New(t.tx.Now().Add(t.payments.cfg.Pending))
	}
	return sitestate.CommitVersion(t.tx, rec, sitestate.Change{
		PrevModRevision: t.tx.RevisionOf(key), Cause: "ChangePlan", Principal: t.Principal(), ChangedFields: fields,
	}, int(plans.Entitlements(plan).GetVersionsKept()), &breakwaterv1.AuditEvent{
		Summary: summary(was, plan, why, fitted.TurnsOff),
	})
}

func summary(was, plan, why string, off []*breakwaterv1.TurnOff) string {
	s := fmt.Sprintf("plan changed from %s to %s", was, plan)
	if why != "" {
		s += ": " + why
	}
	if len(off) > 0 {
		s += fmt.Sprintf("; %d things are switched off", len(off))
	}
	return s
}

// fit makes the site's configuration what the plan allows. What would come back is left
// aside where the site would not compile with it: owners may have used its room meanwhile.
func (t *transaction) fit(rec *storev1.SiteRecord, plan string) (entitle.Result, error) {
	apps, err := t.payments.cfg.Apps.Catalog(t.tx.Context())
	if err != nil {
		return entitle.Result{}, err
	}
	rules := entitle.Rules{Plans: t.payments.cfg.Plans, Apps: apps}
	in := entitle.Input{Config: rec.GetConfig(), Parked: rec.GetParked(), Plan: plan, Now: t.tx.Now()}
	fitted := rules.Fit(in)
	if rec.GetParked() == nil {
		return fitted, nil
	}
	compiles, err := t.compiles(rec, fitted.Config)
	if err != nil || compiles {
		return fitted, err
	}
	in.Hold = true
	return rules.Fit(in), nil
}

// compiles says whether a site would compile with a configuration. A site that is not
// served yet is judged as if it were.
func (t *transaction) compiles(rec *storev1.SiteRecord, config *breakwaterv1.SiteConfig) (bool, error) {
	limits := &storev1.LimitsRecord{}
	if _, err := get(t.tx, resource.LimitsKey, limits); err != nil {
		return false, err
	}
	as := &storev1.SiteRecord{Site: proto.CloneOf(rec.GetSite()), Config: config, Purges: rec.GetPurges()}
	as.Site.State = breakwaterv1.Site_ACTIVE
	_, err := compile.Site(compile.SiteInput{Record: as, Limits: limits.GetLimits()})
	return err == nil, nil // Why it does not is of no interest here.
}
