package rollout

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// observe puts together what the machine sees: the records of the view, the manifests that
// the heads name, and what edges report.
func (r *run) observe(ctx context.Context) (Observation, error) {
	d := r.driver
	o := Observation{
		Now: d.cfg.Clock.Now(), Since: d.cfg.Observer.Since(), Steady: d.cfg.Observer.Steady(), Servers: d.cfg.Observer.Servers(),
		Controls: map[string]Control{}, Policies: map[wire.Channel]Policy{}, Sealed: map[wire.Channel][]Release{},
		EmptyTrials: d.emptyTrials(),
	}
	slices.SortFunc(o.Servers, func(a, b Server) int {
		return cmp.Or(cmp.Compare(a.DataCenter, b.DataCenter), cmp.Compare(a.Name, b.Name))
	})
	fleet := map[string]struct{}{}
	for _, dc := range d.cfg.DataCenters {
		fleet[dc] = struct{}{}
	}
	for _, s := range o.Servers {
		fleet[s.DataCenter] = struct{}{}
	}
	o.Fleet = slices.Sorted(maps.Keys(fleet))
	r.heads = map[wire.Channel]head{}
	for i := range r.state.Chains {
		ch := &r.state.Chains[i]
		h := head{record: &storev1.HeadRecord{}}
		h.modRevision = r.record(ctx, ledger.HeadKey(ch.Channel), h.record)
		r.heads[ch.Channel] = h
		var set *storev1.ChannelPolicy
		var policy storev1.ChannelPolicy
		if r.record(ctx, ledger.PolicyKey(ch.Channel), &policy) > 0 {
			set = &policy
		}
		o.Policies[ch.Channel] = PolicyFrom(MergePolicy(set, d.cfg.Defaults[ch.Channel]))
		sealed, err := d.sealed(ctx, ch, h.record.GetLastNumber())
		if err != nil {
			return Observation{}, err
		}
		o.Sealed[ch.Channel] = sealed
	}
	r.view.Ascend(ledger.DataCentersPrefix, func(kv registry.KV) bool {
		var c storev1.DataCenterControl
		if r.parse(ctx, kv, &c) {
			o.Controls[strings.TrimPrefix(kv.Key, ledger.DataCentersPrefix)] = Control{Drained: c.GetDrained(), Pinned: c.GetPinned()}
		}
		return true
	})
	r.view.Ascend(ledger.QuarantinesPrefix, func(kv registry.KV) bool {
		var q storev1.QuarantineRecord
		if r.parse(ctx, kv, &q) {
			o.Quarantines = append(o.Quarantines, quarantineFrom(&q))
		}
		return true
	})
	return o, r.commands(ctx, &o)
}

// commands reads what operators ask. A command that can't be read is removed.
func (r *run) commands(ctx context.Context, o *Observation) error {
	var failed error
	r.garbage = nil
	r.view.Ascend(ledger.CommandsPrefix, func(kv registry.KV) bool {
		var c storev1.Command
		if !r.parse(ctx, kv, &c) {
			r.garbage = append(r.garbage, kv.Key)
			return true
		}
		cmd := Command{
			ID: strings.TrimPrefix(kv.Key, ledger.CommandsPrefix), Verb: c.GetVerb(), Channel: wire.Channel(c.GetChannel()),
			Release: c.GetRelease(), Quarantine: c.GetQuarantine(), Reason: c.GetReason(), Principal: c.GetPrincipal(),
		}
		if ch := r.state.Chain(cmd.Channel); ch != nil && cmd.Verb == storev1.Command_ROLLBACK && cmd.Release <= ch.LastKnownGood {
			failed = r.undo(ctx, &cmd)
		}
		o.Commands = append(o.Commands, cmd)
		return failed == nil
	})
	return failed
}

// undo gives a rollback of an old release the changes that it undoes. A release that was
// pruned, abandoned, or never was has none.
func (r *run) undo(ctx context.Context, cmd *Command) error {
	_, err := r.driver.cfg.Edge.Get(ctx, wire.AbandonedKey(cmd.Channel, cmd.Release))
	if err == nil {
		return nil
	}
	if !isNotFound(err) {
		return err
	}
	m, err := r.driver.manifest(ctx, cmd.Channel, cmd.Release)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	cmd.Changes, cmd.FromRevision = m.Changes, m.FromRevision
	return nil
}

// record reads a record of the view and returns its revision, or zero.
func (r *run) record(ctx context.Context, key string, m proto.Message) int64 {
	kv, ok := r.view.Get(key)
	if !ok || !r.parse(ctx, kv, m) {
		return 0
	}
	return kv.ModRevision
}

func (r *run) parse(ctx context.Context, kv registry.KV, m proto.Message) bool {
	if err := proto.Unmarshal(kv.Value, m); err != nil {
		r.driver.cfg.Logger.ErrorContext(ctx, "a record can't be read and is passed over", "key", kv.Key, "error", err)
		return false
	}
	return true
}

func quarantineFrom(q *storev1.QuarantineRecord) Quarantine {
	bad, _ := wire.SumFromBytes(q.GetBadSha256())
	good, _ := wire.SumFromBytes(q.GetGoodSha256())
	return Quarantine{
		Document: wire.DocumentID{Kind: q.GetKind(), ID: q.GetId()}, Channel: wire.Channel(q.GetChannel()),
		Release: q.GetRelease(), FromRevision: q.GetFromRevision(), Bad: bad, Good: good, Reason: q.GetReason(),
		DataCenter: q.GetDataCenter(), Server: q.GetServer(), Retries: int(q.GetRetries()),
		Retry: unstamp(q.GetRetryTime()), Trying: q.GetTrying(), Created: unstamp(q.GetCreateTime()),
		RetriedBy: q.GetRetryPrincipal(), Resting: q.GetResting(),
	}
}

func quarantineRecord(q Quarantine) *storev1.QuarantineRecord {
	return &storev1.QuarantineRecord{
		Kind: q.Document.Kind, Id: q.Document.ID, Channel: string(q.Channel), Release: q.Release,
		FromRevision: q.FromRevision, BadSha256: sumBytes(q.Bad), GoodSha256: sumBytes(q.Good), Reason: q.Reason,
		DataCenter: q.DataCenter, Server: q.Server, Retries: int32(q.Retries),
		RetryTime: stamp(q.Retry), Trying: q.Trying, CreateTime: stamp(q.Created),
		RetryPrincipal: q.RetriedBy, Resting: q.Resting,
	}
}
