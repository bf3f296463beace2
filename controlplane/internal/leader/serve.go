package leader

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

var (
	errDoubt = errors.New("leader: the lease could not be renewed in time")
	errLost  = errors.New("leader: the lease ended")
	errEnded = errors.New("leader: the function returned")
)

// serve calls lead under a context that ends when the leadership does, and returns why it
// ended.
func (e *Elector) serve(ctx context.Context, h held, lead func(context.Context, Term) error) error {
	leading, end := context.WithCancelCause(ctx)
	defer end(nil)
	var wg sync.WaitGroup
	wg.Go(func() { end(e.keep(leading, h)) })
	wg.Go(func() { end(e.guard(leading, h.term)) })
	err := lead(leading, h.term)
	end(errEnded)
	wg.Wait()
	cause := context.Cause(leading)
	if errors.Is(cause, errEnded) && err != nil {
		return fmt.Errorf("%w: %w", errEnded, err)
	}
	return cause
}

// keep renews the lease and returns when it can't be trusted any longer. A call that hangs
// does not keep it from noticing.
func (e *Elector) keep(ctx context.Context, h held) error {
	trust, interval, retry := e.cfg.trust(), e.cfg.TTL/4, e.cfg.TTL/16
	doubt := e.cfg.Clock.NewTimer(trust - e.cfg.Clock.Since(h.asked))
	defer doubt.Stop()
	renew := e.cfg.Clock.NewTimer(interval)
	defer renew.Stop()

	type answer struct {
		asked time.Time
		err   error
	}
	answers := make(chan answer, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-doubt.Chan():
			return errDoubt
		case <-renew.Chan():
			wg.Go(func() {
				asked := e.cfg.Clock.Now()
				bounded, cancel := context.WithTimeout(ctx, interval)
				defer cancel()
				answers <- answer{asked, e.store.KeepAlive(bounded, h.lease)}
			})
		case a := <-answers:
			switch {
			case errors.Is(a.err, registry.ErrNotFound):
				return errLost
			case a.err != nil:
				e.cfg.Logger.WarnContext(ctx, "lease not renewed", "key", e.key, "id", e.id, "error", a.err)
				renew.Reset(retry)
			default:
				left := trust - e.cfg.Clock.Since(a.asked)
				if left <= 0 {
					return errDoubt
				}
				stop(doubt)
				doubt.Reset(left)
				renew.Reset(interval)
			}
		}
	}
}

// stop stops a timer so that it can be reset.
func stop(t clockwork.Timer) {
	if !t.Stop() {
		select {
		case <-t.Chan():
		default:
		}
	}
}

// guard returns when the key is not the one of the term any more.
func (e *Elector) guard(ctx context.Context, term Term) error {
	after := term.fence.ModRevision
	for {
		err := e.awaitChange(ctx, after)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			after, err = e.verify(ctx, term)
		}
		if errors.Is(err, errLost) {
			return err
		}
		if err != nil {
			e.sleep(ctx, e.cfg.RetryMin)
		}
	}
}

// verify looks at the key, and returns the revision from which to watch it on.
func (e *Elector) verify(ctx context.Context, term Term) (int64, error) {
	after, err := e.store.Revision(ctx)
	if err != nil {
		return term.fence.ModRevision, err
	}
	kv, err := e.store.Get(ctx, e.key)
	if errors.Is(err, registry.ErrNotFound) || (err == nil && kv.ModRevision != term.fence.ModRevision) {
		return 0, errLost
	}
	return after, err
}
