package rollout

import (
	"slices"
	"strings"
	"time"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// gates passes the waves whose servers all attest.
func (m *machine) gates() {
	for i := range m.s.Chains {
		ch := &m.s.Chains[i]
		for j := range ch.Releases {
			r := &ch.Releases[j]
			k := r.openWave()
			if r.Phase != Rolling || k < 0 || r.Held || m.silent || !m.attested(ch, r, k) {
				continue
			}
			r.Waves[k].PassTime = m.o.Now
			r.Reason = ""
			if k == 0 && ch.isTrial(r) {
				m.trialPassed(ch)
			}
			if k == len(r.Waves)-1 {
				r.Phase, r.LiveTime, ch.Live = Live, m.o.Now, r.Number
				for k := range r.Waves {
					r.Waves[k].Servers = nil
				}
				m.supersede(ch, r)
			}
		}
	}
}

// attested latches the attestations of an open wave and says whether its gate passes: every
// frozen server has attested and is still there and well, or its failure is tolerated.
func (m *machine) attested(ch *Chain, r *Release, k int) bool {
	w := &r.Waves[k]
	pass := true
	w.Needed, w.Attesting = len(w.Servers), 0
	for i := range w.Servers {
		f := &w.Servers[i]
		srv := m.dc(f.DataCenter).server(f.Server)
		if f.Failure != "" {
			continue
		}
		if srv == nil || !srv.Connected || !srv.Healthy || srv.Incarnation != f.Incarnation {
			pass = false
			continue
		}
		if rep := srv.channel(ch.Channel); m.shows(ch, r.Number, rep) && rep.HealthyFor >= w.Bake {
			f.Attested = true
		}
		if f.Attested {
			w.Attesting++
		}
		pass = pass && f.Attested
	}
	return pass && w.Attesting > 0
}

// shows says whether a report is of the release or a live descendant, in the right state.
func (m *machine) shows(ch *Chain, n int64, rep ChannelReport) bool {
	if rep.Release < n {
		return false
	}
	r := ch.Release(rep.Release)
	return r != nil && r.StateHash == rep.StateHash
}

// enter opens the next wave of every release that may go on: one wave a release, older
// releases first, so that a wave that one leaves is free for the next.
func (m *machine) enter() {
	for i := range m.s.Chains {
		ch := &m.s.Chains[i]
		if m.o.Policies[ch.Channel].Frozen || m.silent || m.waiting {
			continue
		}
		for j := range ch.Releases {
			r := &ch.Releases[j]
			if r.Held {
				break // Nothing goes past a release that is held.
			}
			k := r.nextWave()
			if r.settled() || k == len(r.Waves) {
				continue
			}
			if r.Waves[k].open() {
				if len(r.Waves[k].Servers) == 0 {
					m.draft(ch, r, k)
				}
				continue
			}
			if !m.clear(ch, r, k) || m.unsettled(ch, r) {
				continue
			}
			for _, dc := range r.Waves[k].DataCenters {
				if m.eligible(ch, dc) {
					m.freeze(ch, r, k, dc)
				}
			}
			r.waitsFor(k)
		}
	}
}

const noneTakesPart = "waits for its next wave: none of its data centers serves and may take part: "

// waitsFor says of a release why its next wave does not open, where that is so.
func (r *Release) waitsFor(k int) {
	switch w := &r.Waves[k]; {
	case w.open() && r.waits():
		r.Reason = ""
	case !w.open() && r.Reason == "":
		r.Reason = noneTakesPart + strings.Join(w.DataCenters, ", ")
	}
}

// waits says whether a release waits for a wave that can't open.
func (r *Release) waits() bool { return strings.HasPrefix(r.Reason, noneTakesPart) }

// freeze takes a data center into a wave: its servers as they are now, and its target.
func (m *machine) freeze(ch *Chain, r *Release, k int, dc string) {
	w := &r.Waves[k]
	for _, srv := range m.dc(dc).servers {
		if srv.Connected && srv.Healthy {
			w.Servers = append(w.Servers, FrozenServer{DataCenter: dc, Server: srv.Name, Incarnation: srv.Incarnation})
		}
	}
	if w.EnterTime.IsZero() {
		w.EnterTime = m.o.Now
	}
	r.Phase = Rolling
	if t := ch.Target(dc); t == nil || t.Release != r.Number {
		m.move(ch, dc, r.Number, w.Bake, false)
	}
}

// eligible says whether a data center takes part in waves of the channel: it serves, no
// operator keeps it out, it has caught up, and it is not recovering from harm.
func (m *machine) eligible(ch *Chain, dc string) bool {
	d := m.dc(dc)
	t := ch.Target(dc)
	return d.serves() && !d.control.Drained && !d.control.Pinned &&
		t != nil && t.Release >= ch.Live && !t.Joining && (t.Failures == 0 || m.acts(ch, dc)) &&
		!m.moved(ch, dc) && !m.settling(dc)
}

// clear says whether a release may enter its wave k as far as its ancestors are concerned.
func (m *machine) clear(ch *Chain, r *Release, k int) bool {
	last := k == len(r.Waves)-1
	for j := range ch.Releases {
		a := &ch.Releases[j]
		if a.Number >= r.Number {
			break
		}
		if a.settled() {
			continue
		}
		if last || k >= len(a.Waves) || !a.Waves[k].passed() {
			return false
		}
	}
	for _, dc := range r.Waves[k].DataCenters {
		if !m.clearAt(ch, r, dc) {
			return false
		}
	}
	return true
}

// clearAt says whether every ancestor passed the wave that the data center has in it.
func (m *machine) clearAt(ch *Chain, r *Release, dc string) bool {
	for j := range ch.Releases {
		a := &ch.Releases[j]
		if a.Number >= r.Number {
			return true
		}
		if a.settled() {
			continue
		}
		if w := a.wave(dc); w < 0 || !a.Waves[w].passed() {
			return false
		}
	}
	return true
}

// unsettled says whether a data center that has the release recovers from harm.
func (m *machine) unsettled(ch *Chain, r *Release) bool {
	return slices.ContainsFunc(ch.Targets, func(t Target) bool {
		return t.Release >= r.Number && m.settling(t.DataCenter)
	})
}

// soak makes releases good, oldest first.
func (m *machine) soak() {
	for i := range m.s.Chains {
		ch := &m.s.Chains[i]
		good := -1
		for j := range ch.Releases {
			r := &ch.Releases[j]
			if r.Phase == Good {
				continue
			}
			if r.Phase != Live || r.Held {
				break
			}
			due := m.soakedSince(ch, r).Add(m.o.Policies[ch.Channel].Soak)
			if m.o.Now.Before(due) {
				m.wake(due)
				break
			}
			if !m.everywhere(ch, r) {
				break
			}
			r.Phase, r.Reason = Good, ""
			good = j
		}
		if good < 0 {
			continue
		}
		for _, r := range ch.Releases[:good] {
			m.emit(Archive{Channel: ch.Channel, Release: r})
		}
		ch.Releases = ch.Releases[good:]
		r := &ch.Releases[0]
		ch.LastKnownGood = r.Number
		for t := range ch.Targets {
			if t := &ch.Targets[t]; t.Release >= r.Number && !t.Joining {
				t.Failures = 0
			}
		}
		ch.remember(Generation{Release: r.Number, StateHash: r.StateHash, GoodTime: m.o.Now}, m.o.Policies[ch.Channel].Soak)
	}
}

// remember adds a generation. Generations are spaced: one that follows too soon takes the
// place of the newest, unless that one is the first.
func (c *Chain) remember(g Generation, spacing time.Duration) {
	n := len(c.Generations)
	if n > 1 && c.Generations[n-1].GoodTime.Sub(c.Generations[n-2].GoodTime) < spacing {
		c.Generations[n-1] = g
	} else {
		c.Generations = append(c.Generations, g)
	}
	if extra := len(c.Generations) - maxGenerations; extra > 0 {
		c.Generations = slices.Delete(c.Generations, 0, extra)
	}
}

// soakedSince is since when every eligible data center has served the release.
func (m *machine) soakedSince(ch *Chain, r *Release) time.Time {
	since := r.LiveTime
	for _, t := range ch.Targets {
		if d := m.dc(t.DataCenter); t.Joined.After(since) && d.reports() && !d.control.Drained && !d.control.Pinned {
			since = t.Joined
		}
	}
	return since
}

// everywhere says whether every eligible data center serves the release or a live
// descendant, well. One that failed to join again and again no longer counts.
func (m *machine) everywhere(ch *Chain, r *Release) bool {
	if m.silent || m.waiting {
		return false
	}
	for i := range m.dcs {
		d := &m.dcs[i]
		if !d.reports() || d.control.Drained || d.control.Pinned {
			continue
		}
		t := ch.Target(d.code)
		if t != nil && t.Failures >= givenUpJoins && t.Release < r.Number {
			continue
		}
		if t == nil || t.Release < r.Number || m.settling(d.code) || !m.servedBy(ch, r.Number, d) {
			return false
		}
	}
	return true
}

// servedBy says whether all reporting servers of a data center serve the release or a live
// descendant, and are healthy.
func (m *machine) servedBy(ch *Chain, n int64, d *dataCenter) bool {
	for _, srv := range d.servers {
		if srv.Connected && (!srv.Healthy || !m.shows(ch, n, srv.channel(ch.Channel))) {
			return false
		}
	}
	return d.reports()
}

// Ready says whether a channel may be given another release: its first wave is free, no
// operator stopped it, nothing is being tried, and not too many releases are unsoaked.
func (s *State) Ready(c wire.Channel, p Policy) bool {
	ch := s.Chain(c)
	if ch == nil || p.Frozen || ch.trying() || len(ch.Releases) > MaxInFlight {
		return false
	}
	for i := range ch.Releases {
		if ch.Releases[i].Held {
			return false
		}
	}
	return ch.firstWaveFree()
}
