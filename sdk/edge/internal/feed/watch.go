package feed

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

var (
	errRestored = errors.New("edge feed: the cluster is another one, or was restored from a backup")
	errSilent   = errors.New("edge feed: the watch does not tell what changed")
	// errInterrupted is in every error after which a watch goes on where it was.
	errInterrupted = errors.New("edge feed: interrupted")
	errEnded       = fmt.Errorf("%w: the watch ended", errInterrupted)
)

// list reads the targets, and what became of rejected releases, and returns the revision
// to watch from.
func (f *Feed) list(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	ops := []clientv3.Op{clientv3.OpGet(wire.TargetPrefix(f.cfg.DataCenter), clientv3.WithPrefix())}
	var awaited []release
	for _, c := range wire.Channels() {
		for _, n := range f.cfg.Rejected(c) {
			awaited = append(awaited, release{c, n})
			ops = append(ops, clientv3.OpGet(wire.AbandonedKey(c, n), clientv3.WithCountOnly()))
		}
	}
	resp, err := f.cfg.Etcd.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return 0, fmt.Errorf("edge feed: list: %w", err)
	}
	if len(resp.Responses) != len(ops) {
		return 0, fmt.Errorf("edge feed: list: %d answers to %d questions", len(resp.Responses), len(ops))
	}
	f.mu.Lock()
	if f.moved(resp.Header) {
		f.cfg.Logger.Warn("edge feed: another cluster, or a restored one",
			"revision", resp.Header.GetRevision(), "seen", f.revision)
		f.revision = 0
		f.staging = newStaging(f.cfg.Quota)
	}
	f.epoch++
	f.cluster = resp.Header.GetClusterId()
	f.advance(resp.Header.GetRevision())
	f.watched = resp.Header.GetRevision()
	f.resume = resp.Header.GetRevision() + 1
	for _, kv := range resp.Responses[0].GetResponseRange().GetKvs() {
		f.setTarget(kv, true)
	}
	f.mu.Unlock()
	for i, r := range awaited {
		if resp.Responses[i+1].GetResponseRange().GetCount() > 0 {
			f.cfg.Abandoned(r.channel, r.number)
		}
	}
	f.Signal()
	return resp.Header.GetRevision(), nil
}

// moved says whether a header is not of the cluster that was seen before.
func (f *Feed) moved(h *etcdserverpb.ResponseHeader) bool {
	return f.cluster != 0 && h.GetClusterId() != f.cluster || h.GetRevision() < f.revision
}

func (f *Feed) advance(revision int64) { f.revision = max(f.revision, revision) }

// setTarget takes a target over; what is not one for this data center is ignored.
func (f *Feed) setTarget(kv *mvccpb.KeyValue, current bool) {
	key := wire.ParseEdgeKey(string(kv.GetKey()))
	if key.Kind != wire.TargetKeyKind || key.DataCenter != f.cfg.DataCenter {
		return
	}
	t, err := parseTarget(key, kv.GetValue())
	if err != nil {
		f.cfg.Logger.Warn("edge feed: a target is ignored", "key", string(kv.GetKey()), "error", err)
		return
	}
	t.Current, t.revision = current, kv.GetModRevision()
	f.targets[key.Channel] = t
}

func parseTarget(key wire.EdgeKey, value []byte) (Target, error) {
	var p edgev1.Target
	if err := proto.Unmarshal(value, &p); err != nil {
		return Target{}, err
	}
	if p.GetDataCenter() != key.DataCenter || p.GetChannel() != string(key.Channel) {
		return Target{}, fmt.Errorf("it is for %q %q", p.GetDataCenter(), p.GetChannel())
	}
	if p.GetRelease() <= 0 {
		return Target{}, fmt.Errorf("release %d", p.GetRelease())
	}
	return Target{Release: p.GetRelease(), Sequence: p.GetSequence(), Bake: max(p.GetBake().AsDuration(), 0)}, nil
}

// watch follows edge/ until something ends it.
func (f *Feed) watch(ctx context.Context, from int64) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	var opening sync.WaitGroup
	defer opening.Wait()
	defer cancel()
	// To open blocks until etcd answers: heartbeats find out meanwhile that it does not.
	opened := make(chan clientv3.WatchChan, 1)
	opening.Go(func() {
		opened <- f.cfg.Etcd.Watch(ctx, wire.EdgePrefix,
			clientv3.WithPrefix(), clientv3.WithRev(from), clientv3.WithProgressNotify(), clientv3.WithFragment())
	})
	var events clientv3.WatchChan
	// The first wait is random within one period, so that agents that came together do not
	// stay together.
	beat := f.cfg.Clock.NewTimer(f.cfg.Pause(0) + f.cfg.Heartbeat)
	defer beat.Stop()
	behind := int64(0)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case events = <-opened:
			f.setConnected(true)
		case resp, ok := <-events:
			if err := f.take(resp, ok); err != nil {
				return err
			}
		case <-beat.Chan():
			for drained := false; !drained; {
				select {
				case resp, ok := <-events:
					if err := f.take(resp, ok); err != nil {
						return err
					}
				default:
					drained = true
				}
			}
			newest, err := f.heartbeat(ctx)
			if err != nil {
				return err
			}
			if newest > 0 && newest == behind {
				return errSilent
			}
			behind = newest
			beat.Reset(f.cfg.Heartbeat)
		}
	}
}

