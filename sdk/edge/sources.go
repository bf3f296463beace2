package edge

import (
	"context"
	"fmt"
	"maps"

	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/chain"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// sources gives the manifests of one channel, for one search of a way.
type sources struct {
	agent   *Agent
	channel wire.Channel
	// floor is the release below which nothing is read ahead.
	floor int64
	// strict says that what etcd offers may differ from what is held under the same number.
	strict  bool
	known   map[int64]*chain.Manifest // checked
	fetched map[int64][]byte          // read ahead, not checked
}

func newSources(a *Agent, c wire.Channel, floor int64, strict bool) *sources {
	return &sources{
		agent: a, channel: c, floor: floor, strict: strict,
		known: map[int64]*chain.Manifest{}, fetched: map[int64][]byte{},
	}
}

// held gives what was applied here: the store's own first.
func (s *sources) held(ctx context.Context, n int64) (*chain.Manifest, error) {
	raw, ok, err := s.agent.store.Manifest(s.channel, n)
	if err != nil {
		return nil, err
	}
	if ok {
		if m, err := s.open(n, raw); err == nil {
			return m, nil
		}
	}
	return s.offered(ctx, n)
}

// offered gives what etcd has: staged, or in the store where etcd cannot differ, or read.
func (s *sources) offered(ctx context.Context, n int64) (*chain.Manifest, error) {
	if m, ok := s.known[n]; ok {
		return m, nil
	}
	raw, ok := s.agent.feed.Load().StagedManifest(s.channel, n)
	if !ok && !s.strict {
		stored, found, err := s.agent.store.Manifest(s.channel, n)
		if err != nil {
			return nil, err
		}
		if found {
			if m, err := s.open(n, stored); err == nil {
				s.known[n] = m
				return m, nil
			}
		}
	}
	if !ok {
		var err error
		if raw, err = s.fetch(ctx, n); err != nil {
			return nil, err
		}
	}
	m, err := s.open(n, raw)
	if err != nil {
		return nil, err
	}
	s.known[n] = m
	return m, nil
}

func (s *sources) fetch(ctx context.Context, n int64) ([]byte, error) {
	if raw, ok := s.fetched[n]; ok {
		return raw, nil
	}
	found, err := s.agent.feed.Load().Manifests(ctx, s.channel, min(s.floor+1, n), n)
	if err != nil {
		return nil, err
	}
	maps.Copy(s.fetched, found)
	raw, ok := s.fetched[n]
	if !ok {
		return nil, fmt.Errorf("%w: %d", chain.ErrMissing, n)
	}
	return raw, nil
}

func (s *sources) open(n int64, raw []byte) (*chain.Manifest, error) {
	return chain.OpenManifest(s.agent.cfg.Trust, s.channel, n, raw)
}
