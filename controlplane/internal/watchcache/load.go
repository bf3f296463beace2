package watchcache

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/google/btree"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// load lists the prefix at one revision and replaces the content with it.
func (c *Cache) load(ctx context.Context) error {
	select {
	case <-c.suspect: // about the content that goes away
	default:
	}
	// Before the list: a store that is replaced meanwhile then differs from this.
	cluster, err := c.clusterNow(ctx)
	if err != nil {
		return err
	}
	tree, revision, err := c.list(ctx)
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	c.cluster = cluster
	old := c.snapshot.Load()
	reset := old != nil && (c.relist == relistReset || revision < old.revision)
	if reset || old == nil {
		c.generation++
	}
	c.tree = tree
	c.publish(revision, true)
	if reset || old == nil {
		c.ring.reset(c.generation, revision)
	} else {
		c.ring.appendJoined(revision, difference(old.tree, tree, revision))
	}
	c.waiters.reach(revision)
	if reset {
		c.waiters.drop(errWasReset) // what they wait for may never come
	}
	c.cfg.Logger.InfoContext(ctx, "watch cache listed",
		"prefix", c.cfg.Prefix, "revision", revision, "keys", tree.Len(), "reset", reset)
	return nil
}

// list reads all pages at the revision of the first.
func (c *Cache) list(ctx context.Context) (*btree.BTreeG[item], int64, error) {
	tree := newTree()
	req := registry.ListRequest{Prefix: c.cfg.Prefix, Limit: c.cfg.PageSize}
	for {
		page, err := c.listPage(ctx, req)
		if err != nil {
			return nil, 0, err
		}
		for _, kv := range page.KVs {
			tree.ReplaceOrInsert(newItem(kv))
		}
		if !page.More {
			return tree, page.Revision, nil
		}
		req.Revision = page.Revision
		req.After = page.KVs[len(page.KVs)-1].Key
	}
}

func (c *Cache) listPage(ctx context.Context, req registry.ListRequest) (registry.ListResponse, error) {
	bounded, cancel := context.WithTimeout(ctx, c.cfg.MaxStaleness)
	defer cancel()
	return c.store.List(bounded, req)
}

// difference returns the events that lead from one content to another: puts in the order
// of their revisions, then deletes, which carry the revision of the list since their own is
// lost.
func difference(from, to *btree.BTreeG[item], revision int64) []registry.Event {
	var events []registry.Event
	to.Ascend(func(it item) bool {
		if old, ok := from.Get(it); !ok || old.kv.ModRevision != it.kv.ModRevision {
			events = append(events, registry.Event{KV: *it.kv})
		}
		return true
	})
	slices.SortStableFunc(events, func(a, b registry.Event) int { return cmp.Compare(a.ModRevision, b.ModRevision) })
	from.Ascend(func(it item) bool {
		if !to.Has(it) {
			events = append(events, registry.Event{
				KV: registry.KV{Key: it.key, ModRevision: revision}, Deleted: true,
			})
		}
		return true
	})
	return events
}
