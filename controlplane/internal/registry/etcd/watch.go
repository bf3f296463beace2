package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jonboulle/clockwork"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

var _ registry.ProgressRequester = (*watch)(nil)

// watch turns one etcd watch into the contract's. One goroutine, run, owns all its state
// but what is atomic; two helpers open the stream and probe the store.
type watch struct {
	store   *Store
	prefix  string
	cluster uint64
	out     chan registry.Batch
	ask     chan struct{}
	err     atomic.Pointer[error]

	// last is the revision up to which everything was received. Only run stores it.
	last atomic.Int64
	// target is the newest revision that a probe saw: what last has to reach.
	target   int64
	pending  []registry.Batch
	buffered int // events
	bytes    int
}

// Watch implements [registry.Store].
func (s *Store) Watch(ctx context.Context, prefix string, after int64) registry.Watch {
	w := &watch{
		store:   s,
		prefix:  prefix,
		cluster: s.cluster.Load(),
		out:     make(chan registry.Batch),
		ask:     make(chan struct{}, 1),
	}
	w.last.Store(after)
	go w.run(ctx)
	return w
}

func (w *watch) C() <-chan registry.Batch { return w.out }

func (w *watch) Err() error {
	if err := w.err.Load(); err != nil {
		return *err
	}
	return nil
}

// RequestProgress implements [registry.ProgressRequester].
func (w *watch) RequestProgress() {
	select {
	case w.ask <- struct{}{}:
	default:
	}
}

// run owns the watch from beginning to end.
func (w *watch) run(ctx context.Context) {
	// The client's own watcher shares one gRPC stream between watches. A progress request
	// answers for a whole stream, and only once all its watches are current, so each watch
	// gets a watcher, and with it a stream, of its own.
	watcher := clientv3.NewWatcher(w.store.client)
	stream, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	opened := make(chan clientv3.WatchChan, 1)
	probes := make(chan probe)
	var helpers sync.WaitGroup
	helpers.Go(func() { opened <- w.open(stream, watcher) })
	helpers.Go(func() { w.probeLoop(stream, watcher, probes) })

	err := w.relay(ctx, opened, probes)
	cancel()
	if cerr := watcher.Close(); cerr != nil {
		w.store.cfg.Logger.DebugContext(ctx, "closing a watch stream failed", "error", cerr)
	}
	helpers.Wait()
	w.err.Store(&err)
	close(w.out)
}

// open starts etcd's watch. It waits for the server, so run does not call it itself.
func (w *watch) open(stream context.Context, watcher clientv3.Watcher) clientv3.WatchChan {
	// The watch begins at the last known revision and not behind it: etcd answers no
	// progress request for a watch that begins in the future. What is known is dropped in
	// take. A revision below one would mean "now".
	opts := []clientv3.OpOption{
		clientv3.WithRev(max(w.last.Load(), 1)),
		clientv3.WithFragment(), // the client joins the fragments again
		clientv3.WithProgressNotify(),
	}
	key := w.prefix
	if key == "" {
		key = "\x00"
		opts = append(opts, clientv3.WithFromKey())
	} else {
		opts = append(opts, clientv3.WithPrefix())
	}
	return watcher.Watch(stream, key, opts...)
}

// relay moves what etcd sends to the consumer until the watch ends, and returns why.
func (w *watch) relay(ctx context.Context, opened <-chan clientv3.WatchChan, probes <-chan probe) error {
	silence := w.store.cfg.Clock.NewTimer(w.store.cfg.Silence)
	defer silence.Stop()
	var responses clientv3.WatchChan
	for {
		var out chan<- registry.Batch
		var head registry.Batch
		if len(w.pending) > 0 {
			out, head = w.out, w.pending[0]
		}
		var alive bool
		var err error
		select {
		case <-ctx.Done():
			return readError(ctx, ctx.Err())
		case <-silence.Chan():
			return fmt.Errorf("%w: the watch was silent for %v", registry.ErrUnavailable, w.store.cfg.Silence)
		case responses = <-opened:
		case out <- head:
			w.pending = w.pending[1:]
			w.buffered -= len(head.Events)
			w.bytes -= size(head)
		case p := <-probes:
			alive, err = w.judge(p)
		case resp, ok := <-responses:
			if !ok {
				return w.closed(ctx)
			}
			alive, err = w.take(ctx, resp)
		}
		if err != nil {
			return err
		}
		if alive {
			restart(silence, w.store.cfg.Silence)
		}
	}
}

