package etcd

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// probe is a linearizable look at the store beside the watch: the heartbeat.
type probe struct {
	known    int64 // what the watch had received before the look
	revision int64
	cluster  uint64
}

// probeLoop looks at the store at once and in every progress interval, and asks the stream
// for progress where the store is ahead of it, or where a consumer wants to know.
func (w *watch) probeLoop(ctx context.Context, watcher clientv3.Watcher, probes chan<- probe) {
	ticker := w.store.cfg.Clock.NewTicker(w.store.cfg.ProgressInterval)
	defer ticker.Stop()
	for {
		if !w.look(ctx, watcher, probes) {
			return
		}
		for asked := true; asked; {
			select {
			case <-ctx.Done():
				return
			case <-ticker.Chan():
				asked = false
			case <-w.ask:
				w.requestProgress(ctx, watcher)
			}
		}
	}
}

// look makes one probe and says whether the watch still goes on. A look that fails is not
// reported: the watch's silence then counts on.
func (w *watch) look(ctx context.Context, watcher clientv3.Watcher, probes chan<- probe) bool {
	known := w.last.Load()
	rev, err := w.store.Revision(ctx)
	if err != nil {
		w.store.cfg.Logger.DebugContext(ctx, "watch heartbeat failed", "prefix", w.prefix, "error", err)
		return ctx.Err() == nil
	}
	select {
	case probes <- probe{known: known, revision: rev, cluster: w.store.cluster.Load()}:
	case <-ctx.Done():
		return false
	}
	if rev > w.last.Load() {
		w.requestProgress(ctx, watcher)
	}
	return true
}

// requestProgress passes a request to the stream. It waits while the client reconnects, so
// it is bounded.
func (w *watch) requestProgress(ctx context.Context, watcher clientv3.Watcher) {
	bounded, cancel := context.WithTimeout(ctx, w.store.cfg.ProgressInterval)
	defer cancel()
	if err := watcher.RequestProgress(bounded); err != nil {
		w.store.cfg.Logger.DebugContext(ctx, "progress request failed", "prefix", w.prefix, "error", err)
	}
}

// judge draws the conclusions from a probe: a store that went back was reset, and one that
// did not move proves that the watch misses nothing.
func (w *watch) judge(p probe) (alive bool, err error) {
	if err := w.sameCluster(p.cluster); err != nil {
		return false, err
	}
	if p.revision < p.known {
		return false, &registry.ResetError{
			Reason: fmt.Sprintf("the revision was %d and is %d", p.known, p.revision),
		}
	}
	w.target = max(w.target, p.revision)
	if p.revision != w.last.Load() {
		return false, nil
	}
	return true, w.push(registry.Batch{Revision: p.revision})
}
