package propagation

import (
	"cmp"
	"slices"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

// chain is the live chain of one channel, as far back as it is not yet known to be good.
type chain struct {
	// links are the live releases, oldest first.
	links []link
	// live is the newest release that passed every wave, good the last known good one.
	live, good int64
	// firstWave is the newest release that passed its first wave.
	firstWave int64
	// head is the end of the chain and cursor the revision up to which the registry was
	// looked at.
	head, cursor int64
}

// link is what one release covers.
type link struct {
	number, from, covered int64
}

func newChain(head *storev1.HeadRecord, rollout *storev1.RolloutRecord) *chain {
	c := &chain{
		live: rollout.GetLive(), good: rollout.GetLastKnownGood(),
		head: head.GetRelease(), cursor: head.GetCursor(),
	}
	c.firstWave = c.live
	for _, r := range rollout.GetReleases() {
		if r.GetState() == storev1.ReleaseProgress_ABANDONED || r.GetNumber() > c.head {
			continue
		}
		c.links = append(c.links, link{r.GetNumber(), r.GetFromRevision(), r.GetCoveredRevision()})
		if w := r.GetWaves(); len(w) > 0 && w[0].GetPassTime() != nil {
			c.firstWave = max(c.firstWave, r.GetNumber())
		}
	}
	slices.SortFunc(c.links, func(a, b link) int { return cmp.Compare(a.number, b.number) })
	return c
}

// carrier returns the release that carries what was stored at a revision. ok is false when
// no release does yet. Zero says that a release carries it that is good, or older.
func (c *chain) carrier(revision int64) (release int64, ok bool) {
	at, _ := slices.BinarySearchFunc(c.links, revision, func(l link, r int64) int { return cmp.Compare(l.covered, r) })
	switch {
	case at < len(c.links) && revision > c.links[at].from:
		return c.links[at].number, true
	case at < len(c.links) || revision <= c.cursor:
		// A stretch that needed no release: the one before carries it.
		if at == 0 {
			return 0, true
		}
		return c.links[at-1].number, true
	}
	return 0, false
}
