package prune

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFloor(t *testing.T) {
	whole := Channel{
		Base: 50, Head: 60, LastKnownGood: 55, Generations: []int64{1, 20, 30, 40, 55}, Releases: []int64{55, 58, 60},
		Targets: []Target{{Release: 58}, {Release: 60}},
	}
	for name, tc := range map[string]struct {
		change func(*Channel)
		tight  bool
		want   int64
	}{
		"the oldest of the last generations": {func(*Channel) {}, false, 20},
		"the base":                           {func(c *Channel) { c.Base = 12 }, false, 12},
		"no base":                            {func(c *Channel) { c.Base = 0 }, false, 0},
		"nothing known of the rollout":       {func(c *Channel) { c.LastKnownGood = 0 }, false, 0},
		"no head":                            {func(c *Channel) { c.Head = 0 }, false, 0},
		"too few generations":                {func(c *Channel) { c.Generations = c.Generations[:3] }, false, 0},
		"a release on its way":               {func(c *Channel) { c.Releases[0] = 7 }, false, 7},
		"a target":                           {func(c *Channel) { c.Targets[0].Release = 5 }, false, 5},
		"no target yet":                      {func(c *Channel) { c.Targets[0].Release = 0 }, false, 20},
		"a target that is out":               {func(c *Channel) { c.Targets[0] = Target{5, true} }, false, 5},
		"one that is out of a full store":    {func(c *Channel) { c.Targets[0] = Target{5, true} }, true, 20},
		"one that is in":                     {func(c *Channel) { c.Targets[0] = Target{5, false} }, true, 5},
		"a rollback that is asked for":       {func(c *Channel) { c.Asked = []int64{3} }, false, 3},
		"one that is long out": {func(c *Channel) {
			*c = Channel{
				Base: 20_000, Head: 20_000, LastKnownGood: 20_000, Generations: []int64{19_000, 19_100, 19_200, 20_000},
				Targets: []Target{{9_999, true}, {19_900, true}},
			}
		}, false, 19_000},
	} {
		t.Run(name, func(t *testing.T) {
			c := whole
			c.Releases, c.Targets = slices.Clone(c.Releases), slices.Clone(c.Targets)
			tc.change(&c)
			if got := c.Floor(tc.tight); got != tc.want {
				t.Errorf("floor %d, want %d", got, tc.want)
			}
		})
	}
}

func TestForgotten(t *testing.T) {
	var c Channel
	for n := range int64(History + 100) {
		c.History = append(c.History, n+1)
	}
	c.Named = []int64{3, 50}
	if got := c.Forgotten(2_000); len(got) != 98 || slices.Contains(got, 3) || slices.Contains(got, 50) || got[97] != 100 {
		t.Errorf("forgotten: %v", got)
	}
	if got := c.Forgotten(11); len(got) != 9 || got[8] != 10 {
		t.Errorf("forgotten below 11: %v", got)
	}
	if got := c.Forgotten(0); len(got) != 0 {
		t.Errorf("forgotten while nothing may go: %v", got)
	}
	c.History = c.History[:History]
	if got := c.Forgotten(2_000); len(got) != 0 {
		t.Errorf("forgotten of %d: %v", History, got)
	}
}

// release is a manifest of the model, and the state after it.
type release struct {
	number, parent int64
	changes        []*edgev1.Manifest_Change
	docs           map[string]wire.Sum
}

// story is a channel's chain as the engine could have made it.
type story struct {
	t        *rapid.T
	releases map[int64]*release
	channel  Channel
	last     int64
	// base is what the stored base lists, good the versions that holds need.
	base map[string]wire.Sum
	good []wire.Sum
}

func (s *story) seal() {
	s.last++
	r := &release{number: s.last, parent: s.channel.Head, docs: map[string]wire.Sum{}}
	if p := s.releases[r.parent]; p != nil {
		r.docs = maps.Clone(p.docs)
	}
	for i := range rapid.IntRange(1, 3).Draw(s.t, "changes") {
		id := fmt.Sprint(i, rapid.IntRange(0, 2).Draw(s.t, "document"))
		before := r.docs[id]
		// Few versions, so that old ones come again, also elsewhere.
		after := wire.SumOf(fmt.Appendf(nil, "version %d", rapid.IntRange(0, 12).Draw(s.t, "version")))
		if rapid.IntRange(0, 5).Draw(s.t, "removed") == 0 {
			after = wire.Sum{}
		}
		if before == after {
			continue
		}
		c := &edgev1.Manifest_Change{Kind: wire.KindSite, Id: id}
		if !before.IsZero() {
			c.OldSha256 = before[:]
		}
		delete(r.docs, id)
		if !after.IsZero() {
			c.NewSha256, r.docs[id] = after[:], after
		}
		r.changes = append(r.changes, c)
	}
	s.releases[r.number] = r
	s.channel.Head = r.number
	s.channel.Releases = append(s.channel.Releases, r.number)
	if r.number == 1 {
		s.channel.LastKnownGood, s.channel.Generations = 1, []int64{1}
	}
}

