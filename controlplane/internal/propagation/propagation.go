package propagation

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// siteChannels are the channels that a site's documents belong to.
var siteChannels = [...]wire.Channel{wire.Urgent, wire.Routine}

// Site is what an answer needs of a site.
type Site struct {
	Record *storev1.SiteRecord
	// ModRevision is the revision that wrote the record.
	ModRevision int64
	// Sums returns the digests of the documents that a record compiles to, by name; nil
	// where it can't be compiled. It is called only when one of the documents is held.
	Sums func(*storev1.SiteRecord) map[wire.DocumentID]wire.Sum
}

// version is the newest version of the site.
func (s *Site) version() int64 { return s.Record.GetSite().GetVersion() }

// revision is the registry revision at which a version was stored. For one older than the
// site remembers it is that of the oldest remembered: newer, so never too optimistic.
func (s *Site) revision(version int64) int64 {
	at := sitestate.RevisionOfVersion(s.Record, s.ModRevision)
	if version >= s.version() {
		return at
	}
	for _, v := range s.Record.GetRecentVersions() {
		at = v.GetRevision()
		if v.GetVersion() <= version {
			break
		}
	}
	return at
}

// Of answers where a version of the site is, and whether it passed the first wave of every
// channel; zero stands for the newest version. The version must not be newer than that.
func (s *State) Of(site Site, version int64, now time.Time) (p *breakwaterv1.Propagation, canary bool) {
	if version == 0 {
		version = site.version()
	}
	p = &breakwaterv1.Propagation{
		Name:             resource.PropagationName(sitestate.Account(site.Record), site.Record.GetSite().GetDomain()),
		Version:          version,
		TotalDataCenters: int32(len(s.dataCenters)),
		Releases:         map[string]int64{},
		ObserveTime:      timestamppb.New(now),
	}
	held := s.holdsOf(&site)
	p.ServingVersion = s.serving(&site, held)
	at := s.place(site.Record.GetSite().GetDomain(), site.revision(version))
	for c, n := range at.carried {
		p.Releases[string(c)] = n
	}
	p.State, p.Reason = s.judge(&site, version, held, at)
	applies := p.GetState() == breakwaterv1.Propagation_ROLLING_OUT || p.GetState() == breakwaterv1.Propagation_LIVE
	for _, dc := range s.dataCenters {
		entry := &breakwaterv1.Propagation_DataCenter{
			DataCenter: dc.code, Releases: map[string]int64{},
			// What serves of a version that is held is the last good one, whatever the
			// release numbers say.
			Applied: applies && at.applied(dc),
		}
		for _, c := range siteChannels {
			entry.Releases[string(c)] = dc.releases[c]
		}
		if entry.GetApplied() {
			p.AppliedDataCenters++
		}
		p.DataCenters = append(p.DataCenters, entry)
	}
	return p, applies && at.canary
}

// judge decides the state, and why where it is not plain.
func (s *State) judge(site *Site, version int64, held holds, at place) (breakwaterv1.Propagation_State, string) {
	state := site.Record.GetSite().GetState()
	newest := version == site.version()
	switch {
	case state == breakwaterv1.Site_PENDING:
		return breakwaterv1.Propagation_PENDING, "the site is not active yet"
	case len(held.current) > 0 && newest:
		h := worst(held.current)
		if h.quarantine == "" {
			return breakwaterv1.Propagation_PENDING, h.reason
		}
		if h.trying {
			return breakwaterv1.Propagation_PENDING, "tried again after: " + h.reason
		}
		if h.next {
			return breakwaterv1.Propagation_PENDING, "waits until " + h.retry.UTC().Format(time.RFC3339) +
				", since versions before it hurt: " + h.reason
		}
		return breakwaterv1.Propagation_QUARANTINED, h.reason
	case len(held.current) > 0 && at.revision > held.good():
		return breakwaterv1.Propagation_SUPERSEDED, "a newer version took its place, which is held itself: " + worst(held.current).reason
	case !newest && superseded(held.others, at.revision):
		return breakwaterv1.Propagation_SUPERSEDED, "a newer version took its place after: " + worst(held.others).reason
	}
	reason := ""
	if state != breakwaterv1.Site_ACTIVE {
		reason = "the site is " + strings.ToLower(state.String()) + ": data centers stop to serve it"
	}
	switch {
	case at.live:
		return breakwaterv1.Propagation_LIVE, reason
	}
	if waits := s.waits(at); waits != "" {
		reason = waits
	}
	switch {
	case at.canary || slices.ContainsFunc(s.dataCenters, at.entered):
		return breakwaterv1.Propagation_ROLLING_OUT, reason
	}
	return breakwaterv1.Propagation_PENDING, reason
}

