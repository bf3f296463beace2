package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd/embedded"
)

// impatient makes faults show quickly.
var impatient = etcd.Config{
	RequestTimeout:   time.Second,
	ProgressInterval: 50 * time.Millisecond,
	Silence:          500 * time.Millisecond,
}

const patience = 30 * time.Second

// drain waits for the end of a watch and returns its reason.
func drain(ctx context.Context, t *testing.T, w registry.Watch) error {
	t.Helper()
	for {
		select {
		case _, ok := <-w.C():
			if !ok {
				return w.Err()
			}
		case <-ctx.Done():
			t.Fatal("the watch goes on")
		}
	}
}

// follow reads a prefix from a revision to another, through as many watches as it takes,
// and fails on anything but a store that can't be reached.
func follow(ctx context.Context, s *etcd.Store, prefix string, after, until int64) ([]registry.Event, error) {
	var got []registry.Event
	for ctx.Err() == nil {
		wctx, cancel := context.WithCancel(ctx)
		w := s.Watch(wctx, prefix, after)
		for b := range w.C() {
			for _, ev := range b.Events {
				if ev.ModRevision < after || ev.ModRevision > b.Revision {
					cancel()
					return nil, fmt.Errorf("event of %d in a batch (%d, %d]", ev.ModRevision, after, b.Revision)
				}
			}
			got = append(got, b.Events...)
			after = b.Revision
			if after >= until {
				break
			}
		}
		cancel()
		for range w.C() {
		}
		if after >= until {
			return got, nil
		}
		if !errors.Is(w.Err(), registry.ErrUnavailable) {
			return nil, w.Err()
		}
	}
	return nil, ctx.Err()
}

// TestRestartUnderLoad stops the server and starts it again while writers write and
// watchers watch. Every acknowledged write must be stored and seen exactly once, in order.
func TestRestartUnderLoad(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dir := t.TempDir()
	server := start(t, embedded.Config{Dir: dir})
	store := etcd.New(dial(t, server), impatient)
	first := put(t, store, "load/begin", "")

	const writers, each = 3, 60
	progress := make(chan struct{}, writers*each)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for n := range each {
				if err := insist(ctx, store, fmt.Sprintf("load/%d/%03d", i, n)); err != nil {
					t.Error(err)
					return
				}
				progress <- struct{}{}
			}
		})
	}
	// The watchers look at a range that includes the mark of the end, which nobody has
	// written yet.
	results := make(chan []registry.Event, 2)
	for range cap(results) {
		wg.Go(func() {
			got, err := followTo(ctx, store, "load/", first, "load/end")
			if err != nil {
				t.Error(err)
			}
			results <- got
		})
	}
	for restart := range 2 {
		for range writers * each / 4 {
			<-progress
		}
		server.Close()
		server = start(t, embedded.Config{Dir: dir})
		t.Logf("restart %d done", restart)
	}
	for range writers * each / 2 {
		<-progress
	}
	if err := insist(ctx, store, "load/end"); err != nil {
		t.Fatal(err)
	}
	wg.Wait()

	list, err := store.List(ctx, registry.ListRequest{Prefix: "load/"})
	if err != nil || len(list.KVs) != writers*each+2 {
		t.Fatalf("%d keys, %v", len(list.KVs), err)
	}
	for range cap(results) {
		got := <-results
		if len(got) != writers*each+1 {
			t.Fatalf("%d events, want %d", len(got), writers*each+1)
		}
		for i := 1; i < len(got); i++ {
			if got[i].ModRevision <= got[i-1].ModRevision {
				t.Fatalf("revision %d after %d", got[i].ModRevision, got[i-1].ModRevision)
			}
		}
	}
}

// insist creates a key, whatever it takes. A lost answer shows as a conflict with itself.
func insist(ctx context.Context, s *etcd.Store, key string) error {
	for {
		_, err := s.Commit(ctx, registry.Txn{
			If:   []registry.Compare{{Key: key}},
			Then: []registry.Op{registry.Put(key, []byte(key))},
		})
		var conflict *registry.ConflictError
		switch {
		case err == nil, errors.As(err, &conflict):
			return nil
		case ctx.Err() != nil || !errors.Is(err, registry.ErrUnavailable):
			return err
		}
	}
}

// followTo reads until a key was written.
func followTo(ctx context.Context, s *etcd.Store, prefix string, after int64, end string) ([]registry.Event, error) {
	var all []registry.Event
	for {
		got, err := follow(ctx, s, prefix, after, after+1)
		if err != nil {
			return all, err
		}
		for _, ev := range got {
			all = append(all, ev)
			after = ev.ModRevision
			if ev.Key == end {
				return all, nil
			}
		}
	}
}

func TestCompactedWhileCutOff(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	server := start(t, embedded.Config{})
	p, client := newProxy(t, server)
	near, far := etcd.New(server.Client(), etcd.Config{}), etcd.New(client, impatient)

	rev := put(t, near, "a", "1")
	w := far.Watch(ctx, "", rev)
	<-w.C()
	p.setCut(true)
	var last int64
	for range 10 {
		last = put(t, near, "a", "2")
	}
	compact(t, server.Client(), last)
	p.setCut(false)

	err := drain(ctx, t, w)
	if errors.Is(err, registry.ErrUnavailable) { // silent for too long before it could tell
		err = drain(ctx, t, far.Watch(ctx, "", rev))
	}
	var compacted *registry.CompactedError
	if !errors.As(err, &compacted) || compacted.Oldest != last {
		t.Fatalf("err = %v, want %d to be the oldest", err, last)
	}
}

