package publish

import "time"

const (
	// hearing is how often it is asked whether everyone was heard.
	hearing = 100 * time.Millisecond
	// farthest bounds how many numbers are passed over at once: nobody ever gave so many,
	// whatever a server says.
	farthest = 1 << 32
)

// mayNumber says whether the number of the next release can be known: all that the servers
// know must be told before, since numbers are never used twice. That holds for the genesis
// release as well: the store may have been lost.
func (w *worker) mayNumber() bool { return w.cfg.Fleet == nil || w.cfg.Fleet.Heard() }

// nextNumber is the number of the next release: one that was never given, also where the
// store is an older one than servers have seen.
func (w *worker) nextNumber() int64 {
	last := w.head.GetLastNumber()
	if w.cfg.Fleet == nil {
		return last + 1
	}
	known := w.cfg.Fleet.Newest(w.channel)
	switch {
	case known <= last:
		return last + 1
	case known > last+farthest:
		w.log.Error("a server speaks of a release that cannot be", "release", known, "last", last)
		return last + 1
	}
	w.log.Warn("servers know releases that the store does not have: their numbers are passed over", "last", last, "known", known)
	return known + 1
}
