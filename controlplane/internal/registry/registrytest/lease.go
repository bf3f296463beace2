package registrytest

import (
	"errors"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// shortLease is a length that every implementation can grant, to the second.
const shortLease = time.Second

var leaseGuarantees = []guarantee{
	{name: "keys go at one revision when the lease ends, and stay while it is kept alive", check: checkLease},
	{name: "revoking deletes the keys at once, and again is no error", check: func(s *suite) {
		id := s.grant(time.Hour)
		rev := s.commit(registry.Txn{Then: []registry.Op{registry.PutLeased(s.key("a"), nil, id)}})
		w := s.watch(rev)
		for range 2 {
			if err := s.Store.Revoke(s.ctx, id); err != nil {
				s.Fatal(err)
			}
		}
		w.expect("delete a")
	}},
	{name: "a put without the lease takes the key out of it", check: func(s *suite) {
		id := s.grant(time.Hour)
		s.commit(registry.Txn{Then: []registry.Op{registry.PutLeased(s.key("a"), nil, id)}})
		s.put("a", "stays")
		if err := s.Store.Revoke(s.ctx, id); err != nil {
			s.Fatal(err)
		}
		if kv := s.get("a"); kv.Lease != 0 || string(kv.Value) != "stays" {
			s.Fatalf("got %+v", kv)
		}
	}},
	{name: "a put under a lease that is not there stores nothing", check: func(s *suite) {
		_, err := s.Store.Commit(s.ctx, registry.Txn{Then: []registry.Op{
			registry.Put(s.key("a"), nil),
			registry.PutLeased(s.key("b"), nil, 4711),
		}})
		if !errors.Is(err, registry.ErrNotFound) {
			s.Fatalf("err = %v", err)
		}
		if resp := s.list(registry.ListRequest{Prefix: s.prefix}); len(resp.KVs) != 0 {
			s.Fatalf("stored %v", s.names(resp.KVs))
		}
	}},
	{name: "a lease that is not there can't be kept alive", check: func(s *suite) {
		if err := s.Store.KeepAlive(s.ctx, 4711); !errors.Is(err, registry.ErrNotFound) {
			s.Fatalf("err = %v", err)
		}
	}},
}

func (s *suite) grant(ttl time.Duration) registry.LeaseID {
	s.Helper()
	id, err := s.Store.Grant(s.ctx, ttl)
	if err != nil {
		s.Fatalf("grant: %v", err)
	}
	return id
}

// checkLease lets two leases of one length pass, of which one is kept alive. Where time is
// real and this process was held up for so long that the second may rightly have ended, it
// tries again.
func checkLease(s *suite) {
	for !s.leasePasses() {
		s.Log("held up, once more")
	}
}

// Steps in which a lease is kept alive, and the time between two that puts it in doubt.
const (
	leaseStep  = shortLease / 5
	leaseDoubt = shortLease * 3 / 5
)

func (s *suite) leasePasses() (conclusive bool) {
	ends, kept := s.grant(shortLease), s.grant(shortLease)
	rev := s.commit(registry.Txn{Then: []registry.Op{
		registry.PutLeased(s.key("a"), []byte("1"), ends),
		registry.PutLeased(s.key("b"), []byte("2"), ends),
		registry.PutLeased(s.key("c"), []byte("3"), kept),
		registry.Put(s.key("d"), []byte("4")),
	}})
	if kv := s.get("a"); kv.Lease != ends {
		s.Fatalf("got %+v, want lease %d", kv, ends)
	}
	w := s.watch(rev)
	var batch registry.Batch
	for last := time.Now(); len(batch.Events) == 0; {
		batch = s.step(w)
		if s.Advance == nil && time.Since(last) > leaseDoubt {
			return false
		}
		last = time.Now()
		if err := s.Store.KeepAlive(s.ctx, kept); err != nil {
			s.Fatalf("keep alive: %v", err)
		}
	}
	if len(batch.Events) != 2 || batch.Events[0].ModRevision != batch.Events[1].ModRevision ||
		!batch.Events[0].Deleted || !batch.Events[1].Deleted {
		s.Fatalf("got %+v", batch)
	}
	if err := s.Store.KeepAlive(s.ctx, ends); !errors.Is(err, registry.ErrNotFound) {
		s.Fatalf("keep alive of a lease that ended: %v", err)
	}
	s.get("c")
	s.get("d")
	if err := s.Store.Revoke(s.ctx, kept); err != nil {
		s.Fatal(err)
	}
	return true
}

// step lets a part of a lease pass, and returns what is watched meanwhile.
func (s *suite) step(w *watcher) registry.Batch {
	s.Helper()
	pause := leaseStep
	if s.Advance != nil {
		s.Advance(leaseStep)
		pause = time.Millisecond
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case b, ok := <-w.C():
			if !ok {
				s.Fatalf("the watch ended: %v", w.Err())
			}
			if len(b.Events) > 0 {
				return b
			}
		case <-timer.C:
			return registry.Batch{}
		case <-s.ctx.Done():
			s.Fatal("the lease does not end")
		}
	}
}
