package watchcache_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

func next(t *testing.T, s *watchcache.Subscription) registry.Batch {
	t.Helper()
	b, err := s.Next(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestWaitedForIsDelivered: who waited for a revision finds its event without waiting again.
func TestWaitedForIsDelivered(t *testing.T) {
	s := newStore(t, nil)
	c := newCache(t, s, watchcache.Config{})
	sub := c.Subscribe(t.Context(), "a/", put(t, s, "a/1", "0"))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 2000 {
		if err := c.WaitRevision(deadline(t), put(t, s, "a/1", fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		if _, err := sub.Next(ended); err != nil {
			t.Fatalf("event %d is not there: %v", i, err)
		}
	}
}

func TestSubscribe(t *testing.T) {
	s := newStore(t, nil)
	c := newCache(t, s, watchcache.Config{})
	after := put(t, s, "a/1", "one")
	sub := c.Subscribe(t.Context(), "a/", after)
	put(t, s, "b/1", "other")
	rev, err := s.Commit(t.Context(), registry.Txn{Then: []registry.Op{
		registry.Put("a/2", nil), registry.Delete("a/1"), registry.Put("b/2", nil),
	}})
	if err != nil {
		t.Fatal(err)
	}
	b := next(t, sub)
	if b.Revision != rev || len(b.Events) != 2 || sub.Revision() != rev {
		t.Fatalf("got %+v", b)
	}
	// What an event announced is in the next view.
	if _, ok := c.Cached().Get("a/2"); !ok {
		t.Fatal("the view is behind the event")
	}

	wait := sub.Wait()
	put(t, s, "a/3", "")
	<-wait
	if b := next(t, sub); len(b.Events) != 1 || b.Events[0].Key != "a/3" {
		t.Fatalf("got %+v", b)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := sub.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("err = %v", err)
	}
	ended := c.Subscribe(ctx, "", sub.Revision())
	if _, err := ended.Next(t.Context()); !errors.Is(err, context.Canceled) {
		t.Fatalf("err = %v", err)
	}
}

func TestSubscriberGetsLongHistoryInParts(t *testing.T) {
	s := newStore(t, nil)
	c := newCache(t, s, watchcache.Config{})
	start := c.Cached()
	const txns, each = 7, 400
	for n := range txns {
		txn := registry.Txn{}
		for i := range each {
			txn.Then = append(txn.Then, registry.Put(fmt.Sprintf("k%d", i), []byte{byte(n)}))
		}
		if _, err := s.Commit(t.Context(), txn); err != nil {
			t.Fatal(err)
		}
	}
	read(t, c)
	sub := c.SubscribeFrom(t.Context(), "", start)
	total, batches := 0, 0
	for total < txns*each {
		b := next(t, sub)
		if len(b.Events)%each != 0 || b.Events[len(b.Events)-1].ModRevision > b.Revision {
			t.Fatalf("%d events up to %d", len(b.Events), b.Revision)
		}
		total += len(b.Events)
		batches++
	}
	if batches < 2 {
		t.Errorf("all %d events came at once", total)
	}
}

func TestSubscriberThatLags(t *testing.T) {
	s := newStore(t, nil)
	for name, cfg := range map[string]watchcache.Config{
		"events": {RingEvents: 10},
		"bytes":  {RingBytes: 20},
	} {
		t.Run(name, func(t *testing.T) { subscriberLags(t, s, cfg) })
	}
}

// subscriberLags wants a ring that holds ten events of a key and a value of a byte each.
func subscriberLags(t *testing.T, s *memory.Store, cfg watchcache.Config) {
	t.Helper()
	c := newCache(t, s, cfg)
	sub := c.SubscribeFrom(t.Context(), "", c.Cached())
	for range 11 {
		put(t, s, "k", "v")
	}
	v := read(t, c)
	var lagged *watchcache.LaggedError
	if _, err := sub.Next(deadline(t)); !errors.As(err, &lagged) || lagged.Reset {
		t.Fatalf("err = %v", err)
	}
	again := c.Subscribe(t.Context(), "", lagged.Oldest)
	if b := next(t, again); len(b.Events) != 10 || b.Revision != v.Revision() {
		t.Fatalf("got %d events up to %d", len(b.Events), b.Revision)
	}
}

// TestCompactionBecomesADifference loses history between two watches: the subscriber still
// gets from one state to the other.
func TestCompactionBecomesADifference(t *testing.T) {
	s := newStore(t, nil)
	c := newCache(t, s, watchcache.Config{})
	put(t, s, "gone", "1")
	put(t, s, "kept", "1")
	put(t, s, "changed", "1")
	read(t, c)
	ctx := deadline(t)
	r := newReplica(ctx, c, "")

	s.SetUnavailable(true)
	s.SetUnavailable(false)
	if _, err := s.Commit(ctx, registry.Txn{Then: []registry.Op{
		registry.Delete("gone"), registry.Put("changed", []byte("2")), registry.Put("new", nil),
	}}); err != nil {
		t.Fatal(err)
	}
	s.Compact(put(t, s, "changed", "3"))

	v := read(t, c)
	if err := r.reach(ctx, v.Revision()); err != nil {
		t.Fatal(err)
	}
	if err := r.compare(v); err != nil {
		t.Fatal(err)
	}
	if r.lagged != 0 {
		t.Errorf("the subscriber had to read again %d times", r.lagged)
	}
}

func TestResetEndsSubscriptions(t *testing.T) {
	s := newStore(t, nil)
	c := newCache(t, s, watchcache.Config{})
	put(t, s, "k", "old")
	backup := s.Backup()
	for range 5 {
		put(t, s, "k", "new")
	}
	view := read(t, c)
	sub := c.SubscribeFrom(t.Context(), "", view)
	s.Restore(backup)
	var lagged *watchcache.LaggedError
	if _, err := sub.Next(deadline(t)); !errors.As(err, &lagged) || !lagged.Reset {
		t.Fatalf("err = %v", err)
	}
	<-sub.Wait()
	// A subscription from a view of before must not take the new revisions for later ones.
	if _, err := c.SubscribeFrom(t.Context(), "", view).Next(deadline(t)); !errors.As(err, &lagged) {
		t.Fatalf("err = %v", err)
	}
	if kv, ok := c.Cached().Get("k"); !ok || string(kv.Value) != "old" || c.Cached().Revision() >= view.Revision() {
		t.Fatalf("got %+v at %d", kv, c.Cached().Revision())
	}
	put(t, s, "k", "newer")
	if kv, _ := read(t, c).Get("k"); string(kv.Value) != "newer" {
		t.Fatalf("got %+v", kv)
	}
}
