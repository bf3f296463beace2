package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/chain"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

const channel = wire.Routine

// tester is what *testing.T and *rapid.T have in common.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

type documents map[wire.DocumentID]wire.Sum

func (d documents) state(release int64) chain.State {
	s := chain.State{Point: chain.Point{Release: release, Digest: wire.SumOf(fmt.Append(nil, release))}, Documents: int64(len(d))}
	for id, sum := range d {
		s.StateHash = s.StateHash.Add(channel, id, sum)
	}
	return s
}

// writer makes generations of random documents.
type writer struct {
	s    *Store
	docs documents
	n    int64
}

func (w *writer) begin(tb tester, change map[string]string) {
	tb.Helper()
	w.n++
	docs := maps.Clone(w.docs)
	next := Next{
		Channel: channel, TargetSequence: w.n, Bodies: map[wire.Sum][]byte{},
		Manifests: []*chain.Manifest{{Number: w.n, Raw: fmt.Append(nil, "manifest", w.n)}},
	}
	for _, name := range slices.Sorted(maps.Keys(change)) {
		id, body := wire.DocumentID{Kind: wire.KindSite, ID: name}, change[name]
		c := chain.Change{ID: id, Before: docs[id]}
		if body == "" {
			delete(docs, id)
		} else {
			c.After = wire.SumOf([]byte(body))
			next.Bodies[c.After] = []byte(body)
			docs[id] = c.After
		}
		if c.Before != c.After {
			next.Changes = append(next.Changes, c)
		}
	}
	next.State = docs.state(w.n)
	if _, err := w.s.Begin(next); err != nil {
		tb.Fatal(err)
	}
	w.docs = docs
}

func open(tb tester, path string) *Store {
	tb.Helper()
	s, err := Open(path, Options{NoSync: true, CheckpointEvery: 6})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func shut(tb tester, s *Store) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}

// holds checks that the store's head is what the model says, with all documents.
func holds(tb tester, s *Store, want documents, release int64) {
	tb.Helper()
	head, ok := s.Head(channel)
	if !ok && release == 0 {
		return
	}
	if head.Release != release || head.State != want.state(release) {
		tb.Fatalf("head %+v, not release %d with %v", head, release, want)
	}
	list, err := s.Documents(head)
	if err != nil || len(list) != len(want) {
		tb.Fatalf("%d documents, not %d: %v", len(list), len(want), err)
	}
	for _, d := range list {
		if _, ok, err := s.Blob(d.After); !ok || err != nil || want[d.ID] != d.After {
			tb.Fatalf("document %s: %v", d.ID, err)
		}
	}
}

// leaks checks that only documents of kept generations are kept.
func leaks(tb tester, s *Store) {
	tb.Helper()
	needed := map[wire.Sum]bool{}
	for _, g := range s.channels[channel].gens {
		list, err := s.Documents(g)
		if err != nil {
			tb.Fatalf("generation %d of %d kept: %v", g.Seq, len(s.channels[channel].gens), err)
		}
		for _, d := range list {
			needed[d.After] = true
		}
	}
	if err := s.view(func(tx *bolt.Tx) error {
		if got := tx.Bucket(bucketBlobs).Stats().KeyN; got != len(needed) {
			tb.Fatalf("%d documents are kept, %d are needed", got, len(needed))
		}
		if got := tx.Bucket(bucketRefs).Stats().KeyN; got != len(needed) {
			tb.Fatalf("%d documents are counted, %d are needed", got, len(needed))
		}
		return nil
	}); err != nil {
		tb.Fatal(err)
	}
}

