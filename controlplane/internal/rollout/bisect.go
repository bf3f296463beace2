package rollout

import (
	"fmt"
	"slices"
	"time"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// trialHurt moves the search on after its trial hurt: a single document is quarantined, a
// group is known to hurt. It returns false where the release is no trial.
func (m *machine) trialHurt(ch *Chain, r *Release, e evidence, after time.Duration) bool {
	b := ch.Bisection
	if b == nil || b.Release == 0 || b.Release != r.Number || len(b.Groups) == 0 {
		return false
	}
	b.Release = 0
	b.Trial++
	b.Hurt++
	b.lengthen(after)
	if len(b.Groups) > 1 {
		b.Groups[1].Paired = false
	}
	if b.Groups[0].Size > 1 {
		b.Groups[0].Hurts = true
		return true
	}
	s := ch.Suspects[0]
	e.reason = fmt.Sprintf("it hurts alone: %s", e.reason)
	from := Release{Number: s.Release, FromRevision: s.FromRevision}
	m.quarantine(&from, Change{Document: s.Document, Old: s.Good, New: s.Bad}, e)
	return true
}

// trialPassed lets the first group go: its documents serve, and go on through the waves.
func (m *machine) trialPassed(ch *Chain) {
	b := ch.Bisection
	b.Release = 0
	b.Trial++
	paired := len(b.Groups) > 1 && b.Groups[1].Paired
	tried := b.Groups[0].Size
	ch.dropSuspects(func(i int, _ *Suspect) bool { return i < tried })
	if ch.Bisection != nil && paired {
		b.Groups[0].Paired, b.Groups[0].Hurts = false, true
	}
}

// trials prepares the next trial of every search.
func (m *machine) trials() {
	for i := range m.s.Chains {
		ch := &m.s.Chains[i]
		b := ch.Bisection
		if b == nil {
			continue
		}
		if b.Release == 0 && b.Trial > 0 && m.o.EmptyTrials[ch.Channel] == b.Trial {
			m.trialPassed(ch)
			if b = ch.Bisection; b == nil {
				continue
			}
		}
		if b.Hurt >= maxHurtingTrials && !b.Exhausted {
			b.Exhausted = true
			m.emit(Incident{
				Kind: IncidentBisectionExhausted, Channel: ch.Channel,
				Detail: fmt.Sprintf("%d trials hurt; %d documents stay at their last good versions", b.Hurt, len(ch.Suspects)),
			})
		}
		if b.Release != 0 || b.Exhausted {
			continue
		}
		if b.Trial == 0 {
			// Numbers of one search never answer another's.
			b.Trial = ch.LastNumber<<8 + 1
		}
		b.split()
	}
}

// lengthen makes trials last at least twice as long as harm took to show.
func (b *Bisection) lengthen(after time.Duration) { b.Bake = min(max(b.Bake, 2*after), longestTrial) }

// matches says whether a sealed trial tries the first group, or what is left of it.
func (c *Chain) matches(r *Release) bool {
	b := c.Bisection
	if r.Cause != edgev1.Manifest_TRIAL || b == nil || b.Release != 0 || len(b.Groups) == 0 {
		return false
	}
	asked := make(map[wire.DocumentID]wire.Sum, b.Groups[0].Size)
	for _, s := range c.Suspects[:b.Groups[0].Size] {
		asked[s.Document] = s.Bad
	}
	return !slices.ContainsFunc(r.Changes, func(change Change) bool {
		bad, ok := asked[change.Document]
		return !ok || bad != change.New
	})
}

// split halves the first group where it is known to hurt, so that a half is tried.
func (b *Bisection) split() {
	g := b.Groups[0]
	if !g.Hurts || g.Size == 1 {
		return
	}
	half := (g.Size + 1) / 2
	rest := append([]Group{{Size: half}, {Size: g.Size - half, Paired: true}}, b.Groups[1:]...)
	b.Groups = rest
}

// TrialRequest is a release that the search of a channel asks the publisher to seal: the
// documents in their suspected versions, and nothing else, with cause TRIAL.
type TrialRequest struct {
	Trial     int64
	Documents []Change
}

// Trial returns what the channel wants tried, if its first wave is free for it.
func (c *Chain) Trial() (TrialRequest, bool) {
	b := c.Bisection
	if b == nil || b.Exhausted || b.Release != 0 || len(b.Groups) == 0 || b.Trial == 0 || !c.firstWaveFree() {
		return TrialRequest{}, false
	}
	req := TrialRequest{Trial: b.Trial}
	for _, s := range c.Suspects[:b.Groups[0].Size] {
		req.Documents = append(req.Documents, Change{Document: s.Document, Old: s.Good, New: s.Bad})
	}
	return req, true
}

// trying says that a trial is wanted or under way, which has the first wave to itself.
func (c *Chain) trying() bool { return c.Bisection != nil && !c.Bisection.Exhausted }

// firstWaveFree says whether no release waits for the first wave or is in it.
func (c *Chain) firstWaveFree() bool {
	head := c.Head()
	if head == nil || head.Held {
		return head == nil
	}
	return head.settled() || len(head.Waves) > 0 && head.Waves[0].passed()
}

// isTrial says whether the release is the one under trial.
func (c *Chain) isTrial(r *Release) bool {
	return c.Bisection != nil && r.Cause == edgev1.Manifest_TRIAL && c.Bisection.Release == r.Number
}
