package rollout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// run is one stretch of leading, from loading the state to the first failure.
type run struct {
	driver *Driver
	term   Term
	state  State
	view   watchcache.View
	// written is the revision of the last transaction; no older view is looked at.
	written int64
	// stored is what each channel's record holds, but for attestations.
	stored map[wire.Channel]storedChain
	heads  map[wire.Channel]head
	// chunks are the chunks of suspects that stored records name.
	chunks map[wire.Channel]map[int64]bool
	// garbage are the keys of commands that can't be read.
	garbage []string
}

type storedChain struct {
	modRevision int64
	durable     []byte
}

type head struct {
	record      *storev1.HeadRecord
	modRevision int64
}

// load reads the state that the last leader left, and repairs targets that a split
// transaction of it did not reach.
func (d *Driver) load(ctx context.Context, term Term) (*run, error) {
	view, err := d.cfg.Control.Read(ctx)
	if err != nil {
		return nil, err
	}
	r := &run{
		driver: d, term: term, state: NewState(), view: view, stored: map[wire.Channel]storedChain{},
		chunks: map[wire.Channel]map[int64]bool{},
	}
	var garbage []registry.Op
	for i := range r.state.Chains {
		c := r.state.Chains[i].Channel
		kv, ok := view.Get(ledger.RolloutKey(c))
		if !ok {
			r.stored[c] = storedChain{}
			continue
		}
		var rec storev1.RolloutRecord
		if err := proto.Unmarshal(kv.Value, &rec); err != nil {
			return nil, fmt.Errorf("rollout: record of channel %s: %w", c, err)
		}
		suspects, err := ledger.Suspects(view.Get, c, &rec)
		if err != nil {
			return nil, fmt.Errorf("rollout: record of channel %s: %w", c, err)
		}
		ch, err := ChainFromRecord(c, &rec, suspects)
		if err != nil {
			return nil, fmt.Errorf("rollout: record of channel %s: %w", c, err)
		}
		garbage = append(garbage, r.loadChunks(&ch)...)
		for j := range ch.Releases {
			if ch.Releases[j].Phase == Good {
				continue // Nothing is asked of what it changed.
			}
			m, err := d.manifest(ctx, c, ch.Releases[j].Number)
			if err != nil {
				return nil, err
			}
			ch.Releases[j].Changes = m.Changes
		}
		b, err := durable(&ch)
		if err != nil {
			return nil, err
		}
		r.state.Chains[i] = ch
		r.stored[c] = storedChain{modRevision: kv.ModRevision, durable: b}
	}
	return r, r.repair(ctx, garbage)
}

// repair writes targets that are not what the state says, and removes garbage.
func (r *run) repair(ctx context.Context, garbage []registry.Op) error {
	stored, err := r.targets(ctx)
	if err != nil {
		return err
	}
	ops := garbage
	for i := range r.state.Chains {
		ch := &r.state.Chains[i]
		for j := range ch.Targets {
			t := &ch.Targets[j]
			have := &edgev1.Target{}
			if kv, ok := stored[wire.TargetKey(t.DataCenter, ch.Channel)]; ok && proto.Unmarshal(kv.Value, have) != nil {
				have = &edgev1.Target{} // It is written anew.
			}
			if have.GetRelease() == t.Release && have.GetSequence() == t.Sequence {
				continue
			}
			t.Sequence = max(t.Sequence, have.GetSequence()+1)
			set := SetTarget{Channel: ch.Channel, DataCenter: t.DataCenter, Release: t.Release, Sequence: t.Sequence}
			if rel := ch.Release(t.Release); rel != nil {
				if w := rel.wave(t.DataCenter); w >= 0 && rel.Phase == Rolling {
					set.Bake = rel.Waves[w].Bake
				}
			}
			op, err := r.target(set)
			if err != nil {
				return err
			}
			ops = append(ops, op)
		}
	}
	_, err = r.commit(ctx, nil, ops)
	return err
}

