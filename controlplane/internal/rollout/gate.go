package rollout

import (
	"maps"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// answers is what the gate says, to notice when it changes.
type answers map[wire.Channel]answer

type answer struct {
	ready bool
	trial int64
}

// Ready says whether the publisher may seal another release of a channel: everything sealed
// was taken in, the first wave is free, nobody froze the channel or holds a release of it,
// nothing is being tried, and not too many releases are unsoaked. It is false while this
// driver does not lead.
func (d *Driver) Ready(c wire.Channel) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.leading && d.current(c) && d.state.Ready(c, d.policies[c])
}

// Trial returns the number of the trial that the channel's bisection wants sealed now. Its
// documents are the first group of the stored bisection, in their suspected versions.
func (d *Driver) Trial(c wire.Channel) (number int64, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.leading || !d.current(c) || d.policies[c].Frozen {
		return 0, false
	}
	req, ok := d.state.Chain(c).Trial()
	return req.Trial, ok
}

// TrialEmpty says that nothing of a trial is wanted any more.
func (d *Driver) TrialEmpty(c wire.Channel, number int64) {
	d.mu.Lock()
	d.empty[c] = number
	d.mu.Unlock()
	d.Notify()
}

// Changed returns a channel that is closed when an answer of the gate may have changed
// since the call.
func (d *Driver) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// current says whether the state has taken in all that the cache knows to be sealed.
func (d *Driver) current(c wire.Channel) bool {
	kv, ok := d.cfg.Control.Cached().Get(ledger.HeadKey(c))
	var head storev1.HeadRecord
	if ok && proto.Unmarshal(kv.Value, &head) != nil {
		return false
	}
	ch := d.state.Chain(c)
	return ch != nil && head.GetLastNumber() == ch.LastNumber
}

// show makes a state known to the publisher; stored says that it was just written.
func (d *Driver) show(s State, policies map[wire.Channel]Policy, stored bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := answers{}
	for i := range s.Chains {
		ch := &s.Chains[i]
		req, _ := ch.Trial()
		now[ch.Channel] = answer{ready: s.Ready(ch.Channel, policies[ch.Channel]), trial: req.Trial}
	}
	if stored || !d.leading || !maps.Equal(now, d.answers) {
		close(d.changed)
		d.changed = make(chan struct{})
	}
	d.leading, d.state, d.policies, d.answers = true, s, policies, now
}

func (d *Driver) resign() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leading = false
	close(d.changed)
	d.changed = make(chan struct{})
}

// emptyTrials takes what [Driver.TrialEmpty] said since the last step.
func (d *Driver) emptyTrials() map[wire.Channel]int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.empty)
}

// tried forgets the empty trials that a stored step has dealt with.
func (d *Driver) tried(done map[wire.Channel]int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.empty, func(c wire.Channel, n int64) bool { return done[c] == n })
}
