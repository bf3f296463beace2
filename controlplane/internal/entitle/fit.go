package entitle

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// MaxParked bounds the entries of each list that are kept aside; what is beyond it is
// forgotten, the newest first.
const MaxParked = 10_000

// Input is a site's configuration and the plan that it shall fit.
type Input struct {
	Config *breakwaterv1.SiteConfig
	// Parked is what earlier falls switched off; nil for nothing.
	Parked *storev1.Parked
	// Plan is the plan's ID.
	Plan string
	// Now decides what has ended while it was kept aside.
	Now time.Time
	// Hold leaves aside what the plan would allow again.
	Hold bool
}

// Result is what became of it.
type Result struct {
	Config *breakwaterv1.SiteConfig
	// Parked is what is kept aside now; nil for nothing.
	Parked *storev1.Parked
	// TurnsOff says what was on and is not any more, in order of the fields.
	TurnsOff []*breakwaterv1.TurnOff
}

// Fit makes a configuration what the plan allows, and brings back what earlier falls
// switched off where the plan has it. It is idempotent. What comes back is as the owner left
// it: an app with the settings that it has now, and not at all where it can't be on beside
// what is on by now.
func (r Rules) Fit(in Input) Result {
	f := fitting{Rules: r, in: in, config: proto.CloneOf(in.Config), parked: proto.CloneOf(in.Parked)}
	if f.config == nil {
		f.config = &breakwaterv1.SiteConfig{}
	}
	if f.parked == nil {
		f.parked = &storev1.Parked{}
	}
	f.apps()
	f.bots()
	f.lists()
	if !in.Hold {
		f.bringBackApps()
		f.bringBackBots()
		f.bringBackLists()
	}
	out := Result{Config: f.config, TurnsOff: f.off}
	if proto.Size(f.parked) > 0 {
		out.Parked = f.parked
	}
	return out
}

// fitting is one Fit on its way.
type fitting struct {
	Rules

	in     Input
	config *breakwaterv1.SiteConfig
	parked *storev1.Parked
	off    []*breakwaterv1.TurnOff
}

// apps switches off what the plan does not have.
func (f *fitting) apps() {
	for _, id := range slices.Sorted(maps.Keys(f.config.GetApps())) {
		found := f.App(f.in.Plan, id, f.config.GetApps()[id])
		if len(found) == 0 {
			continue
		}
		if f.config.Apps[id].Enabled = false; len(f.config.GetApps()[id].GetSettings().GetFields()) == 0 {
			delete(f.config.GetApps(), id) // As if nobody had touched it, as everywhere.
		}
		if !slices.Contains(f.parked.GetApps(), id) {
			f.parked.Apps = append(f.parked.Apps, id)
			slices.Sort(f.parked.GetApps())
		}
		why := found[0].Message
		if found[0].Field != "" {
			why = found[0].Field + ": " + why
		}
		f.off = append(f.off, &breakwaterv1.TurnOff{
			Field: "apps." + id, App: id, RequiredPlan: f.requiredFor(found),
			Message: fmt.Sprintf("the app %s is switched off; its settings are kept (%s)", id, why),
		})
	}
}

// lists takes out of the lists what is beyond the plan's count, from their ends.
func (f *fitting) lists() {
	t := f.config.GetThreatSettings()
	for _, count := range Counts() {
		n := count.Len(t)
		excess := Exceeds(f.Plans, f.in.Plan, n, count.Allowed)
		if excess == nil {
			continue
		}
		f.off = append(f.off, &breakwaterv1.TurnOff{
			Field: "threatSettings." + count.Field, RequiredPlan: excess.RequiredPlan,
			Message: fmt.Sprintf("the last %d of %d %s are taken out and kept; the plan %s allows %d",
				n-excess.Limit, n, count.Field, f.in.Plan, excess.Limit),
		})
	}
	entries, limits := f.room()
	if list := t.GetFirewallEntries(); len(list) > entries {
		f.parked.FirewallEntries = bounded(slices.Concat(list[entries:], f.parked.GetFirewallEntries()))
		t.FirewallEntries = list[:entries:entries]
	}
	if list := t.GetRateLimits(); len(list) > limits {
		f.parked.RateLimits = bounded(slices.Concat(list[limits:], f.parked.GetRateLimits()))
		t.RateLimits = list[:limits:limits]
	}
}