// TestModel does random things to a store and compares it with a simple model.
func TestModel(t *testing.T) {
	folder := t.TempDir()
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		path := filepath.Join(folder, fmt.Sprint(runs), "s.db")
		w := &writer{s: open(t, path), docs: documents{}}
		defer func() {
			leaks(t, w.s)
			_ = w.s.Close()
		}()
		type kept struct {
			docs    documents
			release int64
		}
		history := []kept{{documents{}, 0}}
		pending := false
		names, bodies := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}), rapid.SampledFrom([]string{"", "1", "2", "3", "4"})
		top := func() kept { return history[len(history)-1] }
		t.Repeat(map[string]func(t *rapid.T){
			"begin": func(t *rapid.T) {
				if pending {
					t.Skip("one at a time")
				}
				w.docs = top().docs
				w.begin(t, rapid.MapOfN(names, bodies, 0, 4).Draw(t, "changes"))
				pending = true
			},
			"finish": func(t *rapid.T) {
				if !pending {
					t.Skip("nothing is applying")
				}
				if err := w.s.Finish(channel); err != nil {
					t.Fatal(err)
				}
				history = append(history, kept{w.docs, w.n})
				pending = false
			},
			"undo": func(t *rapid.T) {
				if !pending {
					if len(w.s.channels[channel].gens) < 2 {
						t.Skip("nothing to undo")
					}
					history = history[:len(history)-1]
				}
				if err := w.s.Undo(channel, nil); err != nil {
					t.Fatal(err)
				}
				pending = false
			},
			"reopen": func(t *rapid.T) {
				shut(t, w.s)
				w.s = open(t, path)
				leaks(t, w.s)
				if w.s.LastStop().Fresh {
					t.Fatal("the store is new")
				}
			},
			"": func(t *rapid.T) {
				if _, ok := w.s.Pending(channel); ok != pending {
					t.Fatalf("pending %v", ok)
				}
				holds(t, w.s, top().docs, top().release)
			},
		})
	})
}

func fill(tb tester, s *Store, generations int) *writer {
	tb.Helper()
	w := &writer{s: s, docs: documents{}}
	for i := range generations {
		w.begin(tb, map[string]string{"a": fmt.Sprint("a", i), fmt.Sprint("n", i): "x", fmt.Sprint("n", i-10): ""})
		if err := s.Finish(channel); err != nil {
			tb.Fatal(err)
		}
	}
	return w
}

func TestKeepsEnoughAndNotMore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path)
	fill(t, s, 200)
	h := s.channels[channel]
	if len(h.checkpoints) != keepCheckpoints || len(h.gens) < keepCheckpoints || len(h.gens) > 40 {
		t.Errorf("%d checkpoints, %d generations", len(h.checkpoints), len(h.gens))
	}
	if _, ok, err := s.Manifest(channel, h.gens[0].Release); !ok || err != nil {
		t.Errorf("the oldest generation's manifest: %v", err)
	}
	if _, ok, err := s.Manifest(channel, h.gens[0].Release-1); ok || err != nil {
		t.Errorf("an older manifest: %v, %v", ok, err)
	}
	leaks(t, s)
	shut(t, s)
}

// TestDamage flips bits anywhere and cuts anywhere: the store opens, and what it then
// serves is some generation that was, whole.
func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path)
	w := &writer{s: s, docs: documents{}}
	were := map[int64]documents{0: {}}
	for i := range 12 {
		w.begin(t, map[string]string{"a": fmt.Sprint("a", i), fmt.Sprint("n", i): fmt.Sprint("x", i)})
		if i < 11 {
			if err := s.Finish(channel); err != nil {
				t.Fatal(err)
			}
		}
		were[w.n] = w.docs
	}
	shut(t, s)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	used := len(bytes.TrimRight(whole, "\x00"))
	older := 0
	lost := 0
	for i := range 60 {
		b := slices.Clone(whole)
		if i%5 == 0 {
			b = b[:random.IntN(used)]
		} else {
			for range 1 + random.IntN(40) {
				b[random.IntN(used)] ^= byte(1 << random.IntN(8))
			}
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, path)
		head, ok := s.Head(channel)
		holds(t, s, were[head.Release], head.Release)
		switch {
		case !ok:
			lost++
		case head.Release < 11:
			older++
		}
		if !writes(t, s, were[head.Release]) {
			// Only a write found it; the next start must get over it.
			shut(t, s)
			s = open(t, path)
			head, _ = s.Head(channel)
			holds(t, s, were[head.Release], head.Release)
			if !writes(t, s, were[head.Release]) {
				t.Fatal("the damage stays")
			}
		}
		shut(t, s)
	}
	t.Logf("%d times everything was lost, %d times an older generation helped", lost, older)
	if older == 0 {
		t.Error("no older generation ever helped")
	}
	if _, err := os.Stat(path + ".damaged"); err != nil {
		t.Error(err)
	}
}

