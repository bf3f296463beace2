package prune

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/publish"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// observed is a channel as one view has it, and the revisions of the records that say so.
type observed struct {
	Channel
	stamps []registry.Compare
}

// observe reads what is known of a channel: its records from a view, and its base.
func (t *term) observe(ctx context.Context, view watchcache.View, c wire.Channel) (observed, error) {
	var (
		o       observed
		head    storev1.HeadRecord
		rollout storev1.RolloutRecord
	)
	for key, rec := range map[string]proto.Message{ledger.HeadKey(c): &head, ledger.RolloutKey(c): &rollout} {
		stamp, err := read(view, key, rec)
		if err != nil {
			return o, err
		}
		o.stamps = append(o.stamps, stamp)
	}
	base, stamp, err := t.base(ctx, c)
	if err != nil {
		return o, err
	}
	o.stamps = append(o.stamps, stamp)
	o.Base, o.Head, o.LastKnownGood = base.GetRelease(), head.GetRelease(), rollout.GetLastKnownGood()
	for _, g := range rollout.GetGenerations() {
		o.Generations = append(o.Generations, g.GetRelease())
	}
	for _, r := range rollout.GetReleases() {
		o.Releases = append(o.Releases, r.GetNumber())
	}
	out, err := outOfRollouts(view, rollout.GetTargets())
	if err != nil {
		return o, err
	}
	for dc, target := range rollout.GetTargets() {
		o.Targets = append(o.Targets, Target{Release: target.GetRelease(), Out: out[dc]})
	}
	held, err := publish.HeldIn(view, c)
	if err != nil {
		return o, err
	}
	o.Named = held.Releases
	for _, r := range rollout.GetReverts() {
		o.Named = append(o.Named, r.GetRelease())
	}
	if o.Asked, err = rollbacks(view, c); err != nil {
		return o, err
	}
	prefix := ledger.HistoryPrefix(c)
	view.Ascend(prefix, func(kv registry.KV) bool {
		if n, err := strconv.ParseInt(kv.Key[len(prefix):], 16, 64); err == nil {
			o.History = append(o.History, n)
		}
		return true
	})
	return o, nil
}

// read reads a record of a view, and what to compare so that it is still the same.
func read(view watchcache.View, key string, m proto.Message) (registry.Compare, error) {
	kv, ok := view.Get(key)
	if !ok {
		return registry.Compare{Key: key}, nil
	}
	if err := proto.Unmarshal(kv.Value, m); err != nil {
		return registry.Compare{}, fmt.Errorf("prune: record %s: %w", key, err)
	}
	return registry.Compare{Key: key, ModRevision: kv.ModRevision}, nil
}

// base reads the stored base of a channel, without what it lists.
func (t *term) base(ctx context.Context, c wire.Channel) (*edgev1.Base, registry.Compare, error) {
	key := wire.BaseKey(c)
	var signed edgev1.Signed
	rec := &edgev1.Base{}
	revision, err := ledger.Load(ctx, t.cfg.Edge, key, &signed)
	if err != nil || revision == 0 {
		return rec, registry.Compare{Key: key}, err
	}
	if err := t.cfg.Trust.Open(&signed, wire.ContextBase, rec); err != nil {
		return nil, registry.Compare{}, fmt.Errorf("prune: base of %s: %w", c, err)
	}
	return rec, registry.Compare{Key: key, ModRevision: revision}, nil
}

// outOfRollouts says which of the data centers take no part in rollouts.
func outOfRollouts(view watchcache.View, targets map[string]*storev1.TargetState) (map[string]bool, error) {
	out := map[string]bool{}
	for dc := range targets {
		var control storev1.DataCenterControl
		var reports storev1.FleetRecord
		if _, err := read(view, ledger.DataCenterKey(dc), &control); err != nil {
			return nil, err
		}
		if _, err := read(view, ledger.FleetKey(dc), &reports); err != nil {
			return nil, err
		}
		out[dc] = control.GetDrained() || control.GetPinned() ||
			!slices.ContainsFunc(reports.GetServers(), (*storev1.FleetRecord_Server).GetConnected)
	}
	return out, nil
}

// rollbacks are the releases of a channel that operators asked to undo, and that nobody
// looked at yet.
func rollbacks(view watchcache.View, c wire.Channel) ([]int64, error) {
	var out []int64
	var failed error
	view.Ascend(ledger.CommandsPrefix, func(kv registry.KV) bool {
		var cmd storev1.Command
		if failed = proto.Unmarshal(kv.Value, &cmd); failed != nil {
			failed = fmt.Errorf("prune: record %s: %w", kv.Key, failed)
			return false
		}
		if cmd.GetVerb() == storev1.Command_ROLLBACK && cmd.GetChannel() == string(c) {
			out = append(out, cmd.GetRelease())
		}
		return true
	})
	return out, failed
}
