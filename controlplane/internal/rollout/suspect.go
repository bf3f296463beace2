package rollout

import (
	"slices"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// suspectsIn are the suspects that abandoned releases up to last leave. Of a document that
// several of them changed the newest version is under suspicion, and the one before all of
// them is good.
func suspectsIn(gone []Release, last int64, origin Origin) []Suspect {
	if r := gone[0]; r.Number == last {
		return suspectsOf(r.Changes, r.Number, r.FromRevision, origin)
	}
	before, newest := map[wire.DocumentID]Suspect{}, map[wire.DocumentID]int64{}
	for _, r := range gone {
		if r.Number > last {
			break
		}
		for _, c := range r.Changes {
			if _, ok := before[c.Document]; !ok {
				before[c.Document] = Suspect{Good: c.Old, FromRevision: r.FromRevision}
			}
			newest[c.Document] = r.Number
		}
	}
	var out []Suspect
	for _, r := range gone {
		for _, c := range r.Changes {
			if b := before[c.Document]; newest[c.Document] == r.Number && c.New != b.Good {
				out = append(out, Suspect{
					Document: c.Document, Bad: c.New, Good: b.Good, Release: r.Number, FromRevision: b.FromRevision, Origin: origin,
				})
			}
		}
	}
	return out
}

func suspectsOf(changes []Change, release, from int64, origin Origin) []Suspect {
	out := make([]Suspect, 0, len(changes))
	for _, c := range changes {
		out = append(out, Suspect{
			Document: c.Document, Bad: c.New, Good: c.Old, Release: release, FromRevision: from, Origin: origin,
		})
	}
	return out
}

const (
	// chunkSize is how many suspects a chunk has. Fewer than that at once are kept in the
	// record itself.
	chunkSize = 1024
	// mostTried is the most documents of a trial: half of what a release may have.
	mostTried = 4000
)

// suspect holds documents. A new suspicion takes the place of an older one. Suspects of
// harm become the first groups to be bisected; known says that they hurt together.
func (c *Chain) suspect(added []Suspect, known bool) {
	if len(added) == 0 {
		return
	}
	docs := make(map[wire.DocumentID]struct{}, len(added))
	for i := range added {
		docs[added[i].Document] = struct{}{}
		if len(added) > chunkSize {
			if i%chunkSize == 0 {
				c.LastChunk++
			}
			added[i].Chunk, added[i].Place = c.LastChunk, i%chunkSize
		}
	}
	c.dropSuspects(func(_ int, s *Suspect) bool {
		_, again := docs[s.Document]
		return again
	})
	if added[0].Origin != OriginHarm {
		c.Suspects = slices.Concat(c.Suspects, added)
		return
	}
	c.Suspects = slices.Concat(added, c.Suspects)
	if c.Bisection == nil {
		c.Bisection = &Bisection{}
	}
	c.Bisection.Groups = slices.Concat(groupsOf(len(added), known), c.Bisection.Groups)
}

// groupsOf cuts new suspects into groups. What may hurt together is cut in halves when its
// turn comes, so that it may be twice as large as a trial.
func groupsOf(n int, known bool) []Group {
	if known && n <= 2*mostTried {
		return []Group{{Size: n, Hurts: true}}
	}
	var out []Group
	for ; n > 0; n -= mostTried {
		out = append(out, Group{Size: min(n, mostTried)})
	}
	out[len(out)-1].Paired = known
	return out
}

// dropSuspects lets suspects go and keeps the groups in step. It makes new lists: states
// share the old ones.
func (c *Chain) dropSuspects(gone func(i int, s *Suspect) bool) {
	some := false
	for i := 0; i < len(c.Suspects) && !some; i++ {
		some = gone(i, &c.Suspects[i])
	}
	if !some {
		return
	}
	left := make([]Suspect, 0, len(c.Suspects)-1)
	var groups []Group
	var ends []int
	if c.Bisection != nil {
		groups = slices.Clone(c.Bisection.Groups)
		for end, g := 0, 0; g < len(groups); g++ {
			end += groups[g].Size
			ends = append(ends, end)
		}
	}
	g := 0
	for i := range c.Suspects {
		for g < len(ends) && i >= ends[g] {
			g++
		}
		switch {
		case !gone(i, &c.Suspects[i]):
			left = append(left, c.Suspects[i])
		case g < len(groups):
			groups[g].Size--
		}
	}
	c.Suspects = left
	if c.Bisection == nil {
		return
	}
	kept := groups[:0]
	emptied := false
	for _, g := range groups {
		if g.Size == 0 {
			emptied = true
			continue
		}
		g.Paired = g.Paired && !emptied
		kept, emptied = append(kept, g), false
	}
	c.Bisection.Groups = kept
	c.endBisection()
}

// endBisection forgets a search that has nothing left to try.
func (c *Chain) endBisection() {
	if c.Bisection != nil && len(c.Bisection.Groups) == 0 {
		c.Bisection = nil
	}
}

// supersede ends what was held against older versions of documents that a release brought
// everywhere.
func (m *machine) supersede(ch *Chain, r *Release) {
	ch.dropSuspects(func(_ int, s *Suspect) bool {
		c, ok := changeOf(r, s.Document)
		return ok && s.Release < r.Number && c.New != s.Bad && c.New != s.Good
	})
	for _, q := range m.o.Quarantines {
		if q.Channel != ch.Channel {
			continue
		}
		if c, ok := changeOf(r, q.Document); ok && q.Release < r.Number && c.New != q.Good {
			delete(m.quarantines, q.Document)
			m.touched[q.Document] = true
		}
	}
}

func changeOf(r *Release, id wire.DocumentID) (Change, bool) {
	i, ok := slices.BinarySearchFunc(r.Changes, id, func(c Change, id wire.DocumentID) int { return c.Document.Compare(id) })
	if !ok {
		return Change{}, false
	}
	return r.Changes[i], true
}

func (m *machine) channelOf(id wire.DocumentID) wire.Channel {
	c, _ := wire.ChannelOf(id.Kind)
	return c
}
