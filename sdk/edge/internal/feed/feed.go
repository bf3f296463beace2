package feed

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Etcd is what a feed needs of an etcd client; [*clientv3.Client] has it.
type Etcd interface {
	Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error)
	Txn(ctx context.Context) clientv3.Txn
	Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan
}

// Config says what a feed reads.
type Config struct {
	DataCenter string
	Etcd       Etcd
	// Quota bounds what is staged, in bytes.
	Quota int64
	// Heartbeat is the time between reads of the targets.
	Heartbeat time.Duration
	// Timeout bounds every read.
	Timeout time.Duration
	Clock   clockwork.Clock
	// Pause returns how long to wait before the nth attempt in a row.
	Pause  func(attempt int) time.Duration
	Logger *slog.Logger
	// Cluster and Revision are what was seen before, by an earlier process.
	Cluster  uint64
	Revision int64
	// Rejected returns the releases of a channel whose end is awaited, and Abandoned is
	// called when one ended; it must not block, and may call the feed.
	Rejected  func(wire.Channel) []int64
	Abandoned func(c wire.Channel, n int64)
}

// Target is what a data center must serve of one channel.
type Target struct {
	Release  int64
	Sequence int64
	Bake     time.Duration
	// Current says that it was the newest one when it was read.
	Current bool
	// revision orders targets within one cluster.
	revision int64
}

// Feed brings what etcd holds.
type Feed struct {
	cfg  Config
	wake chan struct{}

	mu        sync.Mutex
	targets   map[wire.Channel]Target
	staging   *staging
	cluster   uint64
	revision  int64 // the highest one seen
	watched   int64 // the highest one of an event
	resume    int64 // where a watch goes on; zero after a gap
	epoch     int
	connected bool
}

// New returns a feed that reads nothing yet.
func New(cfg Config) *Feed {
	return &Feed{
		cfg: cfg, wake: make(chan struct{}, 1), targets: map[wire.Channel]Target{},
		staging: newStaging(cfg.Quota), cluster: cfg.Cluster, revision: cfg.Revision,
	}
}

// Wake returns a channel that gets a value after something changed.
func (f *Feed) Wake() <-chan struct{} { return f.wake }

// Signal wakes whoever waits on [Feed.Wake].
func (f *Feed) Signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Target returns the newest target of a channel; false before the first.
func (f *Feed) Target(c wire.Channel) (Target, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.targets[c]
	return t, ok
}

// Epoch grows with every list: what was not watched without a gap may be another cluster's,
// even where its revisions look right.
func (f *Feed) Epoch() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.epoch
}

// Position returns the cluster and the highest revision that was seen of it.
func (f *Feed) Position() (cluster uint64, revision int64, connected bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cluster, f.revision, f.connected
}

// Staged returns how many bytes are staged.
func (f *Feed) Staged() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.staging.used
}

// StagedBlob returns a staged document, whose digest was checked.
func (f *Feed) StagedBlob(sum wire.Sum) ([]byte, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, ok := f.staging.blobs[sum]
	return b, ok
}

// StagedManifest returns a staged manifest.
func (f *Feed) StagedManifest(c wire.Channel, n int64) ([]byte, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	raw, ok := f.staging.manifests[release{c, n}]
	return raw, ok
}

// Done drops what is of no more use: the documents that were applied, and manifests up to
// a release.
func (f *Feed) Done(c wire.Channel, n int64, sums map[wire.Sum][]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for sum := range sums {
		f.staging.drop(staged{sum: sum})
	}
	for r := range f.staging.manifests {
		if r.channel == c && r.number <= n {
			f.staging.drop(staged{release: r})
		}
	}
}

var errCompacted = errors.New("edge feed: the watch's revision is compacted")

// longestPause is an attempt whose pause is the longest there is.
const longestPause = 1 << 10

// Run lists and watches until ctx ends.
func (f *Feed) Run(ctx context.Context) {
	for attempt := 0; ctx.Err() == nil; {
		began := f.cfg.Clock.Now()
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if f.cfg.Clock.Since(began) > time.Minute {
			attempt = 0
		}
		pause := f.cfg.Pause(attempt)
		attempt++
		if errors.Is(err, errCompacted) {
			pause = f.cfg.Pause(longestPause)
		}
		f.cfg.Logger.Info("edge feed: interrupted", "error", err)
		timer := f.cfg.Clock.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.Chan():
		}
		timer.Stop()
	}
}

// follow watches from where the watch before was interrupted, or from a new list, until
// something ends it.
func (f *Feed) follow(ctx context.Context) error {
	from := f.resumeAt()
	if from == 0 {
		listed, err := f.list(ctx)
		if err != nil {
			return err
		}
		from = listed + 1
	}
	err := f.watch(ctx, from)
	f.setConnected(false)
	if !errors.Is(err, errInterrupted) {
		f.mu.Lock()
		f.resume = 0
		f.mu.Unlock()
	}
	return err
}

func (f *Feed) resumeAt() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.resume
}

func (f *Feed) setConnected(connected bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.connected = connected
}