func (f *Feed) take(resp clientv3.WatchResponse, ok bool) error {
	switch {
	case !ok:
		return errEnded
	case resp.CompactRevision != 0:
		return errCompacted
	case resp.Err() != nil:
		err := resp.Err()
		if status, ok := errors.AsType[rpctypes.EtcdError](err); ok && status.Code() == codes.Unavailable {
			return fmt.Errorf("%w: %w", errInterrupted, err) // no leader, say
		}
		return fmt.Errorf("edge feed: watch: %w", err)
	}
	if err := f.takeEvents(resp); err != nil {
		return err
	}
	for _, event := range resp.Events {
		// Not under the lock: whoever is called may ask for a target.
		key := wire.ParseEdgeKey(string((*mvccpb.Event)(event).GetKv().GetKey()))
		if key.Kind == wire.AbandonedKeyKind && (*mvccpb.Event)(event).GetType() == mvccpb.Event_PUT {
			f.cfg.Abandoned(key.Channel, key.Release)
		}
	}
	return nil
}

func (f *Feed) takeEvents(resp clientv3.WatchResponse) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cluster != 0 && resp.Header.GetClusterId() != f.cluster {
		return errRestored
	}
	f.cluster = resp.Header.GetClusterId()
	f.advance(resp.Header.GetRevision())
	if resp.IsProgressNotify() {
		f.resume = max(f.resume, resp.Header.GetRevision()+1)
	}
	for _, event := range resp.Events {
		modified := (*mvccpb.Event)(event).GetKv().GetModRevision()
		f.watched = max(f.watched, modified)
		f.resume = max(f.resume, modified+1)
		f.event((*mvccpb.Event)(event), modified == resp.Header.GetRevision())
	}
	return nil
}

func (f *Feed) event(event *mvccpb.Event, current bool) {
	kv := event.GetKv()
	key := wire.ParseEdgeKey(string(kv.GetKey()))
	deleted := event.GetType() == mvccpb.Event_DELETE
	switch key.Kind {
	case wire.UnknownKey, wire.AbandonedKeyKind:
	case wire.BlobKeyKind:
		switch {
		case deleted:
			f.staging.drop(staged{sum: key.Sum})
		case wire.SumOf(kv.GetValue()) == key.Sum:
			f.staging.putBlob(key.Sum, kv.GetValue())
		}
	case wire.ReleaseKeyKind:
		r := release{key.Channel, key.Release}
		if deleted {
			f.staging.drop(staged{release: r})
		} else if r.number > 0 {
			f.staging.putManifest(r, kv.GetValue())
		}
	case wire.TargetKeyKind:
		if !deleted && key.DataCenter == f.cfg.DataCenter {
			f.setTarget(kv, current)
			f.Signal()
		}
	}
}

// heartbeat reads the targets and compares them with what the watch told. It returns the
// revision of a target that the watch did not tell yet, or zero.
func (f *Feed) heartbeat(ctx context.Context) (int64, error) {
	resp, err := f.readTargets(ctx)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errInterrupted, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.moved(resp.Header) {
		return 0, errRestored
	}
	f.advance(resp.Header.GetRevision())
	newest := int64(0)
	for _, kv := range resp.Kvs {
		if kv.GetModRevision() > f.watched {
			newest = max(newest, kv.GetModRevision())
		}
	}
	return newest, nil
}

func (f *Feed) readTargets(ctx context.Context) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	resp, err := f.cfg.Etcd.Get(ctx, wire.TargetPrefix(f.cfg.DataCenter), clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("edge feed: targets: %w", err)
	}
	return resp, nil
}

// Confirm makes sure that the known targets are the newest ones: while a watch catches up
// it tells targets that are long replaced.
func (f *Feed) Confirm(ctx context.Context) error {
	resp, err := f.readTargets(ctx)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.moved(resp.Header) {
		return errRestored
	}
	f.advance(resp.Header.GetRevision())
	for _, kv := range resp.Kvs {
		c := wire.ParseEdgeKey(string(kv.GetKey())).Channel
		if known, ok := f.targets[c]; !ok || kv.GetModRevision() >= known.revision {
			f.setTarget(kv, true)
		}
	}
	return nil
}
