package edge

import (
	"strings"
	"time"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Status is where an agent is at one moment.
type Status struct {
	Incarnation string
	// Healthy says whether the newest health check was good and nothing was lost that the
	// server should serve; Detail says what is wrong.
	Healthy bool
	Detail  string
	// Connected says whether etcd is being followed.
	Connected bool
	// StagedBytes is what is kept of content that no target names yet.
	StagedBytes int64
	Channels    map[wire.Channel]ChannelStatus
}

// ChannelStatus is where an agent is with one channel.
type ChannelStatus struct {
	// Release is what serves; zero before the first.
	Release   int64
	StateHash wire.StateHash
	Documents int64
	// TargetSequence is that of the target last acted on.
	TargetSequence int64
	// Applying is the release that is being applied; zero when none is.
	Applying   int64
	HealthyFor time.Duration
	Rejections []*edgev1.Rejection
}

// Status returns a snapshot. It may be called at any time.
func (a *Agent) Status() Status {
	var out Status
	if f := a.feed.Load(); f != nil {
		_, _, out.Connected = f.Position()
		out.StagedBytes = f.Staged()
	}
	s := a.state
	s.mu.Lock()
	defer s.mu.Unlock()
	out.Incarnation, out.Healthy, out.Detail = s.incarnation, s.well(), s.describe()
	out.Channels = make(map[wire.Channel]ChannelStatus, len(s.channels))
	for name, c := range s.channels {
		cs := ChannelStatus{TargetSequence: c.acted, Applying: c.applying, HealthyFor: s.healthyFor(c)}
		cs.Rejections = append(cs.Rejections, c.rejections...)
		if s.serving {
			cs.Release, cs.StateHash, cs.Documents = c.serving.Release, c.stateHash(), c.serving.Documents
		}
		out.Channels[name] = cs
	}
	return out
}

func (c *channel) stateHash() wire.StateHash {
	if c.hash != nil {
		return *c.hash
	}
	return c.serving.StateHash
}

// describe says what is wrong, with the data plane and with the agent.
func (s *state) describe() string {
	var all []string
	for _, name := range wire.Channels() {
		if s.channels[name].lost {
			all = append(all, "damage left nothing of "+string(name)+" on the disk")
		}
	}
	for _, text := range []string{s.detail, s.problem} {
		if text != "" {
			all = append(all, text)
		}
	}
	return clip(strings.Join(all, "; "))
}