// room is how many entries of the lists the plan allows.
func (f *fitting) room() (entries, limits int) {
	e := f.Plans.Entitlements(f.in.Plan)
	return int(e.GetFirewallEntries()), int(e.GetRateLimits())
}

func bounded[T any](list []T) []T { return list[:min(len(list), MaxParked)] }

// bringBackApps switches on again what the plan has.
func (f *fitting) bringBackApps() {
	var still []string
	for _, id := range f.parked.GetApps() {
		if _, ok := f.Apps.Get(id); !ok {
			still = append(still, id) // Not offered now; it may be again.
			continue
		}
		toggle := proto.CloneOf(f.config.GetApps()[id])
		if toggle == nil {
			toggle = &breakwaterv1.SiteApp{}
		}
		if toggle.GetEnabled() {
			continue
		}
		toggle.Enabled = true
		if len(f.App(f.in.Plan, id, toggle)) > 0 {
			still = append(still, id)
			continue
		}
		if len(f.Apps.ValidateSettings(id, toggle.GetSettings())) > 0 || f.conflicts(id) {
			continue // The owner decided for something else meanwhile.
		}
		if f.config.GetApps() == nil {
			f.config.Apps = map[string]*breakwaterv1.SiteApp{}
		}
		f.config.Apps[id] = toggle
	}
	f.parked.Apps = still
}

// conflicts says whether an app can't be on beside what is on.
func (f *fitting) conflicts(id string) bool {
	for _, c := range f.Apps.Conflicts(append(f.On(f.config), id)) {
		if c.App == id || c.With == id {
			return true
		}
	}
	return false
}

// bringBackLists puts back what there is room for.
func (f *fitting) bringBackLists() {
	entries, limits := f.room()
	if len(f.parked.GetFirewallEntries()) == 0 && len(f.parked.GetRateLimits()) == 0 {
		return
	}
	if f.config.GetThreatSettings() == nil {
		f.config.ThreatSettings = &breakwaterv1.ThreatSettings{}
	}
	t := f.config.GetThreatSettings()
	sources := map[string]bool{}
	for _, e := range t.GetFirewallEntries() {
		sources[source(e)] = true
	}
	var still []*breakwaterv1.ThreatSettings_FirewallEntry
	for _, e := range f.parked.GetFirewallEntries() {
		switch {
		case e.GetExpireTime() != nil && !f.in.Now.Before(e.GetExpireTime().AsTime()), sources[source(e)]:
		case len(t.GetFirewallEntries()) >= entries:
			still = append(still, e)
		default:
			t.FirewallEntries = append(t.FirewallEntries, e)
			sources[source(e)] = true
		}
	}
	f.parked.FirewallEntries = still
	var waiting []*breakwaterv1.ThreatSettings_RateLimit
	for _, l := range f.parked.GetRateLimits() {
		switch {
		case slices.ContainsFunc(t.GetRateLimits(), func(o *breakwaterv1.ThreatSettings_RateLimit) bool {
			return o.GetMatch() == l.GetMatch() && o.GetPeriodSeconds() == l.GetPeriodSeconds()
		}):
		case len(t.GetRateLimits()) >= limits:
			waiting = append(waiting, l)
		default:
			t.RateLimits = append(t.RateLimits, l)
		}
	}
	f.parked.RateLimits = waiting
}

// source tells firewall entries apart: a configuration has at most one for each.
func source(e *breakwaterv1.ThreatSettings_FirewallEntry) string {
	cidr := e.GetCidr()
	if addr, err := netip.ParseAddr(cidr); err == nil {
		cidr = netip.PrefixFrom(addr, addr.BitLen()).String()
	} else if prefix, err := netip.ParsePrefix(cidr); err == nil {
		cidr = prefix.Masked().String()
	}
	return fmt.Sprintf("%s/%d/%s", cidr, e.GetAsn(), strings.ToUpper(e.GetCountry()))
}
