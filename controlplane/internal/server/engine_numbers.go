package server

import (
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/fleet"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/publish"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// numbers tells the publisher which releases the fleet knows.
type numbers struct {
	fleet       *fleet.Fleet
	dataCenters []string
	clock       clockwork.Clock
}

var _ publish.Fleet = numbers{}

// hearingGrace is how long a new leader waits for data centers that do not report; the
// rollout waits as long before it moves anything forward.
const hearingGrace = 5 * time.Second

// Heard implements publish.Fleet: every data center has a server that reports.
func (n numbers) Heard() bool {
	if n.clock.Since(n.fleet.Since()) >= hearingGrace {
		return true
	}
	reporting := map[string]bool{}
	for _, s := range n.fleet.Snapshot() {
		if s.Connected {
			reporting[s.DataCenter] = true
		}
	}
	for _, code := range n.dataCenters {
		if !reporting[code] {
			return false
		}
	}
	return true
}

// Newest implements publish.Fleet.
func (n numbers) Newest(c wire.Channel) int64 {
	newest := int64(0)
	for _, s := range n.fleet.Snapshot() {
		for _, r := range s.Report.GetChannels() {
			if r.GetChannel() != string(c) {
				continue
			}
			newest = max(newest, r.GetRelease(), r.GetApplying(), r.GetNewestRelease())
			for _, rejection := range r.GetRejections() {
				newest = max(newest, rejection.GetRelease())
			}
		}
	}
	return newest
}
