package edge

import (
	"errors"
	"fmt"
	"iter"

	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/chain"
	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/crumb"
	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/store"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// generation is a Generation over the store: bodies that came with the release are in
// memory, others are read when they are asked for.
type generation struct {
	store    *store.Store
	crumb    *crumb.File
	releases map[wire.Channel]int64
	// heads are the generations of every channel.
	heads []store.Generation
	full  bool
	// channel and changes are what a release changes, where it is not full.
	channel wire.Channel
	changes []chain.Change
	bodies  map[wire.Sum][]byte
}

func (g *generation) Releases() map[wire.Channel]int64 { return g.releases }

func (g *generation) Full() bool { return g.full }

func (g *generation) Changes() iter.Seq2[Change, error] {
	if g.full {
		return g.Documents()
	}
	return func(yield func(Change, error) bool) {
		g.yield(g.channel, g.changes, yield)
	}
}

func (g *generation) Documents() iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		for _, head := range g.heads {
			list, err := g.store.Documents(head)
			if err != nil {
				yield(Change{}, err)
				return
			}
			if !g.yield(head.Channel, list, yield) {
				return
			}
		}
	}
}

func (g *generation) yield(c wire.Channel, list []chain.Change, yield func(Change, error) bool) bool {
	for _, change := range list {
		out, err := g.load(c, change)
		if !yield(out, err) || err != nil {
			return false
		}
	}
	return true
}

func (g *generation) load(c wire.Channel, change chain.Change) (Change, error) {
	out := Change{Channel: c, ID: change.ID, Sum: change.After, Removed: change.After.IsZero()}
	if out.Removed {
		return out, nil
	}
	if body, ok := g.bodies[change.After]; ok {
		out.Body = body
		return out, nil
	}
	body, ok, err := g.store.Blob(change.After)
	if err == nil && !ok {
		err = fmt.Errorf("%w: document %s is not there", store.ErrDamaged, change.ID)
	}
	out.Body = body
	return out, err
}

func (g *generation) InHand(id wire.DocumentID) {
	if id == (wire.DocumentID{}) {
		g.crumb.Clear()
		return
	}
	c := g.channel
	if g.full {
		c, _ = wire.ChannelOf(id.Kind)
	}
	g.crumb.Set(crumb.Crumb{Channel: c, Release: g.releases[c], Document: id, Sum: g.sumOf(id)})
}

// sumOf finds the digest of a changed document; full generations do without.
func (g *generation) sumOf(id wire.DocumentID) wire.Sum {
	low, high := 0, len(g.changes)
	for low < high {
		mid := (low + high) / 2
		if g.changes[mid].ID.Compare(id) < 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low < len(g.changes) && g.changes[low].ID == id {
		return g.changes[low].After
	}
	return wire.Sum{}
}

// isDamage says that a failure is the disk's, not the release's.
func isDamage(err error) bool { return errors.Is(err, store.ErrDamaged) }