// closed says why etcd's channel ended without a reason.
func (w *watch) closed(ctx context.Context) error {
	if ctx.Err() != nil {
		return readError(ctx, ctx.Err())
	}
	return fmt.Errorf("%w: the watch was closed", registry.ErrUnavailable)
}

// take queues what one response brings. It says whether the response shows that the watch
// gets on.
func (w *watch) take(ctx context.Context, resp clientv3.WatchResponse) (alive bool, err error) {
	if err := w.sameCluster(resp.Header.GetClusterId()); err != nil {
		return false, err
	}
	if err := resp.Err(); err != nil {
		err = readError(ctx, err)
		if compacted, ok := errors.AsType[*registry.CompactedError](err); ok {
			compacted.Oldest = resp.CompactRevision
		}
		return false, err
	}
	last := w.last.Load()
	if len(resp.Events) == 0 {
		if resp.Header.GetRevision() < last {
			// A member that lags, or a store that went back: the probe tells.
			return false, nil
		}
		return resp.Header.GetRevision() >= w.target, w.push(registry.Batch{Revision: resp.Header.GetRevision()})
	}
	batch := registry.Batch{Events: make([]registry.Event, 0, len(resp.Events))}
	for _, ev := range resp.Events {
		// The client may repeat events when it resumes after a lost connection.
		if ev.GetKv().GetModRevision() <= last {
			continue
		}
		batch.Events = append(batch.Events, registry.Event{
			KV:      fromEtcd(ev.GetKv()),
			Deleted: ev.GetType() == clientv3.EventTypeDelete,
		})
	}
	if len(batch.Events) == 0 {
		return false, nil
	}
	// The header's revision can be ahead of a replay that comes in several responses.
	batch.Revision = batch.Events[len(batch.Events)-1].ModRevision
	return true, w.push(batch)
}

// sameCluster ends the watch when another cluster answers than the one that the store last
// heard of when the watch began.
func (w *watch) sameCluster(id uint64) error {
	switch {
	case id == 0 || id == w.cluster:
		return nil
	case w.cluster == 0:
		w.cluster = id
		return nil
	default:
		return &registry.ResetError{Reason: fmt.Sprintf("the cluster was %x and is %x", w.cluster, id)}
	}
}

// push queues a batch for the consumer and bounds the queue.
func (w *watch) push(b registry.Batch) error {
	w.last.Store(b.Revision)
	if n := len(w.pending); len(b.Events) == 0 && n > 0 && len(w.pending[n-1].Events) == 0 {
		w.pending[n-1] = b // two notices in a row say no more than the second
		return nil
	}
	w.pending = append(w.pending, b)
	w.buffered += len(b.Events)
	w.bytes += size(b)
	if w.buffered > w.store.cfg.MaxBuffered || w.bytes > w.store.cfg.MaxBufferedBytes {
		return fmt.Errorf("%w: the watcher lags by %d events of %d bytes",
			registry.ErrUnavailable, w.buffered, w.bytes)
	}
	return nil
}

func size(b registry.Batch) int {
	n := 0
	for _, ev := range b.Events {
		n += len(ev.Key) + len(ev.Value)
	}
	return n
}

// restart sets a timer anew, whether it fired or not.
func restart(t clockwork.Timer, d time.Duration) {
	if !t.Stop() {
		select {
		case <-t.Chan():
		default:
		}
	}
	t.Reset(d)
}
