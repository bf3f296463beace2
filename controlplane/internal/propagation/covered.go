package propagation

import "github.com/breakwater-cdn/breakwater/sdk/edge/wire"

// Covered is the registry revision up to which everything of a channel is held by every
// data center: what its last known good release, and the stretch after it that needed no
// release, cover. It is zero before the genesis release is good.
func (s *State) Covered(c wire.Channel) int64 {
	if ch := s.chains[c]; ch != nil {
		return ch.goodRevision
	}
	return 0
}
