package registrytest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

var watchGuarantees = []guarantee{
	{name: "history is replayed, then new events follow, none twice", check: func(s *suite) {
		start := s.revision()
		s.put("a", "1")
		s.put("b", "2")
		w := s.watch(start)
		w.expect("put a=1", "put b=2")
		s.put("a", "3")
		s.delete("b")
		w.expect("put a=3", "delete b")
	}},
	{name: "a watch begins after the revision named", check: func(s *suite) {
		s.put("a", "1")
		rev := s.put("b", "2")
		w := s.watch(rev)
		s.put("c", "3")
		w.expect("put c=3")
	}},
	{name: "only the prefix is watched", check: func(s *suite) {
		w := s.watchPrefix(s.key("in/"), s.revision())
		s.put("in", "no")
		s.put("in0", "no")
		s.put("in/a", "yes")
		w.expect("put in/a=yes")
	}},
	{name: "events carry their revisions", check: func(s *suite) {
		w := s.watch(s.revision())
		created := s.put("a", "1")
		modified := s.put("a", "2")
		deleted := s.delete("a")
		want := [][2]int64{{created, created}, {created, modified}, {0, deleted}}
		for i, ev := range w.events(3) {
			if ev.ModRevision != want[i][1] || (!ev.Deleted && ev.CreateRevision != want[i][0]) {
				s.Errorf("event %d: %+v, want %v", i, ev, want[i])
			}
			if ev.Deleted && len(ev.Value) != 0 {
				s.Errorf("a delete carries %q", ev.Value)
			}
		}
	}},
	{name: "all events of one revision are in one batch", check: checkUnsplit},
	{name: "progress is at or after the revision and follows its events", check: checkProgress},
	{name: "progress comes by itself", check: func(s *suite) {
		w := s.watch(s.revision())
		w.next() // a notice may come at once, what counts is that they go on
		if s.Advance == nil {
			w.next()
			return
		}
		for {
			s.Advance(10 * time.Second)
			select {
			case _, ok := <-w.C():
				if !ok {
					s.Fatalf("the watch ended: %v", w.Err())
				}
				return
			case <-s.ctx.Done():
				s.Fatal("no progress")
			default:
			}
		}
	}},
	{name: "a watch ends with its context", check: func(s *suite) {
		ctx, cancel := context.WithCancel(s.ctx)
		w := &watcher{s: s, Watch: s.Store.Watch(ctx, s.prefix, s.revision())}
		cancel()
		if err := w.end(); !errors.Is(err, context.Canceled) {
			s.Fatalf("err = %v", err)
		}
	}},
	{name: "a watch beyond the newest revision is a ResetError", check: func(s *suite) {
		w := s.watch(s.revision() + 1000)
		var reset *registry.ResetError
		if err := w.end(); !errors.As(err, &reset) {
			s.Fatalf("err = %v", err)
		}
	}},
	{name: "a watch of a compacted revision is a CompactedError", check: func(s *suite) {
		if s.Compact == nil {
			s.Skip("the harness can't compact")
		}
		old := s.put("k", "1")
		kept := s.put("k", "2")
		s.put("k", "3")
		s.Compact(s.T, kept)
		var compacted *registry.CompactedError
		if err := s.watch(old).end(); !errors.As(err, &compacted) || compacted.Oldest < kept {
			s.Fatalf("err = %v, the oldest kept is %d", err, kept)
		}
		s.watch(kept).expect("put k=3")
	}},
	{name: "a running watch outlives a compaction", check: func(s *suite) {
		if s.Compact == nil {
			s.Skip("the harness can't compact")
		}
		w := s.watch(s.revision())
		s.put("k", "1")
		w.expect("put k=1")
		s.Compact(s.T, s.put("k", "2"))
		s.put("k", "3")
		w.expect("put k=2", "put k=3")
	}},
	{name: "all watchers see the same order", check: checkSameOrder},
}

// checkUnsplit has a watch replay, and follow, transactions of many sizes.
func checkUnsplit(s *suite) {
	sizes := map[int64]int{}
	start := s.revision()
	write := func(n int) {
		txn := registry.Txn{}
		for i := range n {
			txn.Then = append(txn.Then, registry.Put(s.key(fmt.Sprintf("%04d", i)), make([]byte, 100)))
		}
		sizes[s.commit(txn)] = n
	}
	for _, n := range []int{1, 700, 3, 2000} {
		write(n)
	}
	w := s.watch(start)
	for _, n := range []int{1500, 2, 1} {
		write(n)
	}
	for last := start; len(sizes) > 0; {
		b := w.batch()
		seen := map[int64]int{}
		for _, ev := range b.Events {
			if ev.ModRevision < last || ev.ModRevision > b.Revision {
				s.Fatalf("revision %d after %d in a batch of %d", ev.ModRevision, last, b.Revision)
			}
			last = ev.ModRevision
			seen[ev.ModRevision]++
		}
		for rev, n := range seen {
			if n != sizes[rev] {
				s.Fatalf("%d of the %d events of revision %d in one batch", n, sizes[rev], rev)
			}
			delete(sizes, rev)
		}
	}
}

func checkProgress(s *suite) {
	w := s.watch(s.revision())
	pr, ok := w.Watch.(registry.ProgressRequester)
	if !ok {
		s.Fatal("the watch can't be asked for progress")
	}
	for i := range 5 {
		name := fmt.Sprintf("k%d", i)
		wrote := s.put(name, "v")
		// A write that the watch does not cover: only progress can carry its revision.
		outside := s.commit(registry.Txn{Then: []registry.Op{registry.Put("outside/"+s.key("k"), nil)}})
		seen := false
		for {
			pr.RequestProgress()
			b := w.next()
			for _, ev := range b.Events {
				seen = seen || ev.ModRevision == wrote
			}
			if b.Revision >= wrote && !seen {
				s.Fatalf("progress to %d without the event of %d", b.Revision, wrote)
			}
			if b.Revision >= outside {
				break
			}
		}
	}
}

func checkSameOrder(s *suite) {
	const writers, each, watchers = 3, 20, 4
	start := s.revision()
	var ws []*watcher
	for range watchers {
		ws = append(ws, s.watch(start))
	}
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for n := range each {
				op := registry.Put(s.key(fmt.Sprintf("k%d", n%5)), []byte{byte(i), byte(n)})
				if _, err := s.Store.Commit(s.ctx, registry.Txn{Then: []registry.Op{op}}); err != nil {
					s.Errorf("commit: %v", err)
				}
			}
		})
	}
	wg.Wait()
	first := ws[0].events(writers * each)
	for _, w := range ws[1:] {
		for i, ev := range w.events(writers * each) {
			if ev.ModRevision != first[i].ModRevision || string(ev.Value) != string(first[i].Value) {
				s.Fatalf("event %d: %+v and %+v", i, first[i], ev)
			}
		}
	}
}