// targets reads the targets of all data centers that the state knows.
func (r *run) targets(ctx context.Context) (map[string]registry.KV, error) {
	out := map[string]registry.KV{}
	done := map[string]bool{}
	for i := range r.state.Chains {
		for _, t := range r.state.Chains[i].Targets {
			if done[t.DataCenter] {
				continue
			}
			done[t.DataCenter] = true
			page, err := r.driver.cfg.Edge.List(ctx, registry.ListRequest{Prefix: wire.TargetPrefix(t.DataCenter)})
			if err != nil {
				return nil, err
			}
			for _, kv := range page.KVs {
				out[kv.Key] = kv
			}
		}
	}
	return out, nil
}

// outpaced says whether a step failed only because the head of a chain moved meanwhile.
func (r *run) outpaced(err error) bool {
	conflict, ok := errors.AsType[*registry.ConflictError](err)
	if !ok || errors.Is(err, ledger.ErrDeposed) {
		return false
	}
	for c, s := range r.stored {
		if kv, compared := conflict.Current[ledger.RolloutKey(c)]; compared && kv.ModRevision != s.modRevision {
			return false // Somebody else wrote our records: what we know is wrong.
		}
	}
	for c, h := range r.heads {
		if kv, compared := conflict.Current[ledger.HeadKey(c)]; compared && kv.ModRevision != h.modRevision {
			return true
		}
	}
	return false
}

// refresh takes the newest view that includes our own writes.
func (r *run) refresh(ctx context.Context) error {
	if r.written > 0 {
		if err := r.driver.cfg.Control.WaitRevision(ctx, r.written); err != nil {
			return err
		}
		r.written = 0
	}
	r.view = r.driver.cfg.Control.Cached()
	return nil
}

// step observes, steps, and makes the outcome true in one transaction. When nothing came of
// it, nothing is written.
func (r *run) step(ctx context.Context) error {
	o, err := r.observe(ctx)
	if err != nil {
		return err
	}
	next, actions := Step(r.state, o)
	changed, err := r.apply(ctx, next, actions)
	if err != nil {
		return err
	}
	r.state = next
	r.driver.tried(o.EmptyTrials)
	r.driver.show(next, o.Policies, changed)
	for _, a := range actions {
		r.tell(ctx, a)
	}
	return nil
}

// apply writes the step: records and marks first, then targets in their order, so that of a
// transaction that had to be split the part that decides comes first.
func (r *run) apply(ctx context.Context, next State, actions []Action) (bool, error) {
	var conditions []registry.Compare
	var ops []registry.Op
	put := func(key string, m proto.Message) error {
		op, err := ledger.Put(key, m)
		ops = append(ops, op)
		return err
	}
	fresh := map[wire.Channel]storedChain{}
	chunks := map[wire.Channel]map[int64]bool{}
	var unused []registry.Op
	var errs []error
	for i := range next.Chains {
		ch := &next.Chains[i]
		b, err := durable(ch)
		errs = append(errs, err)
		before := r.stored[ch.Channel]
		if bytes.Equal(b, before.durable) {
			continue
		}
		key := ledger.RolloutKey(ch.Channel)
		conditions = append(conditions, registry.Compare{Key: key, ModRevision: before.modRevision})
		errs = append(errs, put(key, ch.Record()))
		fresh[ch.Channel] = storedChain{durable: b}
		used := ch.inChunks()
		errs = append(errs, r.writeChunks(ctx, ch, used))
		unused = append(unused, r.unused(ch, used)...)
		chunks[ch.Channel] = used
	}
	var targets []registry.Op
	for _, a := range actions {
		switch a := a.(type) {
		case SetTarget:
			op, err := r.target(a)
			targets, errs = append(targets, op), append(errs, err)
		case Abandon:
			h := r.heads[a.Channel]
			rec := proto.CloneOf(h.record)
			rec.Release, rec.Cursor = a.Head, a.Cursor
			key := ledger.HeadKey(a.Channel)
			conditions = append(conditions, registry.Compare{Key: key, ModRevision: h.modRevision})
			errs = append(errs, put(key, rec))
			for _, n := range a.Releases {
				ops = append(ops, registry.Put(wire.AbandonedKey(a.Channel, n), []byte(a.Reason)))
			}
		case PutQuarantine:
			errs = append(errs, put(ledger.QuarantineKey(ledger.QuarantineID(a.Quarantine.Document)), quarantineRecord(a.Quarantine)))
		case RemoveQuarantine:
			ops = append(ops, registry.Delete(ledger.QuarantineKey(ledger.QuarantineID(a.Document))))
		case RemoveCommand:
			ops = append(ops, registry.Delete(ledger.CommandKey(a.ID)))
		case Archive:
			errs = append(errs, put(ledger.HistoryKey(a.Channel, a.Release.Number), a.Release.Record()))
		case ReleaseSuspects, Incident:
		}
	}
	for _, key := range r.garbage {
		ops = append(ops, registry.Delete(key))
	}
	if err := errors.Join(errs...); err != nil {
		return false, err
	}
	rev, err := r.commit(ctx, conditions, append(append(ops, targets...), unused...))
	if err != nil {
		return false, err
	}
	maps.Copy(r.chunks, chunks)
	for c, s := range fresh {
		s.modRevision = rev
		r.stored[c] = s
	}
	return len(ops)+len(targets) > 0, nil
}

