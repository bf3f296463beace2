package registrytest

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

var commitGuarantees = []guarantee{
	{name: "the revision grows by one with every transaction", check: func(s *suite) {
		last := s.put("k", "0")
		for i := range 5 {
			rev := s.put("k", strconv.Itoa(i))
			if rev != last+1 {
				s.Fatalf("revision %d follows %d", rev, last)
			}
			last = rev
		}
	}},
	{name: "a transaction stores everything at one revision", check: func(s *suite) {
		s.put("gone", "v")
		rev := s.commit(registry.Txn{Then: []registry.Op{
			registry.Put(s.key("a"), []byte("1")),
			registry.Put(s.key("b"), []byte("2")),
			registry.Delete(s.key("gone")),
		}})
		resp := s.list(registry.ListRequest{Prefix: s.prefix})
		if len(resp.KVs) != 2 {
			s.Fatalf("got %v", s.names(resp.KVs))
		}
		for _, kv := range resp.KVs {
			if kv.ModRevision != rev {
				s.Errorf("%s is at revision %d, not %d", kv.Key, kv.ModRevision, rev)
			}
		}
	}},
	{name: "a compare of zero means that the key must not exist", check: func(s *suite) {
		create := registry.Txn{
			If:   []registry.Compare{{Key: s.key("k")}},
			Then: []registry.Op{registry.Put(s.key("k"), []byte("v"))},
		}
		s.commit(create)
		var conflict *registry.ConflictError
		if _, err := s.Store.Commit(s.ctx, create); !errors.As(err, &conflict) {
			s.Fatalf("err = %v", err)
		}
		s.delete("k")
		s.commit(create)
	}},
	{name: "a failed compare stores nothing and answers with the values it saw", check: checkConflict},
	{name: "deleting what is not there succeeds and changes nothing", check: func(s *suite) {
		before := s.put("other", "v")
		if rev := s.delete("absent"); rev != before {
			s.Fatalf("revision %d, want %d", rev, before)
		}
	}},
	{name: "a malformed transaction is refused", check: checkMalformed},
	{name: "the largest transaction is accepted", heavy: true, check: checkLargest},
	{name: "concurrent compare-and-swap loses no update", check: checkSwap},
}

func checkConflict(s *suite) {
	old := s.put("a", "1")
	mod := s.put("a", "2")
	_, err := s.Store.Commit(s.ctx, registry.Txn{
		If: []registry.Compare{
			{Key: s.key("a"), ModRevision: old},
			{Key: s.key("absent")},
			{Key: s.key("a"), ModRevision: mod},
		},
		Then: []registry.Op{registry.Put(s.key("b"), []byte("x"))},
	})
	var conflict *registry.ConflictError
	if !errors.As(err, &conflict) {
		s.Fatalf("err = %v", err)
	}
	if conflict.Revision < mod || len(conflict.Current) != 1 {
		s.Fatalf("conflict = %+v", conflict)
	}
	if got := conflict.Current[s.key("a")]; string(got.Value) != "2" || got.ModRevision != mod {
		s.Fatalf("current = %+v", got)
	}
	if _, err := s.Store.Get(s.ctx, s.key("b")); !errors.Is(err, registry.ErrNotFound) {
		s.Fatalf("the transaction left something: %v", err)
	}
	if rev := s.revision(); rev != mod {
		s.Fatalf("revision %d, want %d", rev, mod)
	}
}

func checkMalformed(s *suite) {
	put := func(name string) registry.Op { return registry.Put(s.key(name), []byte("v")) }
	many := make([]registry.Op, registry.MaxTxnOps+1)
	for i := range many {
		many[i] = put(strconv.Itoa(i))
	}
	half := make([]byte, registry.MaxRequestBytes/2)
	tests := []struct {
		name string
		txn  registry.Txn
		want error
	}{
		{"nothing to write", registry.Txn{If: []registry.Compare{{Key: s.key("a")}}}, registry.ErrInvalid},
		{"an empty key", registry.Txn{Then: []registry.Op{{Value: []byte("v")}}}, registry.ErrInvalid},
		{"a key put twice", registry.Txn{Then: []registry.Op{put("a"), put("a")}}, registry.ErrInvalid},
		{"a key put and deleted", registry.Txn{Then: []registry.Op{put("a"), registry.Delete(s.key("a"))}}, registry.ErrInvalid},
		{"too many operations", registry.Txn{Then: many}, registry.ErrTooLarge},
		{"too many bytes", registry.Txn{Then: []registry.Op{
			registry.Put(s.key("a"), half), registry.Put(s.key("b"), half),
		}}, registry.ErrTooLarge},
	}
	for _, tt := range tests {
		if _, err := s.Store.Commit(s.ctx, tt.txn); !errors.Is(err, tt.want) {
			s.Errorf("%s: err = %v, want %v", tt.name, err, tt.want)
		}
	}
	if resp := s.list(registry.ListRequest{Prefix: s.prefix}); len(resp.KVs) != 0 {
		s.Errorf("stored all the same: %v", s.names(resp.KVs))
	}
}

// checkLargest writes as many operations as allowed, and as many bytes as allowed, and
// watches both: a watch must not split a revision however large it is.
func checkLargest(s *suite) {
	w := s.watch(s.revision())
	txn := registry.Txn{}
	for i := range registry.MaxTxnOps {
		key := s.key(fmt.Sprintf("ops/%05d", i))
		txn.If = append(txn.If, registry.Compare{Key: key})
		txn.Then = append(txn.Then, registry.Put(key, []byte("v")))
	}
	rev := s.commit(txn)
	if b := w.batch(); b.Revision < rev || len(b.Events) != registry.MaxTxnOps {
		s.Fatalf("watched %d events at revision %d, want %d at %d", len(b.Events), b.Revision, registry.MaxTxnOps, rev)
	}

	const parts = 4
	value := bytes.Repeat([]byte("x"), (registry.MaxRequestBytes-4096)/parts)
	txn = registry.Txn{}
	for i := range parts {
		txn.Then = append(txn.Then, registry.Put(s.key(fmt.Sprintf("bytes/%d", i)), value))
	}
	rev = s.commit(txn)
	if b := w.batch(); b.Revision < rev || len(b.Events) != parts {
		s.Fatalf("watched %d events at revision %d, want %d at %d", len(b.Events), b.Revision, parts, rev)
	}
}

func checkSwap(s *suite) {
	const writers, each = 4, 10
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			var cur registry.KV
			for done := 0; done < each; {
				n, _ := strconv.Atoi(string(cur.Value))
				_, err := s.Store.Commit(s.ctx, registry.Txn{
					If:   []registry.Compare{{Key: s.key("n"), ModRevision: cur.ModRevision}},
					Then: []registry.Op{registry.Put(s.key("n"), []byte(strconv.Itoa(n+1)))},
				})
				var conflict *registry.ConflictError
				switch {
				case errors.As(err, &conflict):
					cur = conflict.Current[s.key("n")]
				case err != nil:
					s.Errorf("commit: %v", err)
					return
				default:
					done++
				}
			}
		})
	}
	wg.Wait()
	if kv := s.get("n"); string(kv.Value) != strconv.Itoa(writers*each) {
		s.Fatalf("counted to %s, want %d", kv.Value, writers*each)
	}
}
