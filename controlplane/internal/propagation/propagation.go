package propagation

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// siteChannels are the channels that a site's documents belong to.
var siteChannels = []wire.Channel{wire.Urgent, wire.Routine}

// siteKinds are the kinds of documents that a site compiles to.
var siteKinds = []string{wire.KindSite, wire.KindShield, wire.KindDNS, wire.KindPurge}

// Site is what an answer needs of a site.
type Site struct {
	Account string
	Record  *storev1.SiteRecord
	// ModRevision is the revision that wrote the record.
	ModRevision int64
	// Sums returns the digests of the documents that the record compiles to, by name. It is
	// called only when one of the site's documents is held.
	Sums func() map[wire.DocumentID]wire.Sum
}

// version is the newest version of the site.
func (s Site) version() int64 { return s.Record.GetSite().GetVersion() }

// revision is the registry revision at which a version was stored. For one older than the
// site remembers it is that of the oldest remembered: newer, so never too optimistic.
func (s Site) revision(version int64) int64 {
	if version >= s.version() {
		if r := s.Record.GetVersionRevision(); r != 0 {
			return r
		}
		return s.ModRevision
	}
	at := s.ModRevision
	for _, v := range s.Record.GetRecentVersions() {
		at = v.GetRevision()
		if v.GetVersion() <= version {
			break
		}
	}
	return at
}

// Of answers where a version of the site is; zero stands for the newest. The version must
// not be newer than that.
func (s *State) Of(site Site, version int64, now time.Time) *breakwaterv1.Propagation {
	if version == 0 {
		version = site.version()
	}
	p := &breakwaterv1.Propagation{
		Name:             resource.PropagationName(site.Account, site.Record.GetSite().GetDomain()),
		Version:          version,
		TotalDataCenters: int32(len(s.dataCenters)), //nolint:gosec // a fleet is small
		Releases:         map[string]int64{},
		ObserveTime:      timestamppb.New(now),
	}
	revision := site.revision(version)
	carried, live := s.carriers(revision)
	for c, n := range carried {
		p.Releases[string(c)] = n
	}
	for _, dc := range s.dataCenters {
		entry := &breakwaterv1.Propagation_DataCenter{
			DataCenter: dc.code, Releases: map[string]int64{},
			Applied: len(carried) == len(siteChannels),
		}
		for _, c := range siteChannels {
			entry.Releases[string(c)] = dc.releases[c]
			if dc.releases[c] < carried[c] {
				entry.Applied = false
			}
		}
		if entry.GetApplied() {
			p.AppliedDataCenters++
		}
		p.DataCenters = append(p.DataCenters, entry)
	}
	held, isHeld := s.heldOf(site)
	p.ServingVersion = s.serving(site, held, isHeld)
	switch {
	case isHeld && version == site.version():
		p.State, p.Reason = breakwaterv1.Propagation_PENDING, held.reason
		if held.quarantined {
			p.State = breakwaterv1.Propagation_QUARANTINED
		}
		// What serves is the last good version, whatever the release numbers say.
		p.AppliedDataCenters = 0
		for _, dc := range p.GetDataCenters() {
			dc.Applied = false
		}
	case live:
		p.State = breakwaterv1.Propagation_LIVE
	case isHeld:
		p.State, p.Reason = breakwaterv1.Propagation_SUPERSEDED, "a newer version took its place, and is held back itself"
	case len(carried) == 0 || p.GetAppliedDataCenters() == 0 && !s.entered(carried):
		p.State = breakwaterv1.Propagation_PENDING
	default:
		p.State = breakwaterv1.Propagation_ROLLING_OUT
	}
	return p
}

// Canary says whether a version passed the first wave of every channel.
func (s *State) Canary(site Site, version int64) bool {
	if version == 0 {
		version = site.version()
	}
	carried, live := s.carriers(site.revision(version))
	if live {
		return true
	}
	for _, c := range siteChannels {
		n, ok := carried[c]
		if !ok || n > s.chains[c].firstWave {
			return false
		}
	}
	return true
}

// carriers returns the release of each channel that carries what was stored at a revision,
// for the channels where one does, and whether all of them passed their last waves.
func (s *State) carriers(revision int64) (map[wire.Channel]int64, bool) {
	carried := map[wire.Channel]int64{}
	live := true
	for _, c := range siteChannels {
		n, ok := s.chains[c].carrier(revision)
		if !ok {
			live = false
			continue
		}
		carried[c] = n
		if n > s.chains[c].live {
			live = false
		}
	}
	return carried, live
}

// entered says whether any carrying release is on its way.
func (s *State) entered(carried map[wire.Channel]int64) bool {
	for c, n := range carried {
		for _, dc := range s.dataCenters {
			if n > s.chains[c].live && dc.releases[c] >= n {
				return true
			}
		}
	}
	return false
}

// heldOf says whether one of the documents of the site as it is now is held.
func (s *State) heldOf(site Site) (hold, bool) {
	if len(s.held) == 0 {
		return hold{}, false
	}
	domain := site.Record.GetSite().GetDomain()
	var sums map[wire.DocumentID]wire.Sum
	var found hold
	var any bool
	for _, kind := range siteKinds {
		id := wire.DocumentID{Kind: kind, ID: domain}
		h, ok := s.held[id]
		if !ok {
			continue
		}
		if sums == nil {
			sums = site.Sums()
		}
		if sums[id] != h.bad {
			continue // A newer version, which will be tried by itself.
		}
		if !any || h.quarantined {
			found, any = h, true
		}
	}
	return found, any
}

// ServingVersion is the newest version of the site that is LIVE; zero before the first.
func (s *State) ServingVersion(site Site) int64 {
	held, isHeld := s.heldOf(site)
	return s.serving(site, held, isHeld)
}

func (s *State) serving(site Site, held hold, isHeld bool) int64 {
	if _, live := s.carriers(site.revision(site.version())); live && !isHeld {
		return site.version()
	}
	for _, v := range site.Record.GetRecentVersions() {
		if isHeld && v.GetRevision() > held.from {
			continue
		}
		if _, live := s.carriers(v.GetRevision()); live {
			return v.GetVersion()
		}
	}
	return 0
}
