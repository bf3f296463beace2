package registrytest

import (
	"context"
	"errors"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

var getGuarantees = []guarantee{
	{name: "an absent key is ErrNotFound", check: func(s *suite) {
		if _, err := s.Store.Get(s.ctx, s.key("absent")); !errors.Is(err, registry.ErrNotFound) {
			s.Fatalf("err = %v", err)
		}
	}},
	{name: "a put is read back with its revisions", check: func(s *suite) {
		first := s.put("k", "one")
		second := s.put("k", "two")
		kv := s.get("k")
		if string(kv.Value) != "two" || kv.CreateRevision != first || kv.ModRevision != second || kv.Lease != 0 {
			s.Fatalf("got %+v, want created at %d and modified at %d", kv, first, second)
		}
	}},
	{name: "a deleted key is ErrNotFound and begins anew", check: func(s *suite) {
		s.put("k", "one")
		s.delete("k")
		if _, err := s.Store.Get(s.ctx, s.key("k")); !errors.Is(err, registry.ErrNotFound) {
			s.Fatalf("err = %v", err)
		}
		again := s.put("k", "two")
		if kv := s.get("k"); kv.CreateRevision != again || kv.ModRevision != again {
			s.Fatalf("got %+v, want both revisions to be %d", kv, again)
		}
	}},
	{name: "an empty value is a value", check: func(s *suite) {
		s.put("k", "")
		if kv := s.get("k"); len(kv.Value) != 0 {
			s.Fatalf("got %+v", kv)
		}
	}},
	{name: "the revision is at or after every acknowledged write", check: func(s *suite) {
		for range 20 {
			wrote := s.put("k", "v")
			if rev := s.revision(); rev < wrote {
				s.Fatalf("revision %d after a write at %d", rev, wrote)
			}
		}
	}},
	{name: "every call ends with its context", check: func(s *suite) {
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		_, getErr := s.Store.Get(ctx, s.key("k"))
		_, listErr := s.Store.List(ctx, registry.ListRequest{Prefix: s.prefix})
		_, commitErr := s.Store.Commit(ctx, registry.Txn{Then: []registry.Op{registry.Put(s.key("k"), nil)}})
		_, revErr := s.Store.Revision(ctx)
		_, grantErr := s.Store.Grant(ctx, time.Second)
		_, statusErr := s.Store.Status(ctx)
		for name, err := range map[string]error{
			"get": getErr, "list": listErr, "commit": commitErr, "revision": revErr,
			"grant": grantErr, "status": statusErr,
			"keep alive": s.Store.KeepAlive(ctx, 1), "revoke": s.Store.Revoke(ctx, 1),
		} {
			if !errors.Is(err, context.Canceled) {
				s.Errorf("%s: %v", name, err)
			}
		}
	}},
	{name: "a deadline that passed is ErrUnavailable", check: func(s *suite) {
		ctx, cancel := context.WithDeadline(s.ctx, time.Unix(1, 0))
		defer cancel()
		_, err := s.Store.Get(ctx, s.key("k"))
		if !errors.Is(err, registry.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			s.Fatalf("err = %v", err)
		}
	}},
	{name: "status names the cluster", check: func(s *suite) {
		s.put("k", "v")
		st, err := s.Store.Status(s.ctx)
		if err != nil || st.Cluster == 0 || st.SizeBytes <= 0 {
			s.Fatalf("status = %+v, %v", st, err)
		}
	}},
}
