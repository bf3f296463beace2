package agenda

import (
	"context"
	"errors"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

// sync brings the deadlines up to what the cache knows; with certain, up to everything that
// was stored before the call. The channel is closed when there may be more.
func (a *Agenda) sync(ctx context.Context, certain bool) (<-chan struct{}, error) {
	var wanted int64
	if certain {
		view, err := a.cfg.Feed.Read(ctx)
		if err != nil {
			return nil, err
		}
		wanted = view.Revision()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sub == nil {
		return a.rebuild(ctx)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel() // Next then returns what is there and does not wait.
	for {
		batch, err := a.sub.Next(ended)
		var lagged *watchcache.LaggedError
		switch {
		case errors.As(err, &lagged):
			return a.rebuild(ctx)
		case err != nil && a.sub.Revision() >= wanted:
			return a.sub.Wait(), ctx.Err()
		case err != nil:
			// Events reach subscribers a moment after they reach views.
			select {
			case <-a.sub.Wait():
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		for _, ev := range batch.Events {
			if ev.Deleted {
				a.due.drop(ev.Key)
				if a.cfg.Gone != nil {
					a.cfg.Gone(ev.Key)
				}
				continue
			}
			if err := a.note(ev.KV); err != nil {
				return nil, err
			}
		}
	}
}

// rebuild reads all keys. The lock is held.
func (a *Agenda) rebuild(ctx context.Context) (<-chan struct{}, error) {
	view, err := a.cfg.Feed.Read(ctx)
	if err != nil {
		return nil, err
	}
	a.due = newDeadlines()
	var failed error
	view.Ascend(a.cfg.Prefix, func(kv registry.KV) bool {
		failed = a.note(kv)
		return failed == nil
	})
	if failed != nil {
		return nil, failed
	}
	a.sub = a.cfg.Feed.SubscribeFrom(context.WithoutCancel(ctx), a.cfg.Prefix, view)
	return a.sub.Wait(), nil
}

// note keeps when a key is due. The lock is held.
func (a *Agenda) note(kv registry.KV) error {
	at, ok, err := a.cfg.When(kv)
	switch {
	case err != nil:
		return err
	case ok:
		a.due.set(kv.Key, at)
	default:
		a.due.drop(kv.Key)
	}
	return nil
}
