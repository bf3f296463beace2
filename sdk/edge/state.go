package edge

import (
	"maps"
	"slices"
	"sync"
	"time"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/store"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// state is what an agent knows of itself. The worker and the health checks write it, and
// the reports read it.
type state struct {
	mu sync.Mutex

	incarnation string
	// inOrder says that the run before this incarnation was stopped in order.
	inOrder  bool
	reports  int64
	channels map[wire.Channel]*channel

	// serving says that the data plane has what the channels say.
	serving bool
	healthy bool
	detail  string
	// since is when the data plane became healthy, and checked when it was last found so.
	since, checked time.Time
	// problem is what keeps the agent from doing what it should.
	problem string

	// changed gets a value when a report is due.
	changed chan struct{}
}

// channel is where a server is with one channel.
type channel struct {
	serving    store.Generation // zero before the first
	acted      int64            // sequence of the target last acted on
	applied    time.Time
	bake       time.Duration
	attested   bool
	applying   int64
	hash       *wire.StateHash // what the last scrub computed, where that differs
	rejections []*edgev1.Rejection
	// lost says that damage left nothing of the channel, and nothing was applied since.
	lost bool
	// answered are the releases whose rejection the control plane answered with a target
	// before them: what it orders next it orders knowing of the rejection.
	answered map[int64]bool
}

func newState() *state {
	s := &state{channels: map[wire.Channel]*channel{}, changed: make(chan struct{}, 1), detail: "not checked yet"}
	for _, c := range wire.Channels() {
		s.channels[c] = &channel{answered: map[int64]bool{}}
	}
	return s
}

// update changes the state and makes a report due.
func (s *state) update(f func()) {
	s.mu.Lock()
	f()
	s.mu.Unlock()
	s.notify()
}

func (s *state) notify() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// read copies what is known of a channel.
func (s *state) read(c wire.Channel) channel {
	s.mu.Lock()
	defer s.mu.Unlock()
	copied := *s.channels[c]
	copied.rejections, copied.answered = slices.Clone(copied.rejections), maps.Clone(copied.answered)
	return copied
}

// rejected returns the rejection of a release, or nil.
func (c channel) rejected(n int64) *edgev1.Rejection {
	for _, r := range c.rejections {
		if r.GetRelease() == n {
			return r
		}
	}
	return nil
}

func (c *channel) reject(r *edgev1.Rejection) {
	c.forget(r.GetRelease())
	c.rejections = append(c.rejections, r)
	if over := len(c.rejections) - store.MaxRejections; over > 0 {
		c.rejections = slices.Delete(c.rejections, 0, over)
	}
}

func (c *channel) forget(n int64) {
	c.rejections = slices.DeleteFunc(c.rejections, func(r *edgev1.Rejection) bool { return r.GetRelease() == n })
	delete(c.answered, n)
}

// answer notes which rejections a target answers: those of later releases, under earlier
// targets.
func (c *channel) answer(release, sequence int64) {
	for _, r := range c.rejections {
		if r.GetRelease() > release && r.GetTargetSequence() < sequence {
			c.answered[r.GetRelease()] = true
		}
	}
}

// bars returns the rejection that keeps a descendant of release n from being tried under a
// target, or nil: there is none, it was answered, or the target orders again what was
// refused for it.
func (c channel) bars(n, target, sequence int64) *edgev1.Rejection {
	r := c.rejected(n)
	if r == nil || n == target || c.answered[n] {
		return nil
	}
	own := c.rejected(target)
	if own.GetCause() == edgev1.Rejection_ANCESTOR && own.GetTargetSequence() < sequence {
		return nil
	}
	return r
}

// well says whether the server serves all that it should, as far as it knows, and the data
// plane is healthy. The caller holds the lock.
func (s *state) well() bool {
	for _, c := range s.channels {
		if c.lost {
			return false
		}
	}
	return s.serving && s.healthy
}

func (s *state) isWell() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.well()
}

// healthyFor is how long the server is known to have been healthy since it applied what it
// serves of the channel.
func (s *state) healthyFor(c *channel) time.Duration {
	if !s.well() || c.serving.Seq == 0 {
		return 0
	}
	from := s.since
	if c.applied.After(from) {
		from = c.applied
	}
	return max(s.checked.Sub(from), 0)
}
