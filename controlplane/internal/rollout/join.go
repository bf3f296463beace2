package rollout

// join brings data centers to where the others are, outside of waves: a first target for
// new ones, and for those that were out of rollouts a move to the newest release that passed
// every wave, one data center at a time.
func (m *machine) join() {
	for i := range m.s.Chains {
		ch := &m.s.Chains[i]
		if ch.Head() == nil {
			continue
		}
		m.welcome(ch)
		joining := m.joining(ch)
		to := ch.joinable()
		if joining || m.o.Policies[ch.Channel].Frozen || m.silent || m.waiting {
			continue
		}
		for j := range m.dcs {
			if d := &m.dcs[j]; m.mayJoin(ch, d, to) {
				if t := ch.Target(d.code); m.again(ch, t, to) {
					to = t.Release
				}
				t := m.move(ch, d.code, to, 0, false)
				t.Joining = true
				m.wake(t.MoveTime.Add(joinTimeout))
				break
			}
		}
	}
}

// welcome gives data centers that were never seen last known good.
func (m *machine) welcome(ch *Chain) {
	for j := range m.dcs {
		if d := &m.dcs[j]; d.reports() && ch.Target(d.code) == nil && !d.control.Pinned {
			m.move(ch, d.code, ch.LastKnownGood, 0, true)
		}
	}
}

// joinable is the newest release that passed every wave and, like its ancestors, is not
// held.
func (c *Chain) joinable() int64 {
	to := c.LastKnownGood
	for i := range c.Releases {
		if r := &c.Releases[i]; r.Held || !r.settled() {
			break
		}
		to = c.Releases[i].Number
	}
	return to
}

func (m *machine) mayJoin(ch *Chain, d *dataCenter, to int64) bool {
	t := ch.Target(d.code)
	if t == nil || t.Release >= to && !m.again(ch, t, to) || m.moved(ch, d.code) || !d.serves() || d.control.Drained || d.control.Pinned || m.settling(d.code) {
		return false
	}
	if m.o.Now.Before(t.Retry) {
		m.wake(t.Retry)
		return false
	}
	return true
}

// joining follows those that join, and says whether one still does.
func (m *machine) joining(ch *Chain) bool {
	busy := false
	for i := range ch.Targets {
		t := &ch.Targets[i]
		if !t.Joining || m.moved(ch, t.DataCenter) {
			continue
		}
		d := m.dc(t.DataCenter)
		deadline := m.after(t.MoveTime, joinTimeout)
		switch {
		case m.servedBy(ch, t.Release, d):
			t.Joining, t.Joined = false, m.o.Now
		case m.o.Now.Before(deadline):
			m.wake(deadline)
			busy = true
		default:
			m.setBack(ch, t)
		}
	}
	return busy
}
