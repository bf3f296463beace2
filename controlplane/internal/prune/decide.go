package prune

import (
	"cmp"
	"slices"
)

const (
	// Generations is how many generations of last known good are kept, with everything
	// between the oldest of them and the head. The newest one may follow the one before it
	// closely, so that the others are three that are spaced.
	Generations = 4
	// Behind is how many releases behind last known good a data center's target is kept
	// that is out of rollouts. It bootstraps when it returns.
	Behind = 10_000
	// History is how many finished releases of a channel are remembered at least.
	History = 1_000
)

// Channel is what the records say of one channel.
type Channel struct {
	// Base is the release whose documents the stored base lists; zero where there is none.
	Base int64
	// Head is the end of the live chain.
	Head int64
	// LastKnownGood is the newest release that soaked, and Generations the last ones that
	// were, oldest first.
	LastKnownGood int64
	Generations   []int64
	// Releases are those that the rollout is at work on.
	Releases []int64
	// Targets is where data centers are told to be.
	Targets []Target
	// Asked are the releases that operators want rolled back now.
	Asked []int64
	// Named are the releases of which quarantines, suspects and reverts say that they brought
	// something; they stay in the history.
	Named []int64
	// History are the finished releases that are remembered, oldest first.
	History []int64
}

// Target is the release that a data center is told to serve.
type Target struct {
	Release int64
	// Out says that the data center takes no part in rollouts: it is drained, pinned, or
	// does not report.
	Out bool
}

// Floor is the oldest release whose manifest stays; what is older goes. Zero says that
// nothing may go. Where the store is tight, data centers that are out count no longer.
//
// The floor is never above the base: from a base one comes to every release at or above the
// floor, back and forth, over manifests that are all there.
func (c Channel) Floor(tight bool) int64 {
	if c.Base == 0 || c.Head == 0 || c.LastKnownGood == 0 || len(c.Generations) < Generations {
		return 0
	}
	floor := min(c.Base, c.Head, c.LastKnownGood, slices.Min(c.Generations[len(c.Generations)-Generations:]))
	for _, n := range slices.Concat(c.Releases, c.Asked) {
		floor = min(floor, n)
	}
	for _, t := range c.Targets {
		gone := t.Out && (tight || t.Release < c.LastKnownGood-Behind)
		if t.Release > 0 && !gone {
			floor = min(floor, t.Release)
		}
	}
	return max(floor, 0)
}

// Forgotten are the finished releases that are remembered no longer, oldest first: those
// that are below the floor, not among the newest, and named by nothing.
func (c Channel) Forgotten(floor int64) []int64 {
	old := c.History[:max(len(c.History)-History, 0)]
	end, _ := slices.BinarySearchFunc(old, floor, cmp.Compare)
	named := make(map[int64]struct{}, len(c.Named))
	for _, n := range c.Named {
		named[n] = struct{}{}
	}
	var out []int64
	for _, n := range old[:end] {
		if _, ok := named[n]; !ok {
			out = append(out, n)
		}
	}
	return out
}