// commit writes operations, in several transactions where there are too many for one, and
// returns the revision of the first one, which alone has the conditions.
func (r *run) commit(ctx context.Context, conditions []registry.Compare, ops []registry.Op) (int64, error) {
	first := int64(0)
	for len(ops) > 0 {
		n := fitting(ops)
		rev, err := ledger.Commit(ctx, r.driver.cfg.Edge, r.term.Fence(), registry.Txn{If: conditions, Then: ops[:n]})
		if err != nil {
			return 0, err
		}
		if first == 0 {
			first = rev
		}
		conditions, ops = nil, ops[n:]
		r.written = rev
	}
	return first, nil
}

// fitting is how many of the operations fit into one transaction, with room for the fence.
func fitting(ops []registry.Op) int {
	size := 0
	for i, op := range ops {
		size += len(op.Key) + len(op.Value)
		if i > 0 && (i >= registry.MaxTxnOps || size > registry.MaxRequestBytes*3/4) {
			return i
		}
	}
	return len(ops)
}

func (r *run) target(a SetTarget) (registry.Op, error) {
	return ledger.Put(wire.TargetKey(a.DataCenter, a.Channel), &edgev1.Target{
		DataCenter: a.DataCenter, Channel: string(a.Channel), Release: a.Release, Term: r.term.Number(),
		Sequence: a.Sequence, Bake: durationpb.New(a.Bake),
	})
}

// durable is the stored form of a chain without attestations: they are latched from reports
// that are said again, and writing each of them would cost a transaction a server.
func durable(ch *Chain) ([]byte, error) {
	rec := ch.Record()
	for _, rel := range rec.GetReleases() {
		for _, w := range rel.GetWaves() {
			w.AttestedCount, w.ServerCount = 0, 0
			for _, s := range w.GetServers() {
				s.Attested = false
			}
		}
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(rec)
	if err != nil {
		return nil, fmt.Errorf("rollout: record of channel %s: %w", ch.Channel, err)
	}
	return b, nil
}

// tell logs what people should know, and passes incidents on.
func (r *run) tell(ctx context.Context, a Action) {
	log := r.driver.cfg.Logger
	switch a := a.(type) {
	case Abandon:
		log.WarnContext(ctx, "releases were abandoned", "channel", a.Channel, "releases", a.Releases, "head", a.Head, "reason", a.Reason)
	case PutQuarantine:
		log.WarnContext(ctx, "a document is in quarantine", "document", a.Quarantine.Document.String(),
			"release", a.Quarantine.Release, "reason", a.Quarantine.Reason, "trying", a.Quarantine.Trying)
	case Incident:
		log.WarnContext(ctx, "incident", "kind", int(a.Kind), "channel", a.Channel, "release", a.Release,
			"data_centers", a.DataCenters, "detail", a.Detail)
		if r.driver.cfg.OnIncident != nil {
			r.driver.cfg.OnIncident(a)
		}
	case SetTarget, RemoveQuarantine, ReleaseSuspects, RemoveCommand, Archive:
	}
}

func isNotFound(err error) bool { return errors.Is(err, registry.ErrNotFound) }
