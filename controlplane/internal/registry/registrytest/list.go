package registrytest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

var listGuarantees = []guarantee{
	{name: "keys come in byte order within the prefix, page by page", check: checkPages},
	{name: "pages of one revision agree with each other", check: func(s *suite) {
		for _, n := range []string{"a", "b", "c"} {
			s.put(n, "old")
		}
		first := s.list(registry.ListRequest{Prefix: s.prefix, Limit: 1})
		s.put("aa", "new")
		s.put("b", "new")
		s.delete("c")
		rest := s.list(registry.ListRequest{Prefix: s.prefix, After: s.key("a"), Revision: first.Revision})
		if rest.Revision != first.Revision || !slices.Equal(s.names(rest.KVs), []string{"b", "c"}) ||
			string(rest.KVs[0].Value) != "old" {
			s.Fatalf("got %+v", rest)
		}
	}},
	{name: "a page of keys has everything but the values", check: func(s *suite) {
		for _, n := range []string{"a", "b", "c"} {
			s.put(n, "value")
		}
		whole := s.list(registry.ListRequest{Prefix: s.prefix, Limit: 2})
		keys := s.list(registry.ListRequest{Prefix: s.prefix, Limit: 2, KeysOnly: true})
		for i := range whole.KVs {
			whole.KVs[i].Value = nil
		}
		if !keys.More || !slices.EqualFunc(keys.KVs, whole.KVs, func(a, b registry.KV) bool {
			return len(a.Value) == 0 && a.Key == b.Key && a.CreateRevision == b.CreateRevision && a.ModRevision == b.ModRevision
		}) {
			s.Fatalf("got %+v, want %+v", keys, whole)
		}
		if kv := s.list(registry.ListRequest{Prefix: s.key("a")}).KVs; len(kv) != 1 || string(kv[0].Value) != "value" {
			s.Fatalf("the value is %+v afterwards", kv)
		}
	}},
	{name: "an empty page still has a revision", check: func(s *suite) {
		rev := s.put("k", "v")
		for _, req := range []registry.ListRequest{
			{Prefix: s.key("nothing/")},
			{Prefix: s.prefix, After: s.key("zzz")},
			{Prefix: s.prefix, After: s.prefix[:len(s.prefix)-1] + "0"},
			{Prefix: s.prefix, After: s.key("a"), Descending: true},
		} {
			if resp := s.list(req); len(resp.KVs) != 0 || resp.More || resp.Revision < rev {
				s.Errorf("%+v: %+v", req, resp)
			}
		}
	}},
	{name: "the limit has a default and a bound", heavy: true, check: func(s *suite) {
		const keys = 10_001
		ops := make([]registry.Op, 0, keys)
		for i := range keys {
			ops = append(ops, registry.Put(s.key(fmt.Sprintf("%05d", i)), nil))
		}
		for chunk := range slices.Chunk(ops, registry.MaxTxnOps) {
			s.commit(registry.Txn{Then: chunk})
		}
		for limit, want := range map[int]int{0: 1000, 7: 7, 10_000: 10_000, 20_000: 10_000} {
			resp := s.list(registry.ListRequest{Prefix: s.prefix, Limit: limit})
			if len(resp.KVs) != want || !resp.More {
				s.Errorf("limit %d: %d keys, more %v", limit, len(resp.KVs), resp.More)
			}
		}
	}},
	{name: "a revision that was never reached is a ResetError", check: func(s *suite) {
		_, err := s.Store.List(s.ctx, registry.ListRequest{Prefix: s.prefix, Revision: s.revision() + 1000})
		if _, ok := errors.AsType[*registry.ResetError](err); !ok {
			s.Fatalf("err = %v", err)
		}
	}},
	{name: "a compacted revision is a CompactedError", check: func(s *suite) {
		if s.Compact == nil {
			s.Skip("the harness can't compact")
		}
		old := s.put("k", "1")
		kept := s.put("k", "2")
		s.put("k", "3")
		s.Compact(s.T, kept)
		_, err := s.Store.List(s.ctx, registry.ListRequest{Prefix: s.prefix, Revision: old})
		if _, ok := errors.AsType[*registry.CompactedError](err); !ok {
			s.Fatalf("err = %v", err)
		}
		resp := s.list(registry.ListRequest{Prefix: s.prefix, Revision: kept})
		if len(resp.KVs) != 1 || string(resp.KVs[0].Value) != "2" {
			s.Fatalf("the oldest revision kept shows %+v", resp)
		}
	}},
}

func checkPages(s *suite) {
	outside := s.prefix[:len(s.prefix)-1] + "0" // just behind the prefix
	s.commit(registry.Txn{Then: []registry.Op{registry.Put(outside, nil)}})
	want := []string{"a", "a/", "a/1", "a0", "b", "\xff", "\xff\xff"}
	for _, i := range []int{3, 0, 6, 5, 1, 4, 2} {
		s.put(want[i], "v")
	}
	for _, descending := range []bool{false, true} {
		ordered := slices.Clone(want)
		if descending {
			slices.Reverse(ordered)
		}
		for limit := 1; limit <= len(want)+1; limit++ {
			var got []string
			req := registry.ListRequest{Prefix: s.prefix, Limit: limit, Descending: descending}
			for {
				resp := s.list(req)
				got = append(got, s.names(resp.KVs)...)
				if len(resp.KVs) > limit || resp.More != (len(got) < len(want)) {
					s.Fatalf("limit %d: %d keys, more %v after %q", limit, len(resp.KVs), resp.More, got)
				}
				if !resp.More {
					break
				}
				req.After, req.Revision = resp.KVs[len(resp.KVs)-1].Key, resp.Revision
			}
			if !slices.Equal(got, ordered) {
				s.Fatalf("limit %d, descending %v: %q, want %q", limit, descending, got, ordered)
			}
		}
	}
	resp := s.list(registry.ListRequest{Prefix: s.key("a/")})
	if got := s.names(resp.KVs); !slices.Equal(got, []string{"a/", "a/1"}) {
		s.Fatalf("below a/: %q", got)
	}
	if resp := s.list(registry.ListRequest{Limit: 10_000}); len(resp.KVs) < len(want)+1 {
		s.Fatalf("the empty prefix lists %d keys", len(resp.KVs))
	}
}
