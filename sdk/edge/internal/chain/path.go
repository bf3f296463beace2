package chain

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// ErrMissing says that a manifest cannot be had.
var ErrMissing = errors.New("edge: a manifest is missing")

// ErrTooFar says that a way is longer than allowed; a base is the shorter one.
var ErrTooFar = errors.New("edge: the way between the releases is too long")

// Source returns manifests of one channel, checked by [OpenManifest], or [ErrMissing].
type Source func(ctx context.Context, n int64) (*Manifest, error)

// State is what is held at a release.
type State struct {
	Point
	StateHash wire.StateHash
	Documents int64
}

// Finder finds ways. Held gives manifests of the chain that is held, Offered those of the
// chain that the target is on.
type Finder struct {
	Channel       wire.Channel
	Held, Offered Source
	// Limit is the most manifests of a way.
	Limit int
	// Strict compares digests where two numbers meet: after a restored backup equal
	// numbers may be different releases.
	Strict bool
}

// Way is how to come from a state to a release.
type Way struct {
	// Target is the release at the end.
	Target *Manifest
	// Forward are the releases whose changes are done, the target last; none when the
	// target is an ancestor.
	Forward []*Manifest
	// Changes is the sum of all steps, in order of kind and ID, without what does not
	// change in the end.
	Changes []Change
	// State is what is held at the end.
	State State
}

// Find returns the way from a state to a release. Its error is [ErrMissing], [ErrTooFar],
// a [CorruptError], or the source's own.
func (f Finder) Find(ctx context.Context, from State, to int64) (*Way, error) {
	target, err := f.Offered(ctx, to)
	if err != nil {
		return nil, err
	}
	back, forward, err := f.meet(ctx, from.Point, target)
	if err != nil {
		return nil, err
	}
	slices.Reverse(forward)
	w := &Way{Target: target, Forward: forward, State: from}
	sum := newSum()
	for _, m := range back {
		if err := w.step(sum, m, true); err != nil {
			return nil, err
		}
	}
	for _, m := range forward {
		if err := w.step(sum, m, false); err != nil {
			return nil, err
		}
		if w.State.StateHash != m.StateHash {
			return nil, corrupt(m.Number, "the documents do not have the manifest's state hash")
		}
	}
	if w.State.StateHash != target.StateHash {
		return nil, corrupt(target.Number, "the documents do not have the manifest's state hash")
	}
	w.State.Point = Point{Release: target.Number, Digest: target.Digest}
	w.Changes = sum.changes()
	return w, nil
}

// meet walks from both ends to the newest common ancestor; both lists are newest first.
func (f Finder) meet(ctx context.Context, held Point, target *Manifest) (back, forward []*Manifest, err error) {
	offered, tip := Point{Release: target.Number, Digest: target.Digest}, target
	for {
		met, err := f.met(ctx, held, offered)
		if err != nil || met {
			return back, forward, err
		}
		if len(back)+len(forward) >= f.Limit {
			return nil, nil, ErrTooFar
		}
		if held.Release >= offered.Release {
			m, err := f.load(ctx, f.Held, held)
			if err != nil {
				return nil, nil, err
			}
			back = append(back, m)
			held = Point{Release: m.Parent}
			continue
		}
		if tip == nil || tip.Number != offered.Release {
			if tip, err = f.load(ctx, f.Offered, offered); err != nil {
				return nil, nil, err
			}
		}
		forward = append(forward, tip)
		offered = Point{Release: tip.Parent}
	}
}

func (f Finder) met(ctx context.Context, held, offered Point) (bool, error) {
	if held.Release != offered.Release {
		return false, nil
	}
	if held.Release == 0 || !f.Strict {
		return true, nil
	}
	a, err := f.load(ctx, f.Held, held)
	if err != nil {
		return false, err
	}
	b, err := f.load(ctx, f.Offered, offered)
	if errors.Is(err, ErrMissing) {
		return true, nil // nothing says otherwise, and the state hash has the last word
	}
	if err != nil {
		return false, err
	}
	return a.Digest == b.Digest, nil
}

func (f Finder) load(ctx context.Context, from Source, p Point) (*Manifest, error) {
	m, err := from(ctx, p.Release)
	if err != nil {
		return nil, err
	}
	if !p.Digest.IsZero() && m.Digest != p.Digest {
		// The source has another release of this number: it is of no use on this chain.
		return nil, fmt.Errorf("%w: release %d is another one", ErrMissing, p.Release)
	}
	return m, nil
}

func (w *Way) step(s *changeSum, m *Manifest, undo bool) error {
	for _, c := range m.Changes {
		if undo {
			c.Before, c.After = c.After, c.Before
		}
		if err := s.add(c); err != nil {
			return corrupt(m.Number, "%v", err)
		}
		w.State.StateHash = w.State.StateHash.Replace(m.Channel, c.ID, c.Before, c.After)
		if c.Before.IsZero() {
			w.State.Documents++
		}
		if c.After.IsZero() {
			w.State.Documents--
		}
	}
	return nil
}

// changeSum adds up changes that follow each other.
type changeSum struct {
	at   map[wire.DocumentID]int
	list []Change
}

func newSum() *changeSum { return &changeSum{at: map[wire.DocumentID]int{}} }

func (s *changeSum) add(c Change) error {
	i, ok := s.at[c.ID]
	if !ok {
		s.at[c.ID] = len(s.list)
		s.list = append(s.list, c)
		return nil
	}
	if s.list[i].After != c.Before {
		return fmt.Errorf("document %s changes from a version that it did not have", c.ID)
	}
	s.list[i].After = c.After
	return nil
}

func (s *changeSum) changes() []Change {
	list := slices.DeleteFunc(s.list, func(c Change) bool { return c.Before == c.After })
	slices.SortFunc(list, func(a, b Change) int { return a.ID.Compare(b.ID) })
	return list
}

// Then adds two lists of changes that follow each other, each in any order.
func Then(first, second []Change) ([]Change, error) {
	s := newSum()
	for _, list := range [][]Change{first, second} {
		for _, c := range list {
			if err := s.add(c); err != nil {
				return nil, err
			}
		}
	}
	return s.changes(), nil
}

// Difference returns what leads from one list to another; both are changes from the empty
// state.
func Difference(from, to []Change) []Change {
	was := make(map[wire.DocumentID]wire.Sum, len(from))
	for _, c := range from {
		was[c.ID] = c.After
	}
	var out []Change
	for _, c := range to {
		if before := was[c.ID]; before != c.After {
			out = append(out, Change{ID: c.ID, Before: before, After: c.After})
		}
		delete(was, c.ID)
	}
	for id, before := range was {
		out = append(out, Change{ID: id, Before: before})
	}
	return out
}