func TestShortCutIsNotSeen(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	server := start(t, embedded.Config{})
	p, client := newProxy(t, server)
	near := etcd.New(server.Client(), etcd.Config{})
	far := etcd.New(client, etcd.Config{ProgressInterval: 50 * time.Millisecond, Silence: patience})

	rev := put(t, near, "a", "0")
	w := far.Watch(ctx, "", rev)
	<-w.C()
	for range 3 {
		p.setCut(true)
		put(t, near, "a", "1")
		p.setCut(false)
		want := put(t, near, "a", "2")
		for n := 0; rev < want; {
			b, ok := <-w.C()
			if !ok {
				t.Fatalf("the watch ended: %v", w.Err())
			}
			n += len(b.Events)
			if rev = b.Revision; rev >= want && n != 2 {
				t.Fatalf("%d events", n)
			}
		}
	}
	cancel()
	_ = drain(t.Context(), t, w)
}

func TestHangingConnection(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p, client := newProxy(t, start(t, embedded.Config{}))
	w := etcd.New(client, impatient).Watch(ctx, "", 1)
	<-w.C()
	p.stall()
	if err := drain(ctx, t, w); !errors.Is(err, registry.ErrUnavailable) {
		t.Fatalf("err = %v", err)
	}
}

func TestOtherCluster(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	one, other := start(t, embedded.Config{}), start(t, embedded.Config{})
	for range 20 { // so that the revision alone tells nothing
		put(t, etcd.New(other.Client(), etcd.Config{}), "b", "")
	}
	p, client := newProxy(t, one)
	store := etcd.New(client, etcd.Config{ProgressInterval: 50 * time.Millisecond, Silence: patience})
	before, err := store.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w := store.Watch(ctx, "", put(t, store, "a", ""))
	<-w.C()
	p.point(other)
	p.setCut(true)
	p.setCut(false)
	var reset *registry.ResetError
	if err := drain(ctx, t, w); !errors.As(err, &reset) {
		t.Fatalf("err = %v", err)
	}
	if after, err := store.Status(ctx); err != nil || after.Cluster == before.Cluster {
		t.Fatalf("%+v and %+v, %v", before, after, err)
	}
}

// TestRestoredBackup puts an older copy of the data in place: the same cluster at a lower
// revision.
func TestRestoredBackup(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dir, backup := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	server := start(t, embedded.Config{Dir: dir})
	put(t, etcd.New(server.Client(), etcd.Config{}), "a", "old")
	server.Close()
	if err := os.CopyFS(backup, os.DirFS(filepath.Join(dir, "member"))); err != nil {
		t.Fatal(err)
	}
	server = start(t, embedded.Config{Dir: dir})
	p, client := newProxy(t, server)
	store := etcd.New(client, etcd.Config{ProgressInterval: 50 * time.Millisecond, Silence: patience})
	var rev int64
	for range 5 {
		rev = put(t, store, "a", "new")
	}
	w := store.Watch(ctx, "", rev)
	<-w.C()
	p.setCut(true)
	server.Close()
	if err := os.RemoveAll(filepath.Join(dir, "member")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "member"), os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
	start(t, embedded.Config{Dir: dir})
	p.setCut(false)
	var reset *registry.ResetError
	if err := drain(ctx, t, w); !errors.As(err, &reset) {
		t.Fatalf("err = %v", err)
	}
	if kv, err := store.Get(ctx, "a"); err != nil || string(kv.Value) != "old" {
		t.Fatalf("%+v, %v", kv, err)
	}
}

func TestSlowConsumerLosesItsWatch(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	server := start(t, embedded.Config{})
	store := etcd.New(server.Client(), etcd.Config{MaxBuffered: 50})
	w := store.Watch(ctx, "", 1)
	txn := registry.Txn{}
	for i := range 52 {
		txn.Then = append(txn.Then, registry.Put(fmt.Sprintf("k%d", i), nil))
	}
	if _, err := store.Commit(ctx, txn); err != nil {
		t.Fatal(err)
	}
	if err := drain(ctx, t, w); !errors.Is(err, registry.ErrUnavailable) {
		t.Fatalf("err = %v", err)
	}
}

// etcd's client waits for a connection as long as it may. A caller that has much time is
// told all the same, within the store's own bound.
func TestCallsFailSoonWithoutConnection(t *testing.T) {
	s := start(t, embedded.Config{})
	p, client := newProxy(t, s)
	store := etcd.New(client, etcd.Config{RequestTimeout: 300 * time.Millisecond})
	p.setCut(true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	started := time.Now()
	if _, err := store.Commit(ctx, registry.Txn{Then: []registry.Op{registry.Put("k", nil)}}); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("commit: %v", err)
	}
	if _, err := store.Get(ctx, "k"); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("get: %v", err)
	}
	if took := time.Since(started); took > patience {
		t.Errorf("failing took %v", took)
	}
}
