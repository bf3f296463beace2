package propagation

import (
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// View is a consistent state of the keys below control/.
type View interface {
	Revision() int64
	Get(key string) (registry.KV, bool)
	Ascend(prefix string, visit func(registry.KV) bool)
}

// Index decodes the engine's state when it changed.
type Index struct {
	view func() View

	mu    sync.Mutex
	state *State
	// decoded keeps what is large and changes less often than the state, by key.
	chains map[wire.Channel]chainEntry
}

type chainEntry struct {
	head, rollout int64 // the revisions that were decoded
	chain         *chain
	suspects      []*storev1.Suspect
}

// NewIndex returns an Index that reads from view, which must be cheap.
func NewIndex(view func() View) *Index {
	return &Index{view: view, chains: map[wire.Channel]chainEntry{}}
}

// State is what the engine is doing, at one revision of control/. It never changes.
type State struct {
	revision int64
	chains   map[wire.Channel]*chain
	// held are the documents that are kept at their good version, by name.
	held map[wire.DocumentID]hold
	// dataCenters are the eligible data centers, in order of their codes.
	dataCenters []dataCenter
}

// hold is a document that is kept at its good version.
type hold struct {
	bad wire.Sum
	// from is the registry revision up to which versions are known to be good.
	from        int64
	reason      string
	quarantined bool // else it is a suspect
}

// dataCenter is what all live servers of a data center serve.
type dataCenter struct {
	code     string
	releases map[wire.Channel]int64
}

// State returns the newest state that the cache knows.
func (x *Index) State() *State {
	v := x.view()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state != nil && x.state.revision == v.Revision() {
		return x.state
	}
	s := &State{
		revision: v.Revision(),
		chains:   map[wire.Channel]*chain{},
		held:     map[wire.DocumentID]hold{},
	}
	for _, c := range wire.Channels() {
		e := x.chain(v, c)
		s.chains[c] = e.chain
		for _, sus := range e.suspects {
			bad, err := wire.SumFromBytes(sus.GetBadSha256())
			if err != nil {
				continue
			}
			s.held[wire.DocumentID{Kind: sus.GetKind(), ID: sus.GetId()}] = hold{
				bad: bad, from: sus.GetFromRevision(),
				reason: "held back: it was part of a release that hurt a data center",
			}
		}
	}
	v.Ascend(ledger.QuarantinesPrefix, func(kv registry.KV) bool {
		var q storev1.QuarantineRecord
		if proto.Unmarshal(kv.Value, &q) != nil {
			return true
		}
		if bad, err := wire.SumFromBytes(q.GetBadSha256()); err == nil {
			s.held[wire.DocumentID{Kind: q.GetKind(), ID: q.GetId()}] = hold{
				bad: bad, from: q.GetFromRevision(), reason: reasonOf(&q), quarantined: true,
			}
		}
		return true
	})
	s.dataCenters = eligible(v)
	x.state = s
	return s
}

func (x *Index) chain(v View, c wire.Channel) chainEntry {
	headKV, _ := v.Get(ledger.HeadKey(c))
	rolloutKV, _ := v.Get(ledger.RolloutKey(c))
	e, ok := x.chains[c]
	if ok && e.head == headKV.ModRevision && e.rollout == rolloutKV.ModRevision {
		return e
	}
	var head storev1.HeadRecord
	var rollout storev1.RolloutRecord
	if proto.Unmarshal(headKV.Value, &head) != nil || proto.Unmarshal(rolloutKV.Value, &rollout) != nil {
		// A record of a newer version of the server: answer from what was known before.
		if ok {
			return e
		}
	}
	e = chainEntry{
		head: headKV.ModRevision, rollout: rolloutKV.ModRevision,
		chain: newChain(&head, &rollout), suspects: rollout.GetSuspects(),
	}
	x.chains[c] = e
	return e
}

// eligible lists the data centers that are live, not drained and not pinned.
func eligible(v View) []dataCenter {
	out := map[string]struct{}{}
	v.Ascend(ledger.DataCentersPrefix, func(kv registry.KV) bool {
		var ctl storev1.DataCenterControl
		if proto.Unmarshal(kv.Value, &ctl) == nil && (ctl.GetDrained() || ctl.GetPinned()) {
			out[kv.Key[len(ledger.DataCentersPrefix):]] = struct{}{}
		}
		return true
	})
	var dcs []dataCenter
	v.Ascend(ledger.FleetPrefix, func(kv registry.KV) bool {
		var r storev1.FleetRecord
		if proto.Unmarshal(kv.Value, &r) != nil {
			return true
		}
		if _, skip := out[r.GetDataCenter()]; skip {
			return true
		}
		if dc, live := serves(&r); live {
			dcs = append(dcs, dc)
		}
		return true
	})
	slices.SortFunc(dcs, func(a, b dataCenter) int {
		if a.code < b.code {
			return -1
		}
		return 1
	})
	return dcs
}

// serves is the oldest release of each channel that a connected server serves.
func serves(r *storev1.FleetRecord) (dataCenter, bool) {
	dc := dataCenter{code: r.GetDataCenter(), releases: map[wire.Channel]int64{}}
	live := false
	for _, s := range r.GetServers() {
		if !s.GetConnected() {
			continue
		}
		for _, c := range wire.Channels() {
			n := s.GetReleases()[string(c)]
			if before, ok := dc.releases[c]; !ok || n < before {
				dc.releases[c] = n
			}
		}
		live = true
	}
	return dc, live
}

func reasonOf(q *storev1.QuarantineRecord) string {
	reason := q.GetReason()
	if q.GetDataCenter() != "" {
		reason += " (seen at " + q.GetDataCenter()
		if q.GetServer() != "" {
			reason += ", server " + q.GetServer()
		}
		reason += ")"
	}
	return reason
}
