package registrytest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

var randomGuarantees = []guarantee{
	{name: "random transactions agree with a model, now, in history and in a watch", check: checkRandom},
}

// model is what the store must hold: the state after every revision.
type model map[string]registry.KV

// checkRandom writes at random and compares, and at the end rebuilds the state from a watch
// of everything.
func checkRandom(s *suite) {
	seed := uint64(time.Now().UnixNano())
	s.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	start := s.revision()
	state, history := model{}, map[int64]model{start: {}}
	last := start
	for range 200 {
		txn, next := randomTxn(s, rnd, state)
		rev, err := s.Store.Commit(s.ctx, txn)
		holds := true
		for _, c := range txn.If {
			holds = holds && state[c.Key].ModRevision == c.ModRevision
		}
		var conflict *registry.ConflictError
		if holds == errors.As(err, &conflict) || (holds && err != nil) {
			s.Fatalf("conditions hold: %v, err = %v", holds, err)
		}
		if !holds {
			continue
		}
		if changed := next(rev); changed && rev != last+1 || !changed && rev != last {
			s.Fatalf("revision %d after %d, changed: %v", rev, last, changed)
		}
		last = rev
		history[rev] = maps.Clone(state)
	}
	for rev, want := range history {
		got := model{}
		for _, kv := range s.list(registry.ListRequest{Prefix: s.prefix, Revision: rev}).KVs {
			got[kv.Key] = kv
		}
		s.same(fmt.Sprintf("revision %d", rev), got, want)
	}
	rebuilt, w := model{}, s.watch(start)
	for seen := start; seen < last; {
		b := w.next()
		for _, ev := range b.Events {
			if ev.Deleted {
				delete(rebuilt, ev.Key)
			} else {
				rebuilt[ev.Key] = ev.KV
			}
		}
		seen = b.Revision
	}
	s.same("the watch", rebuilt, state)
}

// randomTxn makes a transaction, and a function that applies it to the state and says
// whether that changed anything.
func randomTxn(s *suite, rnd *rand.Rand, state model) (registry.Txn, func(rev int64) bool) {
	var txn registry.Txn
	key := func() string { return s.key(fmt.Sprintf("k%02d", rnd.IntN(12))) }
	for range rnd.IntN(3) {
		c := registry.Compare{Key: key()}
		if rnd.IntN(4) > 0 {
			c.ModRevision = state[c.Key].ModRevision
		}
		txn.If = append(txn.If, c)
	}
	keys := map[string]bool{}
	for range 1 + rnd.IntN(4) {
		keys[key()] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if rnd.IntN(3) == 0 {
			txn.Then = append(txn.Then, registry.Delete(k))
		} else {
			txn.Then = append(txn.Then, registry.Put(k, fmt.Appendf(nil, "v%d", rnd.Int())))
		}
	}
	return txn, func(rev int64) (changed bool) {
		for _, op := range txn.Then {
			old, exists := state[op.Key]
			if op.Delete {
				delete(state, op.Key)
				changed = changed || exists
				continue
			}
			kv := registry.KV{Key: op.Key, Value: op.Value, CreateRevision: rev, ModRevision: rev}
			if exists {
				kv.CreateRevision = old.CreateRevision
			}
			state[op.Key] = kv
			changed = true
		}
		return changed
	}
}

func (s *suite) same(what string, got, want model) {
	s.Helper()
	equal := func(a, b registry.KV) bool {
		return a.Key == b.Key && bytes.Equal(a.Value, b.Value) && a.CreateRevision == b.CreateRevision &&
			a.ModRevision == b.ModRevision && a.Lease == b.Lease
	}
	if !maps.EqualFunc(got, want, equal) {
		s.Fatalf("%s: got %v, want %v", what, got, want)
	}
}
