package chain

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

var (
	key   = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	trust = wire.NewTrust(key.Public().(ed25519.PublicKey)) //nolint:forcetypeassert // Ed25519 keys have it
)

type documents map[wire.DocumentID]wire.Sum

func (d documents) hash() (h wire.StateHash) {
	for id, sum := range d {
		h = h.Add(wire.Routine, id, sum)
	}
	return h
}

// tree is a set of releases, as a publisher leaves it.
type tree struct {
	raw    map[int64][]byte
	states map[int64]documents
	last   int64
}

func newTree() *tree { return &tree{raw: map[int64][]byte{}, states: map[int64]documents{0: {}}} }

func (tr *tree) seal(parent int64, change map[string]string) int64 {
	tr.last++
	state := maps.Clone(tr.states[parent])
	m := &edgev1.Manifest{Channel: string(wire.Routine), Number: tr.last, Parent: parent}
	for _, name := range slices.Sorted(maps.Keys(change)) {
		id := wire.DocumentID{Kind: wire.KindSite, ID: name}
		c := &edgev1.Manifest_Change{Kind: id.Kind, Id: id.ID}
		if old, ok := state[id]; ok {
			c.OldSha256 = old[:]
		}
		if change[name] == "" {
			delete(state, id)
		} else {
			sum := wire.SumOf([]byte(change[name]))
			state[id] = sum
			c.NewSha256 = sum[:]
		}
		if string(c.GetOldSha256()) != string(c.GetNewSha256()) {
			m.Changes = append(m.Changes, c)
		}
	}
	hash := state.hash()
	m.StateHash = hash[:]
	tr.states[tr.last] = state
	tr.raw[tr.last] = sign(wire.ContextManifest, m)
	return tr.last
}

func sign(of string, m proto.Message) []byte {
	signed, err := wire.Sign(key, of, m)
	if err != nil {
		panic(err)
	}
	raw, err := proto.Marshal(signed)
	if err != nil {
		panic(err)
	}
	return raw
}

func (tr *tree) source(_ context.Context, n int64) (*Manifest, error) {
	raw, ok := tr.raw[n]
	if !ok {
		return nil, fmt.Errorf("%w: %d", ErrMissing, n)
	}
	return OpenManifest(trust, wire.Routine, n, raw)
}

func (tr *tree) state(n int64) State {
	s := State{StateHash: tr.states[n].hash(), Documents: int64(len(tr.states[n]))}
	if n > 0 {
		m, err := tr.source(context.Background(), n)
		if err != nil {
			panic(err)
		}
		s.Point = Point{Release: n, Digest: m.Digest}
	}
	return s
}

// TestWays walks between any two releases of any tree.
func TestWays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := newTree()
		names, bodies := rapid.SampledFrom([]string{"a", "b", "c", "d"}), rapid.SampledFrom([]string{"", "1", "2", "3"})
		for range rapid.IntRange(1, 12).Draw(t, "releases") {
			parent := rapid.Int64Range(0, tr.last).Draw(t, "parent")
			tr.seal(parent, rapid.MapOfN(names, bodies, 0, 3).Draw(t, "changes"))
		}
		from := rapid.Int64Range(0, tr.last).Draw(t, "from")
		to := rapid.Int64Range(1, tr.last).Draw(t, "to")
		f := Finder{
			Channel: wire.Routine, Held: tr.source, Offered: tr.source, Limit: 100, Strict: rapid.Bool().Draw(t, "strict"),
		}
		way, err := f.Find(context.Background(), tr.state(from), to)
		if err != nil {
			t.Fatal(err)
		}
		got := maps.Clone(tr.states[from])
		for i, c := range way.Changes {
			if got[c.ID] != c.Before || i > 0 && way.Changes[i-1].ID.Compare(c.ID) >= 0 {
				t.Fatalf("change %v of %v", c, way.Changes)
			}
			if got[c.ID] = c.After; c.After.IsZero() {
				delete(got, c.ID)
			}
		}
		if !maps.Equal(got, tr.states[to]) {
			t.Fatalf("%d to %d: %v, not %v", from, to, got, tr.states[to])
		}
		if want := tr.state(to); way.State != want {
			t.Fatalf("%+v, not %+v", way.State, want)
		}
	})
}

