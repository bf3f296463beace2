package propagation

import (
	"cmp"
	"math"
	"slices"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

// chain is the live chain of one channel, as far back as it is not yet known to be good.
type chain struct {
	// links are the live releases, oldest first.
	links []link
	// live is the newest release that passed every wave, and firstWave the newest that
	// passed its first one.
	live, firstWave int64
	// cursor is the revision up to which the registry was looked at.
	cursor int64
	// liveRevision, firstWaveRevision and goodRevision are the revisions up to which
	// everything is carried by a release that passed every wave, that passed its first one,
	// and that is last known good.
	liveRevision, firstWaveRevision, goodRevision int64
	// trials are the trials on their way, oldest first.
	trials []int64
	// obstacles are what may hold releases up.
	obstacles obstacles
}

// link is what one release covers.
type link struct {
	number, from, covered int64
}

func newChain(head *storev1.HeadRecord, rollout *storev1.RolloutRecord, policy *storev1.ChannelPolicy) *chain {
	c := &chain{
		live: rollout.GetLive(), firstWave: rollout.GetLive(), cursor: head.GetCursor(),
		obstacles: newObstacles(rollout, policy),
	}
	for _, r := range rollout.GetReleases() {
		if r.GetState() == storev1.ReleaseProgress_ABANDONED || r.GetNumber() > head.GetRelease() {
			continue
		}
		l := link{r.GetNumber(), r.GetFromRevision(), r.GetCoveredRevision()}
		if l.number <= head.GetRestartNumber() {
			l.from, l.covered = 0, 0 // They count in another history of the registry.
		}
		c.links = append(c.links, l)
		if w := r.GetWaves(); len(w) > 0 && w[0].GetPassTime() != nil {
			c.firstWave = max(c.firstWave, r.GetNumber())
		}
		if r.GetCause() == edgev1.Manifest_TRIAL && r.GetNumber() > c.live {
			c.trials = append(c.trials, r.GetNumber())
		}
	}
	slices.SortFunc(c.links, func(a, b link) int { return cmp.Compare(a.number, b.number) })
	slices.Sort(c.trials)
	newest := link{}
	if len(c.links) > 0 {
		newest = c.links[len(c.links)-1]
	}
	if head.GetRelease() > newest.number {
		// It is sealed, and the rollout has not taken it in yet.
		c.links = append(c.links, link{head.GetRelease(), max(newest.covered, head.GetFromRevision()), c.cursor})
	}
	c.liveRevision = c.upTo(c.live)
	c.firstWaveRevision = c.upTo(c.firstWave)
	c.goodRevision = c.upTo(rollout.GetLastKnownGood())
	return c
}

// upTo is the revision up to which everything is carried by a release or those before it.
func (c *chain) upTo(release int64) int64 {
	for _, l := range c.links {
		if l.number > release {
			return l.from
		}
	}
	return c.cursor
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

// brought says whether a release is the one that brought a revision, and does not only
// carry it because nothing was needed.
func (c *chain) brought(release, revision int64) bool {
	for _, l := range c.links {
		if l.number == release {
			return revision > l.from && revision <= l.covered
		}
	}
	return false
}

// never is a revision that nothing was stored at.
const never = math.MaxInt64
