package service

import (
	"context"
	"errors"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/propagation"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// PropagationRetrier asks the leader to try quarantined documents again. Package ops
// implements it.
type PropagationRetrier interface {
	// Retry asks for another try of the quarantines that pick names by their IDs. A repeat
	// of the call with the same idempotency key succeeds without picking again.
	Retry(ctx context.Context, pick func(ctx context.Context) (ids []string, err error)) error
}

// PropagationConfig is what the service of propagation needs.
type PropagationConfig struct {
	// Registry caches the registry's state, Control what is below control/.
	Registry, Control *watchcache.Cache
	// Index decodes the views of Control.
	Index *propagation.Index
	// Sums compiles a site from a view of the registry and returns the digests of its
	// documents. It is called only when one of them is held.
	Sums    func(view watchcache.View, rec *storev1.SiteRecord) (map[wire.DocumentID]wire.Sum, error)
	Retrier PropagationRetrier
	// Clock is the one of quarantines and their back-off.
	Clock clockwork.Clock
}

// Propagation implements PropagationService, and [SiteServing] for the other handlers.
type Propagation struct {
	breakwaterv1.UnimplementedPropagationServiceServer
	cfg PropagationConfig
}

// NewPropagation makes the service of propagation.
func NewPropagation(cfg PropagationConfig) *Propagation { return &Propagation{cfg: cfg} }

var (
	_ breakwaterv1.PropagationServiceServer = (*Propagation)(nil)
	_ SiteServing                           = (*Propagation)(nil)
)

// ServingVersion implements [SiteServing] from what is cached: the registry that a caller
// read may be ahead of it, which makes the answer older, never too new.
func (p *Propagation) ServingVersion(rec *storev1.SiteRecord, modRevision int64) int64 {
	return p.cfg.Index.At(p.cfg.Control.Cached()).ServingVersion(propagation.Site{
		Record: rec, ModRevision: modRevision, Sums: p.cachedSums,
	})
}

func (p *Propagation) cachedSums(rec *storev1.SiteRecord) map[wire.DocumentID]wire.Sum {
	return p.sums(p.cfg.Registry.Cached(), rec)
}

// sums is nil for a site that can't be compiled: that is the publisher's to report.
func (p *Propagation) sums(view watchcache.View, rec *storev1.SiteRecord) map[wire.DocumentID]wire.Sum {
	sums, err := p.cfg.Sums(view, rec)
	if err != nil {
		return nil
	}
	if sums == nil {
		// Compiled to nothing.
		sums = map[wire.DocumentID]wire.Sum{}
	}
	return sums
}

// GetPropagation implements PropagationService.
func (p *Propagation) GetPropagation(ctx context.Context, req *breakwaterv1.GetPropagationRequest) (*breakwaterv1.Propagation, error) {
	q, err := p.propagationQuery(req.GetName(), req.GetVersion())
	if err != nil {
		return nil, err
	}
	if err := q.read(ctx); err != nil {
		return nil, err
	}
	answer, _ := q.answer()
	return answer, nil
}

// WaitPropagation implements PropagationService.
func (p *Propagation) WaitPropagation(req *breakwaterv1.WaitPropagationRequest, stream grpc.ServerStreamingServer[breakwaterv1.Propagation]) error {
	ctx := stream.Context()
	q, err := p.propagationQuery(req.GetName(), req.GetVersion())
	if err != nil {
		return err
	}
	if err := q.read(ctx); err != nil {
		return err
	}
	q.subscribe(ctx)
	var sent *breakwaterv1.Propagation
	for {
		answer, canary := q.answer()
		seen := answer.GetObserveTime()
		answer.ObserveTime = nil
		if sent == nil || !proto.Equal(sent, answer) {
			sent, _ = proto.Clone(answer).(*breakwaterv1.Propagation)
			answer.ObserveTime = seen
			if err := stream.Send(answer); err != nil {
				return err
			}
		}
		switch answer.GetState() {
		case breakwaterv1.Propagation_LIVE, breakwaterv1.Propagation_QUARANTINED, breakwaterv1.Propagation_SUPERSEDED:
			return nil
		default:
		}
		if canary && req.GetScope() == breakwaterv1.WaitPropagationRequest_CANARY {
			return nil
		}
		if err := q.wait(ctx); err != nil {
			return err
		}
	}
}

// RetryPropagation implements PropagationService.
func (p *Propagation) RetryPropagation(ctx context.Context, req *breakwaterv1.RetryPropagationRequest) (*breakwaterv1.Propagation, error) {
	q, err := p.propagationQuery(req.GetName(), 0)
	if err != nil {
		return nil, err
	}
	// A repeat does not pick, but a site that is gone has nothing to answer with.
	if err := q.read(ctx); err != nil {
		return nil, err
	}
	if err := p.cfg.Retrier.Retry(ctx, func(ctx context.Context) ([]string, error) {
		if err := q.read(ctx); err != nil {
			return nil, err
		}
		return q.retryable()
	}); err != nil {
		return nil, err
	}
	if err := q.read(ctx); err != nil {
		return nil, err
	}
	answer, _ := q.answer()
	return answer, nil
}

// propagationQuery is one call's look at one version of a site. It is for one goroutine.
type propagationQuery struct {
	service *Propagation
	name    resource.Name
	// version is what is asked about; zero until the newest one is known.
	version int64

	registry, control watchcache.View
	changes           [2]*watchcache.Subscription
	site              propagation.Site
	state             *propagation.State
}

func (p *Propagation) propagationQuery(name string, version int64) (*propagationQuery, error) {
	n, err := siteName(name)
	if err != nil {
		return nil, err
	}
	return &propagationQuery{service: p, name: n, version: version}, nil
}

// read looks at both stores as every acknowledged write left them: at the registry first,
// since what the engine did follows from it.
func (q *propagationQuery) read(ctx context.Context) error {
	var err error
	if q.registry, err = q.service.cfg.Registry.Read(ctx); err != nil {
		return err
	}
	if q.control, err = q.service.cfg.Control.Read(ctx); err != nil {
		return err
	}
	return q.look()
}

// look finds the site and the engine's state in the views.
func (q *propagationQuery) look() error {
	q.state = q.service.cfg.Index.At(q.control)
	kv, ok := q.registry.Get(q.name.Tenant().Site(q.name.Site))
	if !ok {
		return rpcerr.NotFound(q.name.SiteName())
	}
	if q.site.Record == nil || q.site.ModRevision != kv.ModRevision {
		rec := &storev1.SiteRecord{}
		if err := proto.Unmarshal(kv.Value, rec); err != nil {
			return err
		}
		q.site = propagation.Site{Record: rec, ModRevision: kv.ModRevision, Sums: q.sums}
	}
	newest := q.site.Record.GetSite().GetVersion()
	if q.version > newest {
		return rpcerr.NotFound(resource.VersionName(q.name.Account, q.name.Site, q.version))
	}
	if q.version == 0 {
		q.version = newest
	}
	return nil
}

func (q *propagationQuery) sums(rec *storev1.SiteRecord) map[wire.DocumentID]wire.Sum {
	return q.service.sums(q.registry, rec)
}

// answer is where the version is, and whether it passed the first waves.
func (q *propagationQuery) answer() (answer *breakwaterv1.Propagation, canary bool) {
	return q.state.Of(q.site, q.version, q.service.cfg.Clock.Now())
}

// retryable names the site's quarantines that may be tried again now.
func (q *propagationQuery) retryable() ([]string, error) {
	var ids []string
	var wait time.Duration
	trying := false
	now := q.service.cfg.Clock.Now()
	for _, held := range q.state.Quarantines(q.site) {
		if held.Trying {
			trying = true
			continue
		}
		ids = append(ids, held.ID)
		wait = max(wait, held.Retry.Sub(now))
	}
	switch {
	case len(ids) == 0 && trying:
		return nil, rpcerr.Precondition(rpcerr.ReasonInvalidState, q.name.String(), "%s is being tried again already", q.name.SiteName())
	case len(ids) == 0:
		return nil, rpcerr.Precondition(rpcerr.ReasonInvalidState, q.name.String(), "nothing of %s is quarantined", q.name.SiteName())
	case wait > 0:
		return nil, rpcerr.RateLimited(q.name.String(), wait,
			"it was tried before and failed: the next try is possible in %v", wait.Round(time.Second))
	}
	return ids, nil
}

// subscribe begins to follow what changes after the views.
func (q *propagationQuery) subscribe(ctx context.Context) {
	q.changes[0] = q.service.cfg.Registry.SubscribeFrom(ctx, q.name.Tenant().Site(q.name.Site), q.registry)
	q.changes[1] = q.service.cfg.Control.SubscribeFrom(ctx, ledger.ControlPrefix, q.control)
}

// wait returns when the site or the state is another one.
func (q *propagationQuery) wait(ctx context.Context) error {
	state, revision := q.state, q.site.ModRevision
	for q.state == state && q.site.ModRevision == revision {
		select {
		case <-q.changes[0].Wait():
		case <-q.changes[1].Wait():
		case <-ctx.Done():
			return ctx.Err()
		}
		// Whoever got an event finds it in the next view; what came is read off so that
		// Wait waits for more.
		for _, changes := range q.changes {
			if err := propagationSkip(ctx, changes); err != nil {
				return q.resume(ctx, err)
			}
		}
		q.registry, q.control = q.service.cfg.Registry.Cached(), q.service.cfg.Control.Cached()
		if err := q.look(); err != nil {
			return err
		}
	}
	return nil
}

// resume reads everything again where changes were missed.
func (q *propagationQuery) resume(ctx context.Context, err error) error {
	if _, lagged := errors.AsType[*watchcache.LaggedError](err); !lagged {
		return err
	}
	if err := q.read(ctx); err != nil {
		return err
	}
	q.subscribe(ctx)
	return nil
}

// propagationSkip reads off what a subscription has.
func propagationSkip(ctx context.Context, s *watchcache.Subscription) error {
	now, cancel := context.WithCancel(ctx)
	cancel()
	for {
		_, err := s.Next(now)
		switch {
		case err == nil:
		case errors.Is(err, context.Canceled) && ctx.Err() == nil:
			return nil
		default:
			return err
		}
	}
}
