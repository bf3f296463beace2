package propagation

import (
	"sync"
	"sync/atomic"

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

// Index decodes the engine's state where it changed. For views of one revision, which is
// most of them, it takes no lock.
type Index struct {
	documents Documents
	newest    atomic.Pointer[indexed]

	mu          sync.Mutex
	fingerprint fingerprint
	chains      map[wire.Channel]chainEntry
	trials      map[wire.Channel]map[int64]trial
	dataCenters dataCenters
}

// indexed is the state that was found at a revision.
type indexed struct {
	revision int64
	state    *State
}

type chainEntry struct {
	head, rollout, policy int64 // the revisions that were decoded
	chain                 *chain
	suspects              []*storev1.Suspect
}

// fingerprint changes whenever a key changes that a State is made from.
type fingerprint [4]span

// span tells the content of a prefix from any later one: a put has a higher revision, and
// a delete leaves fewer keys.
type span struct {
	keys        int
	newest, sum int64
}

// NewIndex returns an empty Index. Where documents is nil, trials are taken to carry
// nothing that is older than they are.
func NewIndex(documents Documents) *Index {
	return &Index{
		documents: documents, chains: map[wire.Channel]chainEntry{},
		trials: map[wire.Channel]map[int64]trial{},
	}
}

// State is what the engine is doing, at one revision of control/. It never changes.
type State struct {
	chains map[wire.Channel]*chain
	// held are the documents that are kept at their good version.
	held map[wire.DocumentID]hold
	// trials are the trials on their way in the channels of sites.
	trials []trial
	// dataCenters are the eligible data centers, in order of their codes.
	dataCenters []dataCenter
	// liveRevision and firstWaveRevision are those of the channels of sites together.
	liveRevision, firstWaveRevision int64
}

// At returns the state that a view shows. States of views that differ in nothing that
// matters are the same one.
func (x *Index) At(v View) *State {
	if n := x.newest.Load(); n != nil && n.revision == v.Revision() {
		return n.state
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	now := fingerprintOf(v)
	n := x.newest.Load()
	if n != nil && now == x.fingerprint && !x.unread() {
		x.newest.Store(&indexed{v.Revision(), n.state})
		return n.state
	}
	s := x.build(v)
	x.fingerprint = now
	x.newest.Store(&indexed{v.Revision(), s})
	return s
}

func fingerprintOf(v View) fingerprint {
	var f fingerprint
	// Of the channels not all, since their history is long.
	for _, c := range wire.Channels() {
		f[0].get(v, ledger.HeadKey(c))
		f[0].get(v, ledger.RolloutKey(c))
		f[0].get(v, ledger.PolicyKey(c))
	}
	for i, prefix := range [...]string{ledger.QuarantinesPrefix, ledger.DataCentersPrefix, ledger.FleetPrefix} {
		v.Ascend(prefix, func(kv registry.KV) bool {
			f[i+1].count(kv)
			return true
		})
	}
	return f
}

func (s *span) get(v View, key string) {
	if kv, ok := v.Get(key); ok {
		s.count(kv)
	}
}

func (s *span) count(kv registry.KV) {
	s.keys++
	s.newest = max(s.newest, kv.ModRevision)
	s.sum += kv.ModRevision
}

// build makes a state. The caller holds the lock.
func (x *Index) build(v View) *State {
	s := &State{
		chains: map[wire.Channel]*chain{}, held: map[wire.DocumentID]hold{},
		liveRevision: never, firstWaveRevision: never,
	}
	for _, c := range wire.Channels() {
		e := x.chain(v, c)
		s.chains[c] = e.chain
		suspects(s.held, v, c, e.suspects)
	}
	quarantines(s.held, v)
	s.dataCenters = x.dataCenters.read(v)
	for _, c := range siteChannels {
		s.liveRevision = min(s.liveRevision, s.chains[c].liveRevision)
		s.firstWaveRevision = min(s.firstWaveRevision, s.chains[c].firstWaveRevision)
		s.trials = append(s.trials, x.trialsOf(c, s.chains[c].trials)...)
	}
	return s
}

func (x *Index) chain(v View, c wire.Channel) chainEntry {
	headKV, _ := v.Get(ledger.HeadKey(c))
	rolloutKV, _ := v.Get(ledger.RolloutKey(c))
	e, ok := x.chains[c]
	policyKV, _ := v.Get(ledger.PolicyKey(c))
	if ok && e.head == headKV.ModRevision && e.rollout == rolloutKV.ModRevision && e.policy == policyKV.ModRevision {
		return e
	}
	var head storev1.HeadRecord
	var rollout storev1.RolloutRecord
	var policy storev1.ChannelPolicy
	if proto.Unmarshal(headKV.Value, &head) != nil || proto.Unmarshal(rolloutKV.Value, &rollout) != nil ||
		proto.Unmarshal(policyKV.Value, &policy) != nil {
		// A record of a newer version of the server: answer from what was known before.
		if ok {
			return e
		}
	}
	suspects, err := ledger.Suspects(v.Get, c, &rollout)
	if err != nil && ok {
		return e
	}
	e = chainEntry{
		head: headKV.ModRevision, rollout: rolloutKV.ModRevision, policy: policyKV.ModRevision,
		chain: newChain(&head, &rollout, &policy), suspects: suspects,
	}
	x.chains[c] = e
	return e
}

// trialsOf reads the manifests of trials that are new, and forgets those that ended.
func (x *Index) trialsOf(c wire.Channel, releases []int64) []trial {
	if x.documents == nil {
		return nil
	}
	known := x.trials[c]
	x.trials[c] = map[int64]trial{}
	var out []trial
	for _, n := range releases {
		t, ok := known[n]
		if !ok || t.documents == nil {
			t = trial{channel: c, release: n}
			if ids, err := x.documents(c, n); err == nil {
				t.documents = make(map[wire.DocumentID]struct{}, len(ids))
				for _, id := range ids {
					t.documents[id] = struct{}{}
				}
			}
		}
		x.trials[c][n] = t
		out = append(out, t)
	}
	return out
}

// unread says whether the manifest of a trial is still to be read.
func (x *Index) unread() bool {
	for _, trials := range x.trials {
		for _, t := range trials {
			if t.documents == nil {
				return true
			}
		}
	}
	return false
}
