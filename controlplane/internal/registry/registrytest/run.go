package registrytest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// Harness is a store under test with what the suite needs to do to it.
type Harness struct {
	Store registry.Store
	// Compact discards the history before a revision. Nil skips what needs it.
	Compact func(t *testing.T, rev int64)
	// Advance lets lease time pass. Nil means that leases end in real time.
	Advance func(d time.Duration)
	// Quick leaves out what writes thousands of keys, for a second way to the same store.
	Quick bool
}

// patience bounds every wait of the suite.
const patience = 20 * time.Second

// Run checks every guarantee. It calls open once for each subtest; open may return the
// same store again.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	t.Helper()
	groups := []struct {
		name  string
		cases []guarantee
	}{
		{"get", getGuarantees},
		{"commit", commitGuarantees},
		{"list", listGuarantees},
		{"watch", watchGuarantees},
		{"random", randomGuarantees},
		{"lease", leaseGuarantees},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) {
					h := open(t)
					if c.heavy && h.Quick {
						t.Skip("quick")
					}
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					c.check(&suite{T: t, Harness: h, ctx: ctx, prefix: newPrefix()})
				})
			}
		})
	}
}

// guarantee is one named check.
type guarantee struct {
	name  string
	heavy bool // writes thousands of keys
	check func(*suite)
}

// suite is what one check works with.
type suite struct {
	*testing.T
	Harness
	ctx    context.Context
	prefix string
}

var prefixes atomic.Int64

func newPrefix() string { return fmt.Sprintf("conformance/%04d/", prefixes.Add(1)) }

// key returns a key of this check.
func (s *suite) key(name string) string { return s.prefix + name }

func (s *suite) commit(txn registry.Txn) int64 {
	s.Helper()
	rev, err := s.Store.Commit(s.ctx, txn)
	if err != nil {
		s.Fatalf("commit: %v", err)
	}
	return rev
}

func (s *suite) put(name, value string) int64 {
	s.Helper()
	return s.commit(registry.Txn{Then: []registry.Op{registry.Put(s.key(name), []byte(value))}})
}

func (s *suite) delete(name string) int64 {
	s.Helper()
	return s.commit(registry.Txn{Then: []registry.Op{registry.Delete(s.key(name))}})
}

func (s *suite) get(name string) registry.KV {
	s.Helper()
	kv, err := s.Store.Get(s.ctx, s.key(name))
	if err != nil {
		s.Fatalf("get %s: %v", name, err)
	}
	return kv
}

func (s *suite) list(req registry.ListRequest) registry.ListResponse {
	s.Helper()
	resp, err := s.Store.List(s.ctx, req)
	if err != nil {
		s.Fatalf("list: %v", err)
	}
	return resp
}

func (s *suite) revision() int64 {
	s.Helper()
	rev, err := s.Store.Revision(s.ctx)
	if err != nil {
		s.Fatalf("revision: %v", err)
	}
	return rev
}

// names returns the keys of a page without the check's prefix.
func (s *suite) names(kvs []registry.KV) []string {
	names := make([]string, 0, len(kvs))
	for _, kv := range kvs {
		names = append(names, kv.Key[len(s.prefix):])
	}
	return names
}
