package edge

import (
	"context"
	"errors"
	"fmt"
	"maps"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/chain"
	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/feed"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

const (
	// maxWay is how many manifests a way may have before a base is looked for, and maxLongWay
	// how many where there is none.
	maxWay     = 256
	maxLongWay = 1 << 16
)

// prepared is all that an apply needs.
type prepared struct {
	way    *chain.Way
	bodies map[wire.Sum][]byte
}

// prepare finds and checks the way to a target, and has all documents at hand.
func (a *Agent) prepare(ctx context.Context, c wire.Channel, now channel, t feed.Target) (prepared, error) {
	s := newSources(a, c, min(now.serving.Release, t.Release), a.strict[c])
	way, err := a.findWay(ctx, s, now, t.Release)
	if errors.Is(err, chain.ErrMissing) {
		err = &unavailable{reason: fmt.Sprintf("release %d of %s: %v", t.Release, c, err)}
	}
	if err != nil {
		return prepared{}, err
	}
	for _, m := range way.Forward {
		if r := now.bars(m.Number, t.Release, t.Sequence); r != nil {
			return prepared{}, a.refuseDescendant(c, t, r)
		}
	}
	bodies, err := a.collect(ctx, way)
	return prepared{way: way, bodies: bodies}, err
}

func (a *Agent) refuseDescendant(c wire.Channel, t feed.Target, of *edgev1.Rejection) error {
	r := &edgev1.Rejection{
		Cause: edgev1.Rejection_ANCESTOR, Document: of.GetDocument(), Sha256: of.GetSha256(),
		Reason: clip(fmt.Sprintf("release %d is refused: %s", of.GetRelease(), of.GetReason())),
	}
	if err := a.refuse(c, t, r); err != nil {
		return err
	}
	return &rejectedError{}
}

// rejectedError ends the work on a target whose rejection is kept already.
type rejectedError struct{}

func (*rejectedError) Error() string { return "edge: rejected" }

// findWay prefers manifests to a base, but for a store that has nothing.
func (a *Agent) findWay(ctx context.Context, s *sources, now channel, to int64) (*chain.Way, error) {
	finder := chain.Finder{
		Channel: s.channel, Held: s.held, Offered: s.offered, Limit: maxWay, Strict: s.strict,
	}
	var (
		way *chain.Way
		err = error(chain.ErrMissing)
	)
	if now.serving.Seq > 0 {
		way, err = finder.Find(ctx, now.serving.State, to)
		if !errors.Is(err, chain.ErrMissing) && !errors.Is(err, chain.ErrTooFar) {
			return way, err
		}
	}
	way, baseErr := a.wayFromBase(ctx, s, now, to)
	if baseErr == nil {
		return way, nil
	}
	var bad *chain.CorruptError
	if !errors.Is(baseErr, chain.ErrMissing) && !errors.As(baseErr, &bad) {
		return nil, baseErr
	}
	// Without a base, the way may be a long one, or begin at the empty state.
	finder.Limit = maxLongWay
	switch {
	case now.serving.Seq == 0:
		way, err = finder.Find(ctx, chain.State{}, to)
	case errors.Is(err, chain.ErrTooFar):
		way, err = finder.Find(ctx, now.serving.State, to)
	}
	if errors.Is(err, chain.ErrMissing) {
		return nil, baseErr
	}
	return way, err
}

// wayFromBase goes from what is held to the base's list, and on to the target.
func (a *Agent) wayFromBase(ctx context.Context, s *sources, now channel, to int64) (*chain.Way, error) {
	f := a.feed.Load()
	raw, ok, err := f.Base(ctx, s.channel)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%w: there is no base", chain.ErrMissing)
	}
	base, err := chain.OpenBase(a.cfg.Trust, s.channel, raw)
	if err != nil {
		return nil, err
	}
	list, err := base.Read(func(i int) ([]byte, error) {
		chunk, ok, err := f.BaseChunk(ctx, s.channel, base.Manifest.Number, i)
		if err == nil && !ok {
			err = fmt.Errorf("%w: chunk %d of the base", chain.ErrMissing, i)
		}
		return chunk, err
	})
	if err != nil {
		return nil, err
	}
	s.known[base.Manifest.Number] = base.Manifest
	finder := chain.Finder{
		Channel: s.channel, Held: s.offered, Offered: s.offered, Limit: maxLongWay, Strict: true,
	}
	way, err := finder.Find(ctx, chain.State{
		Point:     chain.Point{Release: base.Manifest.Number, Digest: base.Manifest.Digest},
		StateHash: base.Manifest.StateHash, Documents: int64(len(list)),
	}, to)
	if err != nil {
		return nil, err
	}
	var held []chain.Change
	if now.serving.Seq > 0 {
		if held, err = a.store.Documents(now.serving); err != nil {
			return nil, err
		}
	}
	if way.Changes, err = chain.Then(chain.Difference(held, list), way.Changes); err != nil {
		return nil, &chain.CorruptError{Release: to, Reason: err.Error()}
	}
	return way, nil
}

// largeBatch is how many bytes of fetched documents are held before they go to the disk.
const largeBatch = 4 << 20

// collect has every new document at hand: staged, in the store, or fetched.
func (a *Agent) collect(ctx context.Context, way *chain.Way) (map[wire.Sum][]byte, error) {
	f := a.feed.Load()
	bodies := make(map[wire.Sum][]byte, min(len(way.Changes), 1024))
	wanted := map[wire.Sum]wire.DocumentID{}
	var sums []wire.Sum
	for _, change := range way.Changes {
		sum := change.After
		if _, double := wanted[sum]; sum.IsZero() || double {
			continue
		}
		if body, ok := f.StagedBlob(sum); ok {
			bodies[sum] = body
			continue
		}
		has, err := a.store.HasBlob(sum)
		if err != nil {
			return nil, err
		}
		if !has {
			wanted[sum] = change.ID
			sums = append(sums, sum)
		}
	}
	held, heldBytes := map[wire.Sum][]byte{}, 0
	err := f.Blobs(ctx, sums, func(sum wire.Sum, body []byte) error {
		if wire.SumOf(body) != sum {
			return &chain.CorruptError{
				Release: way.Target.Number, Document: wanted[sum], Sum: sum, Reason: "the document has another digest",
			}
		}
		delete(wanted, sum)
		held[sum] = body
		if heldBytes += len(body); heldBytes < largeBatch {
			return nil
		}
		err := a.store.PutBlobs(held)
		held, heldBytes = map[wire.Sum][]byte{}, 0
		return err
	})
	if err != nil {
		return nil, err
	}
	for sum, id := range wanted {
		return nil, &unavailable{document: id, sum: sum, reason: fmt.Sprintf("document %s, %s, is not there", id, sum)}
	}
	maps.Copy(bodies, held)
	return bodies, nil
}
