package edge

import (
	"context"
	"time"
)

// watchHealth checks the data plane at every interval, and at the moment when a bake is
// over.
func (a *Agent) watchHealth(ctx context.Context) {
	for {
		timer := a.cfg.Clock.NewTimer(a.nextCheck())
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-a.kick:
			timer.Stop() // something changed, so the time is another one
		case <-timer.Chan():
			if a.checkHealth(ctx) {
				a.state.notify()
			}
		}
	}
}

func (a *Agent) kickHealth() {
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// nextCheck is how long to wait before the next check.
func (a *Agent) nextCheck() time.Duration {
	now := a.cfg.Clock.Now()
	s := a.state
	s.mu.Lock()
	defer s.mu.Unlock()
	next := a.cfg.HealthInterval
	if !s.serving || !s.healthy {
		return next
	}
	for _, c := range s.channels {
		if c.attested || c.serving.Seq == 0 {
			continue
		}
		from := s.since
		if c.applied.After(from) {
			from = c.applied
		}
		next = min(next, from.Add(c.bake).Sub(now))
	}
	return max(next, time.Millisecond)
}

// checkHealth checks once and says whether that is worth a report.
func (a *Agent) checkHealth(ctx context.Context) bool {
	a.checking.Lock()
	defer a.checking.Unlock()
	limited, cancel := context.WithTimeout(ctx, a.cfg.HealthTimeout)
	defer cancel()
	began := a.cfg.Clock.Now()
	err := a.cfg.Applier.Healthy(limited)
	if ctx.Err() != nil {
		return false
	}
	s := a.state
	s.mu.Lock()
	defer s.mu.Unlock()
	before, detail := s.healthy, s.detail
	s.healthy, s.detail = err == nil, ""
	if err != nil {
		s.detail = clip(err.Error())
		return before || detail != s.detail
	}
	s.checked = began
	if !before {
		s.since = began
	}
	due := !before
	for _, c := range s.channels {
		if !c.attested && c.serving.Seq > 0 && s.serving && !began.Before(c.applied) && s.healthyFor(c) >= c.bake {
			c.attested, due = true, true
		}
	}
	return due
}
