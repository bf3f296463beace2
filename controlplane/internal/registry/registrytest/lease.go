package registrytest

import (
	"errors"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// shortLease is a length that every implementation can grant, to the second.
const shortLease = time.Second

var leaseGuarantees = []guarantee{
	{name: "keys go when the lease ends, at one revision", parallel: true, check: func(s *suite) {
		id := s.grant(shortLease)
		rev := s.commit(registry.Txn{Then: []registry.Op{
			registry.PutLeased(s.key("a"), []byte("1"), id),
			registry.PutLeased(s.key("b"), []byte("2"), id),
			registry.Put(s.key("c"), []byte("3")),
		}})
		if kv := s.get("a"); kv.Lease != id {
			s.Fatalf("got %+v, want lease %d", kv, id)
		}
		w := s.watch(rev)
		s.pass(shortLease)
		b := w.batch()
		if len(b.Events) != 2 || b.Events[0].ModRevision != b.Events[1].ModRevision ||
			!b.Events[0].Deleted || !b.Events[1].Deleted {
			s.Fatalf("got %+v", b)
		}
		if err := s.Store.KeepAlive(s.ctx, id); !errors.Is(err, registry.ErrNotFound) {
			s.Fatalf("keep alive: %v", err)
		}
		s.get("c")
	}},
	{name: "a lease that is kept alive lasts", parallel: true, check: func(s *suite) {
		id := s.grant(2 * shortLease)
		rev := s.commit(registry.Txn{Then: []registry.Op{registry.PutLeased(s.key("a"), nil, id)}})
		other := s.grant(2 * shortLease)
		w := s.watch(s.commit(registry.Txn{Then: []registry.Op{registry.PutLeased(s.key("b"), nil, other)}}))
		// The first is renewed while the second runs out.
		s.wait(shortLease/2, id)
		b := w.batch()
		if len(b.Events) != 1 || b.Events[0].Key != s.key("b") {
			s.Fatalf("got %+v", b)
		}
		if kv := s.get("a"); kv.ModRevision != rev {
			s.Fatalf("got %+v", kv)
		}
		if err := s.Store.Revoke(s.ctx, id); err != nil {
			s.Fatal(err)
		}
	}},
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

// pass lets a lease's time pass, where the store's clock can be moved.
func (s *suite) pass(d time.Duration) {
	if s.Advance != nil {
		s.Advance(d)
	}
}

// wait keeps a lease alive in five steps of d each.
func (s *suite) wait(d time.Duration, id registry.LeaseID) {
	s.Helper()
	for range 5 {
		if s.Advance != nil {
			s.Advance(d)
		} else {
			timer := time.NewTimer(d)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-s.ctx.Done():
				s.Fatal("out of time")
			}
		}
		if err := s.Store.KeepAlive(s.ctx, id); err != nil {
			s.Fatalf("keep alive: %v", err)
		}
	}
}