// writes adds a generation, and says whether the store took it.
func writes(t *testing.T, s *Store, docs documents) bool {
	t.Helper()
	ok := func(err error) bool {
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatal(err)
		}
		return err == nil
	}
	if _, pending := s.Pending(channel); pending && !ok(s.Undo(channel, nil)) {
		return false
	}
	docs = maps.Clone(docs)
	body := []byte("z")
	id, sum := wire.DocumentID{Kind: wire.KindSite, ID: "z"}, wire.SumOf(body)
	docs[id] = sum
	_, err := s.Begin(Next{
		Channel: channel, Changes: []chain.Change{{ID: id, After: sum}}, State: docs.state(101),
		Bodies: map[wire.Sum][]byte{sum: body},
	})
	if !ok(err) || !ok(s.Finish(channel)) {
		return false
	}
	holds(t, s, docs, 101)
	return true
}

// TestOneProcessAtATime: who has the file keeps it, also while it changes it, and nobody takes
// a change that is half written for damage.
func TestOneProcessAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path)
	w := fill(t, s, 3)
	if other, err := Open(path, Options{}); err == nil || errors.Is(err, ErrDamaged) {
		t.Errorf("a second one has it: %v, %v", other, err)
	}
	if _, err := os.Stat(path + ".damaged"); err == nil {
		t.Error("the second one put the file aside")
	}
	holds(t, s, w.docs, 3)
	shut(t, s)
	s = open(t, path)
	holds(t, s, w.docs, 3)
	shut(t, s)
}

func TestFallBack(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "s.db"))
	w := &writer{s: s, docs: documents{}}
	w.begin(t, map[string]string{"a": "1"})
	one := w.docs
	if err := s.Finish(channel); err != nil {
		t.Fatal(err)
	}
	w.begin(t, map[string]string{"a": "2"})
	if err := s.Finish(channel); err != nil {
		t.Fatal(err)
	}
	w.begin(t, map[string]string{"a": "3"})
	bad := wire.SumOf([]byte("2"))
	if err := s.update(func(tx *bolt.Tx) error { return tx.Bucket(bucketBlobs).Put(bad[:], []byte("?")) }); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Blob(bad); !errors.Is(err, ErrDamaged) {
		t.Errorf("%v", err)
	}
	if err := s.FallBack(channel); err != nil {
		t.Fatal(err)
	}
	holds(t, s, one, 1)
	shut(t, s)
}

func TestMarksAndRejections(t *testing.T) {
	since := time.Unix(1_700_000_000, 0)
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path)
	if !s.LastStop().Fresh {
		t.Error("not fresh")
	}
	for i := range 2 * MaxRejections {
		if err := s.PutRejection(channel, &edgev1.Rejection{Release: int64(i), Reason: "no"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.DropRejection(channel, MaxRejections+1); err != nil {
		t.Fatal(err)
	}
	if err := s.Started("boot", since); err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	s = open(t, path)
	if got := s.LastStop(); got != (Stop{Boot: "boot", Since: since}) {
		t.Errorf("%+v", got)
	}
	all, err := s.Rejections(channel)
	if err != nil || len(all) != MaxRejections-1 || all[0].GetRelease() != MaxRejections {
		t.Errorf("%d rejections: %v", len(all), err)
	}
	if err := s.Stopped(); err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	s = open(t, path)
	if got := s.LastStop(); got != (Stop{Clean: true, Boot: "boot", Since: since}) {
		t.Errorf("%+v", got)
	}
	for want := 1; want <= 2; want++ {
		if n, err := s.Interrupted(channel, 7); n != want || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if n, err := s.Interrupted(channel, 8); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	shut(t, s)
}

func FuzzDecode(f *testing.F) {
	g := Generation{Channel: channel, Seq: 3, Order: 4, TargetSequence: 5, State: documents{}.state(7)}
	changes := []chain.Change{
		{ID: wire.DocumentID{Kind: "site", ID: "a"}, After: wire.SumOf([]byte("x"))},
		{ID: wire.DocumentID{Kind: "site", ID: "b"}, Before: wire.SumOf([]byte("x"))},
	}
	f.Add(encode(g, changes), []byte("body"))
	f.Fuzz(func(t *testing.T, raw, body []byte) {
		_, _, _ = decode(channel, raw, true)
		// With a checksum that holds.
		sum := checksum(channel, body)
		got, list, err := decode(channel, append(slices.Clone(body), sum[:]...), true)
		if err != nil {
			return
		}
		got.weight = 0
		again, same, err := decode(channel, encode(got, list), true)
		again.weight = 0
		if err != nil || again != got || !slices.Equal(list, same) {
			t.Errorf("%+v becomes %+v: %v", got, again, err)
		}
	})
}
