package publish

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// holds are the documents of a channel that are kept at their good versions, as of one
// revision of control/.
type holds struct {
	suspects    map[wire.DocumentID]hold
	quarantines map[wire.DocumentID]hold
	// trial are the suspected versions that the bisection wants tried as trial number.
	trial  map[wire.DocumentID]wire.Sum
	number int64
	// taken is the newest release that the rollout knows, good its last known good one.
	taken, good int64

	rolloutRevision                 int64
	quarantineCount                 int
	quarantineSum, quarantineNewest int64
}

// hold keeps the good version in the bad one's place.
type hold struct {
	bad, good wire.Sum
	// trying lets a quarantined version out once more; resting keeps every other one back.
	trying, resting bool
	// revert says that an operator wants the good version back.
	revert bool
	// release is the one that brought the bad version.
	release int64
}

// wanted is the version that stands in for the one that the registry wants.
func (h *holds) wanted(id wire.DocumentID, sum wire.Sum) wire.Sum {
	if s, ok := h.suspects[id]; ok && s.bad == sum {
		sum = s.good
	}
	if q, ok := h.quarantines[id]; ok && !q.trying && (q.bad == sum || q.resting) {
		sum = q.good
	}
	return sum
}

// alone says whether a document may only be published alone: it was quarantined, and is
// tried again or has another version.
func (h *holds) alone(id wire.DocumentID, sum wire.Sum) bool {
	q, ok := h.quarantines[id]
	return ok && sum != q.good
}

// loadHolds reads the holds of a channel. It returns old itself when nothing changed.
func loadHolds(view watchcache.View, c wire.Channel, old *holds) (*holds, error) {
	next := &holds{suspects: map[wire.DocumentID]hold{}, quarantines: map[wire.DocumentID]hold{}}
	rollout, _ := view.Get(ledger.RolloutKey(c))
	next.rolloutRevision = rollout.ModRevision
	next.stampQuarantines(view)
	if old != nil && old.rolloutRevision == next.rolloutRevision && old.quarantineCount == next.quarantineCount &&
		old.quarantineSum == next.quarantineSum && old.quarantineNewest == next.quarantineNewest {
		return old, nil
	}
	if err := next.readRollout(view, c, rollout.Value); err != nil {
		return nil, err
	}
	var failed error
	view.Ascend(ledger.QuarantinesPrefix, func(kv registry.KV) bool {
		var rec storev1.QuarantineRecord
		if failed = proto.Unmarshal(kv.Value, &rec); failed != nil {
			failed = fmt.Errorf("publish: record %s: %w", kv.Key, failed)
			return false
		}
		id := wire.DocumentID{Kind: rec.GetKind(), ID: rec.GetId()}
		if of, _ := wire.ChannelOf(id.Kind); of != c {
			return true
		}
		var h hold
		if h, failed = newHold(rec.GetBadSha256(), rec.GetGoodSha256()); failed != nil {
			return false
		}
		h.trying, h.resting, h.release = rec.GetTrying(), rec.GetResting(), rec.GetRelease()
		next.quarantines[id] = h
		return true
	})
	return next, failed
}

// stampQuarantines notes what tells one set of quarantines from another: a removal changes
// the count, a put the newest revision, and both at once the newest revision too.
func (h *holds) stampQuarantines(view watchcache.View) {
	view.Ascend(ledger.QuarantinesPrefix, func(kv registry.KV) bool {
		h.quarantineCount++
		h.quarantineNewest = max(h.quarantineNewest, kv.ModRevision)
		h.quarantineSum += kv.ModRevision
		return true
	})
}

func (h *holds) readRollout(view watchcache.View, c wire.Channel, value []byte) error {
	var rec storev1.RolloutRecord
	if err := proto.Unmarshal(value, &rec); err != nil {
		return fmt.Errorf("publish: rollout: %w", err)
	}
	h.taken, h.good = rec.GetLastNumber(), rec.GetLastKnownGood()
	suspects, err := ledger.Suspects(view.Get, c, &rec)
	if err != nil {
		return fmt.Errorf("publish: rollout: %w", err)
	}
	for _, s := range suspects {
		one, err := newHold(s.GetBadSha256(), s.GetGoodSha256())
		if err != nil {
			return err
		}
		one.revert, one.release = s.GetOrigin() == storev1.Suspect_REVERT, s.GetRelease()
		h.suspects[wire.DocumentID{Kind: s.GetKind(), ID: s.GetId()}] = one
	}
	b := rec.GetBisection()
	if b.GetTrial() == 0 || b.GetRelease() != 0 || b.GetExhausted() || len(b.GetGroups()) == 0 {
		return nil
	}
	size := int(b.GetGroups()[0].GetSize())
	if size > len(suspects) {
		return fmt.Errorf("publish: rollout: a group of %d among %d suspects", size, len(suspects))
	}
	h.number, h.trial = b.GetTrial(), map[wire.DocumentID]wire.Sum{}
	for _, s := range suspects[:size] {
		id := wire.DocumentID{Kind: s.GetKind(), ID: s.GetId()}
		h.trial[id] = h.suspects[id].bad
	}
	return nil
}

func newHold(bad, good []byte) (hold, error) {
	var h hold
	var err error
	if h.bad, err = wire.SumFromBytes(bad); err != nil {
		return h, fmt.Errorf("publish: hold: %w", err)
	}
	if h.good, err = wire.SumFromBytes(good); err != nil {
		return h, fmt.Errorf("publish: hold: %w", err)
	}
	return h, nil
}

// differing calls visit for every document that is held in another way now.
func (h *holds) differing(old *holds, visit func(wire.DocumentID)) {
	if old == nil {
		old = &holds{}
	}
	compare := func(a, b map[wire.DocumentID]hold) {
		for id, one := range a {
			if other, ok := b[id]; !ok || other != one {
				visit(id)
			}
		}
		for id := range b {
			if _, ok := a[id]; !ok {
				visit(id)
			}
		}
	}
	compare(h.suspects, old.suspects)
	compare(h.quarantines, old.quarantines)
}