// abandon takes releases off the end of the chain; what they replaced may be held.
func (s *story) abandon() {
	if len(s.channel.Releases) < 2 {
		return
	}
	at := rapid.IntRange(1, len(s.channel.Releases)-1).Draw(s.t, "abandoned")
	for _, n := range s.channel.Releases[at:] {
		if rapid.Bool().Draw(s.t, "held") {
			for _, c := range s.releases[n].changes {
				if sum, err := wire.SumFromBytes(c.GetOldSha256()); err == nil && !sum.IsZero() {
					s.good = append(s.good, sum)
				}
			}
			s.channel.Named = append(s.channel.Named, n)
		}
	}
	s.channel.Releases = s.channel.Releases[:at:at]
	s.channel.Head = s.channel.Releases[at-1]
	for i := range s.channel.Targets {
		s.channel.Targets[i].Release = min(s.channel.Targets[i].Release, s.channel.Head)
	}
}

func (s *story) soak() {
	at := rapid.IntRange(0, len(s.channel.Releases)-1).Draw(s.t, "good")
	s.channel.Releases = s.channel.Releases[at:]
	s.channel.LastKnownGood = s.channel.Releases[0]
	if last := s.channel.Generations[len(s.channel.Generations)-1]; last != s.channel.LastKnownGood {
		s.channel.Generations = append(s.channel.Generations, s.channel.LastKnownGood)
	}
}

func (s *story) move() {
	to := rapid.SampledFrom(s.channel.Releases).Draw(s.t, "target")
	i := rapid.IntRange(0, 3).Draw(s.t, "data center")
	for len(s.channel.Targets) <= i {
		s.channel.Targets = append(s.channel.Targets, Target{})
	}
	s.channel.Targets[i] = Target{Release: to, Out: rapid.Bool().Draw(s.t, "out")}
}

// way is what an agent does: from what is listed at one release to another one, with the
// manifests that are kept.
func (s *story) way(kept map[int64]bool, docs map[string]wire.Sum, from, to int64) (map[string]wire.Sum, error) {
	if !kept[to] {
		return nil, fmt.Errorf("manifest %d is gone", to)
	}
	docs = maps.Clone(docs)
	var forward []*release
	for a, b := from, to; a != b; {
		n := max(a, b)
		if n != s.channel.Base && !kept[n] {
			return nil, fmt.Errorf("from %d to %d: manifest %d is gone", from, to, n)
		}
		r := s.releases[n]
		if b == n {
			forward, b = append(forward, r), r.parent
			continue
		}
		for _, c := range r.changes {
			put(docs, c.GetId(), c.GetOldSha256())
		}
		a = r.parent
	}
	for _, r := range slices.Backward(forward) {
		for _, c := range r.changes {
			put(docs, c.GetId(), c.GetNewSha256())
		}
	}
	return docs, nil
}

func put(docs map[string]wire.Sum, id string, sum []byte) {
	delete(docs, id)
	if s, err := wire.SumFromBytes(sum); err == nil && !s.IsZero() {
		docs[id] = s
	}
}

// Whatever happened, nothing goes that a data center, a rollback, a new or a returning data
// center, the publisher or a held document needs.
func TestWhatIsNeededIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &story{t: t, releases: map[int64]*release{}}
		s.seal()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0:
				s.abandon()
			case 1, 2:
				s.soak()
			case 3:
				s.channel.Base = s.channel.LastKnownGood
				s.base = s.releases[s.channel.Base].docs
			case 4:
				s.move()
			default:
				s.seal()
			}
		}
		tight := rapid.Bool().Draw(t, "tight")
		floor := s.channel.Floor(tight)
		if floor == 0 {
			return
		}
		kept, needed := map[int64]bool{}, marks{}
		for n, r := range s.releases {
			if n >= floor {
				kept[n] = true
				if err := needed.manifest(r.changes); err != nil {
					t.Fatal(err)
				}
			}
		}
		var entries []*edgev1.BaseChunk_Entry
		for id, sum := range s.base {
			entries = append(entries, &edgev1.BaseChunk_Entry{Kind: wire.KindSite, Id: id, Sha256: sum[:]})
		}
		if err := needed.chunk(entries); err != nil {
			t.Fatal(err)
		}
		needed.add(s.good...)

		wanted := slices.Concat(s.channel.Releases, s.channel.Generations[len(s.channel.Generations)-3:], []int64{s.channel.Head, s.channel.LastKnownGood})
		for _, target := range s.channel.Targets {
			if target.Release > 0 && (!target.Out || !tight) {
				wanted = append(wanted, target.Release)
			}
		}
		// Those that were abandoned are left behind, and gone back over.
		from := slices.Concat(wanted, slices.Collect(maps.Keys(kept)))
		for _, to := range wanted {
			docs, err := s.way(kept, s.base, s.channel.Base, to)
			if err != nil {
				t.Fatalf("from the base: %v", err)
			}
			if !maps.Equal(docs, s.releases[to].docs) {
				t.Fatalf("release %d is %v from the base, want %v", to, docs, s.releases[to].docs)
			}
			for id, sum := range docs {
				if !needed.has(sum) {
					t.Fatalf("document %s of release %d is gone", id, to)
				}
			}
			for _, n := range from {
				if docs, err := s.way(kept, s.releases[n].docs, n, to); err != nil || !maps.Equal(docs, s.releases[to].docs) {
					t.Fatalf("from %d to %d: %v, %v", n, to, docs, err)
				}
			}
		}
		for _, sum := range s.good {
			if !needed.has(sum) {
				t.Fatal("a good version is gone")
			}
		}
	})
}
