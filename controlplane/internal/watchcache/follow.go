package watchcache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// relist says why the content has to be listed (again).
type relist int

const (
	relistFirst relist = iota // nothing was listed yet
	relistNone                // the watch can go on where it ended
	relistGap                 // events are lost
	relistReset               // the store is not what it was
)

// reask is the time after which a progress request that had no effect is repeated: etcd
// answers none while a watch catches up.
const reask = 50 * time.Millisecond

var (
	errSilent  = errors.New("the watch was silent")
	errSuspect = &registry.ResetError{Reason: "the revision went back"}
)

// keepFollowing lists and watches, again after each failure, until ctx ends.
func (c *Cache) keepFollowing(ctx context.Context) {
	pause := c.cfg.RetryMin
	for {
		began := c.progress.Load()
		err := c.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		c.classify(err)
		if c.progress.Load() != began {
			pause = c.cfg.RetryMin
		}
		c.cfg.Logger.WarnContext(ctx, "watch cache lost its watch",
			"prefix", c.cfg.Prefix, "revision", c.revision(), "retry", pause, "error", err)
		if !c.sleep(ctx, pause) {
			return
		}
		pause = min(2*pause, c.cfg.RetryMax)
	}
}

// classify decides from the end of a watch whether it can be taken up again.
func (c *Cache) classify(err error) {
	var compacted *registry.CompactedError
	var reset *registry.ResetError
	switch {
	case c.relist == relistFirst:
	case errors.As(err, &reset):
		c.relist = relistReset
	case errors.As(err, &compacted) && c.relist == relistNone:
		c.relist = relistGap
	}
}

// sleep pauses with jitter, so that caches that lost the same store do not come back in
// step. It says whether ctx still goes on.
func (c *Cache) sleep(ctx context.Context, d time.Duration) bool {
	jittered := d/2 + rand.N(d) //nolint:gosec // jitter needs no secrecy
	timer := c.cfg.Clock.NewTimer(jittered)
	defer timer.Stop()
	select {
	case <-timer.Chan():
		return true
	case <-ctx.Done():
		return false
	}
}

// follow makes the content current and keeps it so until the watch ends.
func (c *Cache) follow(ctx context.Context) error {
	if c.relist != relistNone {
		if err := c.load(ctx); err != nil {
			return err
		}
		c.relist = relistNone
	}
	wctx, cancel := context.WithCancel(ctx)
	w := c.store.Watch(wctx, c.cfg.Prefix, c.revision())
	// The store may have been replaced since the content was listed, while no watch ran. To
	// look now, with the watch begun, leaves no moment for that to go unseen.
	err := c.sameCluster(ctx)
	if err == nil {
		err = c.relay(ctx, w)
	}
	cancel()
	for range w.C() {
	}
	return err
}

// sameCluster makes sure that the store is the one that the content is of.
func (c *Cache) sameCluster(ctx context.Context) error {
	cluster, err := c.clusterNow(ctx)
	if err == nil && cluster != c.cluster {
		err = &registry.ResetError{Reason: fmt.Sprintf("the cluster was %x and is %x", c.cluster, cluster)}
	}
	return err
}

func (c *Cache) clusterNow(ctx context.Context) (uint64, error) {
	bounded, cancel := context.WithTimeout(ctx, c.cfg.MaxStaleness)
	defer cancel()
	status, err := c.store.Status(bounded)
	if err != nil {
		return 0, fmt.Errorf("status: %w", err)
	}
	return status.Cluster, nil
}

// relay applies what the watch delivers until it ends, and returns why.
func (c *Cache) relay(ctx context.Context, w registry.Watch) error {
	silence := c.cfg.Clock.NewTimer(c.cfg.MaxStaleness)
	defer silence.Stop()
	again := c.cfg.Clock.NewTicker(reask)
	defer again.Stop()
	progress, _ := w.(registry.ProgressRequester)
	request := func() {
		if progress != nil && c.waiters.any() {
			progress.RequestProgress()
		}
	}
	request()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b, ok := <-w.C():
			if !ok {
				return w.Err()
			}
			c.apply(b)
			restart(silence, c.cfg.MaxStaleness)
		case <-c.ask:
			request()
		case <-again.Chan():
			request()
		case <-c.suspect:
			return errSuspect
		case <-silence.Chan():
			return fmt.Errorf("%w: %w for %v", registry.ErrUnavailable, errSilent, c.cfg.MaxStaleness)
		}
	}
}

// apply makes one batch visible: in snapshots, then to subscribers, then to waiters, so that
// who waited finds it in both.
func (c *Cache) apply(b registry.Batch) {
	known := c.revision()
	events := b.Events
	for len(events) > 0 && events[0].ModRevision <= known {
		events = events[1:]
	}
	for _, ev := range events {
		if ev.Deleted {
			c.tree.Delete(item{key: ev.Key})
		} else {
			c.tree.ReplaceOrInsert(newItem(ev.KV))
		}
	}
	revision := max(known, b.Revision)
	c.publish(revision, len(events) > 0)
	c.ring.append(revision, events)
	c.waiters.reach(revision)
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
