package publish

import (
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Held is what is needed for the documents of a channel that are held.
type Held struct {
	// Good are the versions that stand in, which may be sealed again at any time.
	Good []wire.Sum
	// Releases are those that brought the versions in whose place they stand.
	Releases []int64
}

// HeldIn returns what suspects and quarantines of a channel need, by a view of control/.
func HeldIn(view watchcache.View, c wire.Channel) (Held, error) {
	h, err := loadHolds(view, c, nil)
	if err != nil {
		return Held{}, err
	}
	var out Held
	for _, held := range []map[wire.DocumentID]hold{h.suspects, h.quarantines} {
		for _, one := range held {
			if !one.good.IsZero() {
				out.Good = append(out.Good, one.good)
			}
			out.Releases = append(out.Releases, one.release)
		}
	}
	return out, nil
}