func TestNoWay(t *testing.T) {
	tr := newTree()
	for i := range 5 {
		tr.seal(int64(i), map[string]string{"a": fmt.Sprint(i)})
	}
	side := tr.seal(2, map[string]string{"b": "1"})
	gone := newTree()
	gone.raw, gone.states = maps.Clone(tr.raw), tr.states
	delete(gone.raw, 4)
	for name, test := range map[string]struct {
		offered  Source
		from, to int64
		limit    int
		want     error
	}{
		"missing on the way":     {gone.source, 3, 5, 10, ErrMissing},
		"missing at the end":     {gone.source, 3, 4, 10, ErrMissing},
		"never was":              {tr.source, 3, 17, 10, ErrMissing},
		"too long":               {tr.source, 1, 5, 3, ErrTooFar},
		"too long, both ways":    {tr.source, 5, side, 3, ErrTooFar},
		"just not too long":      {tr.source, 5, side, 4, nil},
		"around what is missing": {gone.source, 3, side, 10, nil},
	} {
		f := Finder{Channel: wire.Routine, Held: test.offered, Offered: test.offered, Limit: test.limit}
		if _, err := f.Find(t.Context(), tr.state(test.from), test.to); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOtherReleaseOfANumber has two trees that part after release 2.
func TestOtherReleaseOfANumber(t *testing.T) {
	held, offered := newTree(), newTree()
	for i := range 4 {
		held.seal(int64(i), map[string]string{"a": fmt.Sprint(i)})
		if i < 2 {
			offered.seal(int64(i), map[string]string{"a": fmt.Sprint(i)})
		}
	}
	offered.seal(2, map[string]string{"b": "x"})
	offered.seal(3, map[string]string{"b": "y"})
	f := Finder{Channel: wire.Routine, Held: held.source, Offered: offered.source, Limit: 10, Strict: true}
	way, err := f.Find(t.Context(), held.state(4), 4)
	if err != nil || len(way.Forward) != 2 || way.State != offered.state(4) {
		t.Errorf("%+v, %v", way, err)
	}
}

func TestBase(t *testing.T) {
	tr := newTree()
	tr.seal(0, map[string]string{"a": "1", "b": "2", "c": "3"})
	b, chunks := base(tr, 1)
	read := func(b *Base) ([]Change, error) {
		return b.Read(func(i int) ([]byte, error) { return chunks[i], nil })
	}
	opened, err := OpenBase(trust, wire.Routine, sign(wire.ContextBase, b))
	if err != nil {
		t.Fatal(err)
	}
	list, err := read(opened)
	if err != nil || len(list) != 3 {
		t.Errorf("%v, %v", list, err)
	}
	if m, err := OpenManifest(trust, wire.Routine, 1, opened.Manifest.Raw); err != nil || m.Digest != opened.Manifest.Digest {
		t.Errorf("the base's manifest: %v", err)
	}
	for name, tamper := range map[string]func(b *edgev1.Base){
		"channel":        func(b *edgev1.Base) { b.Channel = string(wire.Urgent) },
		"release":        func(b *edgev1.Base) { b.Release = 2 },
		"hash":           func(b *edgev1.Base) { b.StateHash[0] ^= 1 },
		"no manifest":    func(b *edgev1.Base) { b.Manifest = nil },
		"digest":         func(b *edgev1.Base) { b.ChunkSha256[1] = nil },
		"other digest":   func(b *edgev1.Base) { b.ChunkSha256[1][0] ^= 1 },
		"order":          func(b *edgev1.Base) { slices.Reverse(b.GetChunkSha256()); slices.Reverse(chunks) },
		"not everything": func(b *edgev1.Base) { b.ChunkSha256 = b.GetChunkSha256()[:2] },
	} {
		b, _ := base(tr, 1)
		tamper(b)
		opened, err := OpenBase(trust, wire.Routine, sign(wire.ContextBase, b))
		if err == nil {
			_, err = read(opened)
		}
		if bad := (*CorruptError)(nil); !errors.As(err, &bad) {
			t.Errorf("%s: %v", name, err)
		}
		_, chunks = base(tr, 1)
	}
}

func base(tr *tree, n int64) (*edgev1.Base, [][]byte) {
	hash := tr.states[n].hash()
	signed := &edgev1.Signed{}
	if err := proto.Unmarshal(tr.raw[n], signed); err != nil {
		panic(err)
	}
	b := &edgev1.Base{Channel: string(wire.Routine), Release: n, StateHash: hash[:], Manifest: signed}
	var chunks [][]byte
	for _, id := range slices.SortedFunc(maps.Keys(tr.states[n]), wire.DocumentID.Compare) {
		sum := tr.states[n][id]
		raw, err := proto.Marshal(&edgev1.BaseChunk{Entries: []*edgev1.BaseChunk_Entry{{Kind: id.Kind, Id: id.ID, Sha256: sum[:]}}})
		if err != nil {
			panic(err)
		}
		digest := wire.SumOf(raw)
		chunks, b.ChunkSha256 = append(chunks, raw), append(b.ChunkSha256, digest[:])
	}
	return b, chunks
}

func TestManifestIsChecked(t *testing.T) {
	sum := wire.SumOf([]byte("x"))
	good := func() *edgev1.Manifest {
		return &edgev1.Manifest{Channel: string(wire.Routine), Number: 7, Parent: 6, Changes: []*edgev1.Manifest_Change{
			{Kind: wire.KindDNS, Id: "a", NewSha256: sum[:]},
			{Kind: wire.KindSite, Id: "a", OldSha256: sum[:]},
			{Kind: "zfuture", Id: "a", OldSha256: sum[:]},
		}}
	}
	if _, err := OpenManifest(trust, wire.Routine, 7, sign(wire.ContextManifest, good())); err != nil {
		t.Fatal(err)
	}
	for name, tamper := range map[string]func(m *edgev1.Manifest){
		"channel":      func(m *edgev1.Manifest) { m.Channel = string(wire.Urgent) },
		"number":       func(m *edgev1.Manifest) { m.Number = 8 },
		"parent":       func(m *edgev1.Manifest) { m.Parent = 7 },
		"no parent":    func(m *edgev1.Manifest) { m.Parent = -1 },
		"documents":    func(m *edgev1.Manifest) { m.Documents = -1 },
		"state hash":   func(m *edgev1.Manifest) { m.StateHash = []byte("short") },
		"order":        func(m *edgev1.Manifest) { slices.Reverse(m.GetChanges()) },
		"twice":        func(m *edgev1.Manifest) { m.Changes[0] = m.GetChanges()[1] },
		"no change":    func(m *edgev1.Manifest) { m.Changes[0].OldSha256 = sum[:] },
		"nothing":      func(m *edgev1.Manifest) { m.Changes[0].NewSha256 = nil },
		"digest":       func(m *edgev1.Manifest) { m.Changes[0].NewSha256 = sum[1:] },
		"kind":         func(m *edgev1.Manifest) { m.Changes[0].Kind = "" },
		"slash":        func(m *edgev1.Manifest) { m.Changes[0].Kind = "d/ns" },
		"id":           func(m *edgev1.Manifest) { m.Changes[0].Id = "" },
		"foreign kind": func(m *edgev1.Manifest) { m.Changes[0].Kind = wire.KindApp },
		"endless id":   func(m *edgev1.Manifest) { m.Changes[0].Id = string(make([]byte, 1000)) },
	} {
		m := good()
		tamper(m)
		_, err := OpenManifest(trust, wire.Routine, 7, sign(wire.ContextManifest, m))
		if bad := (*CorruptError)(nil); !errors.As(err, &bad) || bad.Release != 7 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := OpenManifest(trust, wire.Routine, 7, sign(wire.ContextBase, good())); err == nil {
		t.Error("a signature of another context passes")
	}
}

func FuzzOpen(f *testing.F) {
	tr := newTree()
	tr.seal(0, map[string]string{"a": "1", "b": "2"})
	b, chunks := base(tr, 1)
	f.Add(tr.raw[1])
	f.Add(sign(wire.ContextBase, b))
	f.Add(chunks[0])
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _ = OpenManifest(trust, wire.Routine, 1, raw)
		_, _ = OpenBase(trust, wire.Routine, raw)
		_, _ = parseChunk(wire.Routine, raw)
		// As if the key were the attacker's: what is signed is still checked.
		signed := &edgev1.Signed{Payload: raw, KeyId: wire.KeyID(key.Public().(ed25519.PublicKey))} //nolint:forcetypeassert // as above
		for _, of := range []string{wire.ContextManifest, wire.ContextBase} {
			signed.Signature = ed25519.Sign(key, append(append([]byte(of), 0), raw...))
			wrapped, err := proto.Marshal(signed)
			if err != nil {
				t.Fatal(err)
			}
			if m, err := OpenManifest(trust, wire.Routine, 1, wrapped); err == nil && m.Parent != 0 {
				t.Errorf("parent %d of release 1", m.Parent)
			}
			if b, err := OpenBase(trust, wire.Routine, wrapped); err == nil {
				_, _ = b.Read(func(int) ([]byte, error) { return raw, nil })
			}
		}
	})
}
