package edge

import (
	"context"
	"time"

	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/store"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

const (
	// scrubSlice is how many documents are checked before others get their turn, and
	// scrubPause how long that is.
	scrubSlice = 256
	scrubPause = 5 * time.Millisecond
)

// scrubAll checks the disk now and then.
func (a *Agent) scrubAll(ctx context.Context) {
	if a.cfg.ScrubInterval < 0 {
		return
	}
	for {
		// Random, so that the servers of a fleet do not do it together.
		wait := a.cfg.ScrubInterval/2 + time.Duration(a.cfg.Rand()*float64(a.cfg.ScrubInterval))
		if !a.sleep(ctx, wait) {
			return
		}
		for _, c := range wire.Channels() {
			a.scrub(ctx, c)
		}
	}
}

func (a *Agent) sleep(ctx context.Context, d time.Duration) bool {
	timer := a.cfg.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.Chan():
		return true
	}
}

// scrub computes the state hash of what the disk holds of a channel, over the documents
// themselves, and fetches what is damaged. What differs in the end is reported.
func (a *Agent) scrub(ctx context.Context, c wire.Channel) {
	gen := a.state.read(c).serving
	if gen.Seq == 0 {
		return
	}
	list, err := a.store.Documents(gen)
	if err != nil {
		a.cfg.Logger.Error("edge: the disk does not hold what serves", "channel", string(c), "error", err)
		a.scrubbed(c, gen, wire.StateHash{})
		if _, _, connected := a.feed.Load().Position(); connected && isDamage(err) {
			// It is all to be had again. Otherwise what serves goes on from memory.
			a.store.Distrust()
			a.feed.Load().Signal()
		}
		return
	}
	var hash wire.StateHash
	for i, d := range list {
		if i > 0 && i%scrubSlice == 0 && !a.sleep(ctx, scrubPause) {
			return
		}
		body, ok, err := a.store.Blob(d.After)
		if (err != nil || !ok) && a.repair(ctx, d.After) {
			body, ok, err = a.store.Blob(d.After)
		}
		if err != nil || !ok {
			a.cfg.Logger.Error("edge: the disk does not hold a document that serves", "document", d.ID.String(), "error", err)
			continue
		}
		hash = hash.Add(c, d.ID, wire.SumOf(body))
	}
	a.scrubbed(c, gen, hash)
}

// repair fetches a document again.
func (a *Agent) repair(ctx context.Context, sum wire.Sum) bool {
	err := a.feed.Load().Blobs(ctx, []wire.Sum{sum}, func(_ wire.Sum, body []byte) error {
		if wire.SumOf(body) != sum {
			return store.ErrDamaged
		}
		return a.store.PutBlobs(map[wire.Sum][]byte{sum: body})
	})
	return err == nil
}

// scrubbed notes the result, unless another generation serves by now.
func (a *Agent) scrubbed(c wire.Channel, gen store.Generation, hash wire.StateHash) {
	s := a.state
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := s.channels[c]
	if ch.serving.Seq != gen.Seq {
		return
	}
	before := ch.stateHash()
	if ch.hash = &hash; hash == ch.serving.StateHash {
		ch.hash = nil
	}
	if ch.stateHash() != before {
		s.notify()
	}
}