// superseded says whether a version may have come with a release that left holds.
func superseded(held []hold, revision int64) bool {
	for _, h := range held {
		if revision > h.from && revision <= h.to {
			return true
		}
	}
	return false
}

// place is where in the chains a revision is.
type place struct {
	revision int64
	// carried is the release that carries it, for the channels where one does.
	carried map[wire.Channel]int64
	// brought are those of them that it came with, and that do not only carry it because
	// nothing was needed.
	brought map[wire.Channel]int64
	// live says that all of them passed their last waves, canary their first ones.
	live, canary bool
}

func (s *State) place(domain string, revision int64) place {
	p := place{
		revision: revision, carried: map[wire.Channel]int64{}, brought: map[wire.Channel]int64{},
		live: revision <= s.liveRevision, canary: revision <= s.firstWaveRevision,
	}
	for _, c := range siteChannels {
		if n, ok := s.chains[c].carrier(revision); ok {
			p.carried[c] = n
			if s.chains[c].brought(n, revision) {
				p.brought[c] = n
			}
		}
	}
	for i := range s.trials {
		t := &s.trials[i]
		if n, ok := p.carried[t.channel]; ok && n < t.release && t.has(domain) {
			p.carried[t.channel], p.brought[t.channel] = t.release, t.release
			p.live = false
			p.canary = p.canary && t.release <= s.chains[t.channel].firstWave
		}
	}
	return p
}

func (p place) applied(dc dataCenter) bool {
	for _, c := range siteChannels {
		if n, ok := p.carried[c]; !ok || dc.releases[c] < n {
			return false
		}
	}
	return true
}

// entered says whether a data center has it all, or serves a release that brought a part of
// it. A release that only carries it does not count: once that is live, the version would go
// back to where no data center had any of it. One that brought it counts when it is live, too.
func (p place) entered(dc dataCenter) bool {
	for c, n := range p.brought {
		if dc.releases[c] >= n {
			return true
		}
	}
	return p.applied(dc)
}

// ServingVersion is the newest version of the site that is LIVE; zero before the first. It
// allocates nothing for a site of which nothing is held.
func (s *State) ServingVersion(site Site) int64 { return s.serving(&site, s.holdsOf(&site)) }

func (s *State) serving(site *Site, held holds) int64 {
	if site.Record.GetSite().GetState() == breakwaterv1.Site_PENDING {
		return 0
	}
	limit := min(s.liveRevision, held.good())
	for i := range s.trials {
		if t := &s.trials[i]; t.has(site.Record.GetSite().GetDomain()) {
			// What it tries was good before the oldest release that is still on its way.
			limit = min(limit, s.chains[t.channel].goodRevision)
		}
	}
	if site.revision(site.version()) <= limit {
		return site.version()
	}
	for _, v := range site.Record.GetRecentVersions() {
		if v.GetRevision() <= limit {
			return v.GetVersion()
		}
	}
	return 0
}

// Quarantine is one document of a site that is kept at its last good version.
type Quarantine struct {
	ID     string
	Reason string
	// Retry is the earliest time of another try, and Trying says that there is one.
	Retry  time.Time
	Trying bool
}

// Quarantines are those that keep the site as it is now from the edge. Others of older versions
// of its documents end by themselves.
func (s *State) Quarantines(site Site) []Quarantine {
	var out []Quarantine
	for _, h := range s.holdsOf(&site).current {
		if h.quarantine != "" {
			out = append(out, Quarantine{ID: h.quarantine, Reason: h.reason, Retry: h.retry, Trying: h.trying})
		}
	}
	return out
}
