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

// suspect holds documents. A new suspicion takes the place of an older one. Suspects of
// harm become the first group to be bisected.
func (c *Chain) suspect(added []Suspect) {
	if len(added) == 0 {
		return
	}
	docs := make(map[wire.DocumentID]struct{}, len(added))
	for _, s := range added {
		docs[s.Document] = struct{}{}
	}
	for i := range slices.Backward(c.Suspects) {
		if _, ok := docs[c.Suspects[i].Document]; ok {
			c.dropSuspect(i)
		}
	}
	if added[0].Origin != OriginHarm {
		c.Suspects = append(c.Suspects, added...)
		return
	}
	c.Suspects = slices.Insert(c.Suspects, 0, added...)
	if c.Bisection == nil {
		c.Bisection = &Bisection{}
	}
	c.Bisection.Groups = slices.Insert(c.Bisection.Groups, 0, Group{Size: len(added), Hurts: true})
}

// dropSuspect lets one suspect go and keeps the groups in step.
func (c *Chain) dropSuspect(i int) {
	c.Suspects = slices.Delete(c.Suspects, i, i+1)
	if c.Bisection == nil {
		return
	}
	for g := range c.Bisection.Groups {
		group := &c.Bisection.Groups[g]
		if i >= group.Size {
			i -= group.Size
			continue
		}
		if group.Size--; group.Size == 0 {
			c.Bisection.Groups = slices.Delete(c.Bisection.Groups, g, g+1)
			if g < len(c.Bisection.Groups) {
				c.Bisection.Groups[g].Paired = false
			}
		}
		break
	}
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
	for i := range slices.Backward(ch.Suspects) {
		s := ch.Suspects[i]
		if c, ok := changeOf(r, s.Document); ok && s.Release < r.Number && c.New != s.Bad && c.New != s.Good {
			ch.dropSuspect(i)
		}
	}
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
