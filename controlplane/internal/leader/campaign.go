package leader

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// held is a leadership that was won.
type held struct {
	term  Term
	lease registry.LeaseID
	// asked is when the lease was asked for, which is before it began.
	asked time.Time
}

func (e *Elector) termKey() string { return e.key + "/term" }

// campaign waits until nobody leads, and tries to be the first to take over, until it wins.
func (e *Elector) campaign(ctx context.Context) (held, error) {
	for {
		if err := e.awaitFree(ctx); err != nil {
			return held{}, err
		}
		h, err := e.takeOver(ctx)
		if _, ok := errors.AsType[*registry.ConflictError](err); !ok {
			return h, err
		}
	}
}

// awaitFree returns when the key does not exist.
func (e *Elector) awaitFree(ctx context.Context) error {
	for {
		// The revision comes first, so that the watch can't miss a delete after the look.
		after, err := e.store.Revision(ctx)
		if err != nil {
			return err
		}
		_, err = e.store.Get(ctx, e.key)
		if errors.Is(err, registry.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := e.awaitChange(ctx, after); err != nil {
			return err
		}
	}
}

// awaitChange returns when the key was changed after a revision, or its history is lost;
// the caller looks again.
func (e *Elector) awaitChange(ctx context.Context, after int64) error {
	wctx, cancel := context.WithCancel(ctx)
	w := e.store.Watch(wctx, e.key, after)
	defer func() {
		cancel()
		for range w.C() {
		}
	}()
	for batch := range w.C() {
		for _, ev := range batch.Events {
			if ev.Key == e.key {
				return nil
			}
		}
	}
	var compacted *registry.CompactedError
	var reset *registry.ResetError
	if err := w.Err(); !errors.As(err, &compacted) && !errors.As(err, &reset) {
		return err
	}
	return nil
}

// takeOver writes the key, unless another candidate was faster: that is a ConflictError.
func (e *Elector) takeOver(ctx context.Context) (held, error) {
	previous, err := e.store.Get(ctx, e.termKey())
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return held{}, err
	}
	number, err := e.nextTerm(previous)
	if err != nil {
		return held{}, err
	}
	value, err := json.Marshal(Holder{ID: e.id, Term: number})
	if err != nil {
		return held{}, fmt.Errorf("leader: %w", err)
	}
	asked := e.cfg.Clock.Now()
	lease, err := e.store.Grant(ctx, e.cfg.TTL)
	if err != nil {
		return held{}, err
	}
	rev, err := e.store.Commit(ctx, registry.Txn{
		If: []registry.Compare{{Key: e.key}, {Key: e.termKey(), ModRevision: previous.ModRevision}},
		Then: []registry.Op{
			registry.PutLeased(e.key, value, lease),
			registry.Put(e.termKey(), strconv.AppendInt(nil, number, 10)),
		},
	})
	if err != nil {
		// Where the outcome is not known the key may be there; without its lease it goes.
		e.resign(ctx, lease)
		return held{}, err
	}
	return held{
		term:  Term{number: number, fence: registry.Compare{Key: e.key, ModRevision: rev}},
		lease: lease,
		asked: asked,
	}, nil
}

// nextTerm is larger than the number before, and not below the seconds of the clock: a
// restored backup brings an old number back, but not the time at which it was given out.
func (e *Elector) nextTerm(previous registry.KV) (int64, error) {
	var last int64
	if len(previous.Value) > 0 {
		var err error
		if last, err = strconv.ParseInt(string(previous.Value), 10, 64); err != nil {
			return 0, fmt.Errorf("leader: %s: %w", e.termKey(), err)
		}
	}
	return max(last+1, e.cfg.Clock.Now().Unix()), nil
}
