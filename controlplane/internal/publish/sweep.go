package publish

import (
	"maps"
	"slices"
	"time"
)

// The sweep looks at every unit once when a term begins and then from time to time, a few
// in every step. It finds what no event tells: documents whose hold ended while nobody led,
// and those that a new compiler makes otherwise. A missed event would be found too.
const (
	sweepEvery = time.Hour
	sweepStep  = 200
)

// sweep marks the next units to be looked at.
func (w *worker) sweep() {
	now := w.cfg.Clock.Now()
	if w.swept.IsZero() || now.Sub(w.swept) >= sweepEvery && len(w.sweeping) == 0 {
		w.swept = now
		all := map[string]struct{}{}
		w.source.changed(w.view, 0, func(unit string, _ int64) { all[unit] = struct{}{} })
		for id := range w.books.docs {
			all[w.source.unit(id)] = struct{}{}
		}
		w.sweeping = slices.Sorted(maps.Keys(all))
	}
	n := min(sweepStep, len(w.sweeping))
	for _, name := range w.sweeping[:n] {
		if w.todo[name] == nil && w.pending[name] == nil {
			w.todo[name] = &unit{first: never, order: never, again: true}
		}
	}
	w.sweeping = w.sweeping[n:]
}
