package service

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/catalog"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/compile"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/entitle"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/masks"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// applySettings changes the settings as an update under a mask asks.
func (e *siteEdit) applySettings(in *breakwaterv1.Settings, mask *fieldmaskpb.FieldMask, times sitestate.Times) error {
	s := e.rec.GetConfig().GetSettings()
	was := s.GetDevelopmentMode()
	if in == nil {
		in = &breakwaterv1.Settings{}
	}
	if _, err := masks.Apply(s, in, mask, masks.Options{}); err != nil {
		return err
	}
	sitestate.CompleteSettings(s)
	switch {
	case !s.GetDevelopmentMode():
		s.DevelopmentModeExpireTime = nil
	case !was:
		s.DevelopmentModeExpireTime = timestamppb.New(e.tx.Now().Add(times.DevelopmentMode))
	}
	return nil
}

// applyThreats changes the threat settings as an update under a mask asks.
func (e *siteEdit) applyThreats(in *breakwaterv1.ThreatSettings, mask *fieldmaskpb.FieldMask) error {
	if in == nil {
		in = &breakwaterv1.ThreatSettings{}
	}
	t := e.rec.GetConfig().GetThreatSettings()
	if _, err := masks.Apply(t, in, mask, masks.Options{}); err != nil {
		return err
	}
	sitestate.CompleteThreatSettings(t)
	if parked := e.rec.GetParked(); parked.GetBotControl() != 0 && namesBots(in, mask) {
		parked.BotControl, e.unparked = 0, true // The owner decided: nothing comes back by itself.
	}
	return nil
}

// namesBots says whether an update under a mask is about the bot control, changed or not.
func namesBots(in *breakwaterv1.ThreatSettings, mask *fieldmaskpb.FieldMask) bool {
	if mask == nil {
		return in.GetBotControl() != breakwaterv1.ThreatSettings_Control_MODE_UNSPECIFIED
	}
	return slices.Contains(mask.GetPaths(), "*") || slices.Contains(mask.GetPaths(), "bot_control")
}

// siteJudge judges a configuration that is about to be stored. Only what a change touched
// is judged, so that a rule that came later does not keep a customer from another change.
type siteJudge struct {
	edit *siteEdit
	apps *catalog.Catalog
	// settings and threats are the prefixes of the fields in errors, and app that of one
	// app's fields.
	settings, threats string
	app               func(id string) string
	// all judges everything, touched or not.
	all bool
}

// judge returns the first kind of problem that there is, with all of that kind: what has
// the wrong form, what is impossible, what the plan does not allow, what can't go together.
func (j siteJudge) judge() error {
	before, after := j.edit.before, j.edit.rec.GetConfig()
	var invalid, impossible []rpcerr.Violation
	add := func(prefix string, problems []error) {
		for _, p := range problems {
			v, hopeless := siteProblem(prefix, p)
			if hopeless {
				impossible = append(impossible, v)
			} else {
				invalid = append(invalid, v)
			}
		}
	}
	threats := j.all || !proto.Equal(before.GetThreatSettings(), after.GetThreatSettings())
	if j.all || !proto.Equal(before.GetSettings(), after.GetSettings()) {
		add(j.settings, compile.CheckSettings(after.GetSettings()))
	}
	if threats {
		limits, err := siteLimits(j.edit.tx)
		if err != nil {
			return err
		}
		add(j.threats, compile.CheckThreats(after.GetThreatSettings(), limits))
		if j.listsChanged() {
			add(j.threats, compile.CheckReach(j.edit.rec.GetSite().GetDomain(), after.GetThreatSettings()))
		}
		invalid = append(invalid, j.ended()...)
	}
	touched := j.touchedApps()
	// What an app needs to know is of no interest to who can't have it.
	for _, id := range touched {
		if err := j.appOffered(id); err != nil {
			return err
		}
		invalid = append(invalid, j.appViolations(id)...)
	}
	switch {
	case len(invalid) > 0:
		return rpcerr.Invalid(append(invalid, impossible...)...)
	case len(impossible) > 0:
		err := rpcerr.Invalid(impossible...)
		err.Reason = rpcerr.ReasonImpossibleRule
		return err
	}
	if threats {
		if err := j.botsAllowed(); err != nil {
			return err
		}
		if err := j.quotas(); err != nil {
			return err
		}
	}
	for _, id := range touched {
		if err := j.appAllowed(id); err != nil {
			return err
		}
	}
	if err := j.conflicts(touched); err != nil {
		return err
	}
	return j.edit.fits(nil)
}

// listsChanged says whether the lists of rules are other ones. Those of an older version, which
// are judged for all else, were good enough then.
func (j siteJudge) listsChanged() bool {
	lists := func(c *breakwaterv1.SiteConfig) *breakwaterv1.ThreatSettings {
		t := c.GetThreatSettings()
		return &breakwaterv1.ThreatSettings{FirewallEntries: t.GetFirewallEntries(), RateLimits: t.GetRateLimits()}
	}
	return !j.all && !proto.Equal(lists(j.edit.before), lists(j.edit.rec.GetConfig()))
}

// siteProblem turns a compiler's problem into a violation, and says whether it is about
// something that can never be.
func siteProblem(prefix string, problem error) (v rpcerr.Violation, hopeless bool) {
	var (
		impossible *compile.ImpossibleError
		limit      *compile.LimitError
		invalid    *compile.InvalidError
	)
	switch {
	case errors.As(problem, &impossible):
		return rpcerr.Violation{Field: prefix + impossible.Field, Rule: impossible.Rule, Message: impossible.Reason}, true
	case errors.As(problem, &limit):
		return rpcerr.Violation{Field: prefix + limit.Field, Rule: limit.Limit, Message: limit.Reason}, false
	case errors.As(problem, &invalid):
		return rpcerr.Violation{Field: prefix + invalid.Field, Rule: invalid.Rule, Message: invalid.Reason}, false
	}
	return rpcerr.Violation{Field: strings.TrimSuffix(prefix, "."), Message: problem.Error()}, false
}

// siteLimits are the limits of documents; nil where none are stored yet.
func siteLimits(tx *change.Tx) (*opsv1.Limits, error) {
	rec := &storev1.LimitsRecord{}
	err := tx.Get(resource.LimitsKey, rec)
	if errors.Is(err, registry.ErrNotFound) {
		return nil, nil
	}
	return rec.GetLimits(), err
}

// ended refuses new firewall entries that have ended already.
func (j siteJudge) ended() []rpcerr.Violation {
	var found []rpcerr.Violation
	old := j.edit.before.GetThreatSettings().GetFirewallEntries()
	for i, entry := range j.edit.rec.GetConfig().GetThreatSettings().GetFirewallEntries() {
		if entry.GetExpireTime() == nil || j.edit.tx.Now().Before(entry.GetExpireTime().AsTime()) {
			continue
		}
		// The worker removes it in a moment; an update of something else has no part in it.
		if slices.ContainsFunc(old, func(o *breakwaterv1.ThreatSettings_FirewallEntry) bool { return proto.Equal(o, entry) }) {
			continue
		}
		found = append(found, rpcerr.Violation{
			Field: fmt.Sprintf("%sfirewallEntries[%d].expireTime", j.threats, i), Rule: "future", Message: "has passed already",
		})
	}
	return found
}

// quotas refuses more entries than the plan allows. A site that has more of them from a
// better plan may keep and change them, but not add to them.
func (j siteJudge) quotas() error {
	before, after := j.edit.before.GetThreatSettings(), j.edit.rec.GetConfig().GetThreatSettings()
	for _, count := range entitle.Counts() {
		if n := count.Len(after); n > count.Len(before) || j.all {
			if err := j.edit.quota(j.threats+count.Field, n, count.Allowed); err != nil {
				return err
			}
		}
	}
	return nil
}

// quota fails with QUOTA_EXCEEDED when there are more of something than the plan allows.
func (e *siteEdit) quota(subject string, count int, allowed func(*breakwaterv1.Entitlements) int32) error {
	excess := entitle.Exceeds(e.base.Plans, e.plan(), count, allowed)
	if excess == nil {
		return nil
	}
	hint := "no plan allows so many"
	if excess.RequiredPlan != "" {
		hint = "the plan " + excess.RequiredPlan + " does"
	}
	err := rpcerr.QuotaExceeded(subject, excess.Limit, excess.RequiredPlan,
		"%s: the plan %s allows %d, not %d; %s", subject, e.plan(), excess.Limit, count, hint)
	if excess.RequiredPlan != "" {
		err = siteUpgradable(err, e.name)
	}
	return err
}

// commitConfig stores the configuration as a new version, unless nothing changed.
func (e *siteEdit) commitConfig(resourceName, summary string) error {
	fields := sitestate.ChangedFields(e.before, e.rec.GetConfig())
	if len(fields) == 0 && e.unparked {
		return e.commitTouch(siteAudit{resource: resourceName, summary: summary})
	}
	if len(fields) == 0 {
		return nil
	}
	return e.commitVersion(siteAudit{resource: resourceName, summary: summary, fields: fields})
}
