package rollout

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Record is the stored form of a chain. Changes of releases are left out: the manifests
// keep them.
func (c *Chain) Record() *storev1.RolloutRecord {
	rec := &storev1.RolloutRecord{
		Live: c.Live, LastKnownGood: c.LastKnownGood, LastNumber: c.LastNumber, LastChunk: c.LastChunk,
		Targets: map[string]*storev1.TargetState{},
	}
	for i := range c.Releases {
		rec.Releases = append(rec.Releases, c.Releases[i].Record())
	}
	c.recordSuspects(rec)
	for _, t := range c.Targets {
		rec.Targets[t.DataCenter] = &storev1.TargetState{
			Release: t.Release, Sequence: t.Sequence, MoveTime: stamp(t.MoveTime), Joining: t.Joining,
			JoinedTime: stamp(t.Joined), RetryTime: stamp(t.Retry),
			Failures: int32(t.Failures), SettledSequence: t.Settled,
		}
	}
	for _, g := range c.Generations {
		rec.Generations = append(rec.Generations, &storev1.Generation{
			Release: g.Release, StateHash: slices.Clone(g.StateHash[:]), GoodTime: stamp(g.GoodTime),
		})
	}
	for _, r := range c.Reverts {
		rec.Reverts = append(rec.Reverts, &storev1.Revert{
			Release: r.Release, Reason: r.Reason, Principal: r.Principal, CreateTime: stamp(r.Time),
		})
	}
	for _, s := range c.Settling {
		e := &storev1.Settling{DataCenter: s.DataCenter, UntilTime: stamp(s.Until), Attributed: s.Attributed}
		for _, k := range s.Servers {
			e.Servers = append(e.Servers, &storev1.Settling_Server{Server: k.Server, Incarnation: k.Incarnation})
		}
		rec.Settling = append(rec.Settling, e)
	}
	if b := c.Bisection; b != nil {
		rec.Bisection = &storev1.Bisection{
			Trial: b.Trial, Release: b.Release, Bake: durationpb.New(b.Bake),
			Hurt: int32(b.Hurt), Exhausted: b.Exhausted,
		}
		for _, g := range b.Groups {
			rec.Bisection.Groups = append(rec.Bisection.Groups, &storev1.Bisection_Group{
				Size: int32(g.Size), Hurts: g.Hurts, Paired: g.Paired,
			})
		}
	}
	return rec
}

// Record is the stored form of a release.
func (r *Release) Record() *storev1.ReleaseProgress {
	p := &storev1.ReleaseProgress{
		Number: r.Number, Parent: r.Parent, State: phaseState(r.Phase), Held: r.Held, Reason: r.Reason, Cause: r.Cause,
		StateHash: slices.Clone(r.StateHash[:]), SealTime: stamp(r.SealTime), LiveTime: stamp(r.LiveTime),
		Changes:         int32(r.ChangeCount),
		CoveredRevision: r.CoveredRevision, FromRevision: r.FromRevision,
		HurtDataCenters: slices.Clone(r.Hurt), Expedite: r.Expedite.record(),
	}
	for i := range r.Waves {
		w := &r.Waves[i]
		pw := &storev1.ReleaseProgress_Wave{
			DataCenters: slices.Clone(w.DataCenters), Bake: durationpb.New(w.Bake),
			EnterTime: stamp(w.EnterTime), PassTime: stamp(w.PassTime),
			ServerCount: int32(w.Needed), AttestedCount: int32(w.Attesting),
		}
		for _, s := range w.Servers {
			pw.Servers = append(pw.Servers, &storev1.ReleaseProgress_FrozenServer{
				DataCenter: s.DataCenter, Server: s.Server, Incarnation: s.Incarnation,
				Attested: s.Attested, Failure: s.Failure,
			})
		}
		for _, l := range w.Losses {
			pw.Losses = append(pw.Losses, &storev1.ReleaseProgress_Loss{
				DataCenter: l.DataCenter, SinceTime: stamp(l.Since), Excused: l.Excused, Stuck: l.Stuck,
			})
		}
		p.Waves = append(p.Waves, pw)
	}
	return p
}

func phaseState(p Phase) storev1.ReleaseProgress_State {
	switch p {
	case Sealed:
		return storev1.ReleaseProgress_SEALED
	case Rolling:
		return storev1.ReleaseProgress_ROLLING
	case Live:
		return storev1.ReleaseProgress_LIVE
	case Abandoned:
		return storev1.ReleaseProgress_ABANDONED
	case Good:
		return storev1.ReleaseProgress_GOOD
	}
	return storev1.ReleaseProgress_STATE_UNSPECIFIED
}

func statePhase(s storev1.ReleaseProgress_State) (Phase, error) {
	for _, p := range []Phase{Sealed, Rolling, Live, Abandoned, Good} {
		if phaseState(p) == s {
			return p, nil
		}
	}
	return 0, fmt.Errorf("rollout: a release in state %v", s)
}

// ChainFromRecord is the inverse of [Chain.Record]; Changes of releases are left empty. The
// suspects are those of the record and its chunks; see [ledger.Suspects].
func ChainFromRecord(c wire.Channel, rec *storev1.RolloutRecord, suspects []*storev1.Suspect) (Chain, error) {
	ch := Chain{
		Channel: c, Live: rec.GetLive(), LastKnownGood: rec.GetLastKnownGood(), LastNumber: rec.GetLastNumber(),
		LastChunk: rec.GetLastChunk(),
	}
	for _, p := range rec.GetReleases() {
		r, err := ReleaseFromRecord(p)
		if err != nil {
			return Chain{}, err
		}
		ch.Releases = append(ch.Releases, r)
	}
	if err := ch.takeSuspects(rec, suspects); err != nil {
		return Chain{}, err
	}
	for _, dc := range sortedKeys(rec.GetTargets()) {
		t := rec.GetTargets()[dc]
		ch.Targets = append(ch.Targets, Target{
			DataCenter: dc, Release: t.GetRelease(), Sequence: t.GetSequence(), MoveTime: unstamp(t.GetMoveTime()),
			Joining: t.GetJoining(), Joined: unstamp(t.GetJoinedTime()), Retry: unstamp(t.GetRetryTime()),
			Failures: int(t.GetFailures()), Settled: t.GetSettledSequence(),
		})
	}
	for _, g := range rec.GetGenerations() {
		h, err := wire.StateHashFromBytes(g.GetStateHash())
		if err != nil {
			return Chain{}, err
		}
		ch.Generations = append(ch.Generations, Generation{Release: g.GetRelease(), StateHash: h, GoodTime: unstamp(g.GetGoodTime())})
	}
	for _, r := range rec.GetReverts() {
		ch.Reverts = append(ch.Reverts, Revert{
			Release: r.GetRelease(), Reason: r.GetReason(), Principal: r.GetPrincipal(), Time: unstamp(r.GetCreateTime()),
		})
	}
	for _, e := range rec.GetSettling() {
		s := Settling{DataCenter: e.GetDataCenter(), Until: unstamp(e.GetUntilTime()), Attributed: e.GetAttributed()}
		for _, k := range e.GetServers() {
			s.Servers = append(s.Servers, ServerKey{Server: k.GetServer(), Incarnation: k.GetIncarnation()})
		}
		ch.Settling = append(ch.Settling, s)
	}
	if b := rec.GetBisection(); b != nil {
		ch.Bisection = &Bisection{
			Trial: b.GetTrial(), Release: b.GetRelease(), Bake: b.GetBake().AsDuration(),
			Hurt: int(b.GetHurt()), Exhausted: b.GetExhausted(),
		}
		for _, g := range b.GetGroups() {
			ch.Bisection.Groups = append(ch.Bisection.Groups, Group{Size: int(g.GetSize()), Hurts: g.GetHurts(), Paired: g.GetPaired()})
		}
	}
	return ch, nil
}

// ReleaseFromRecord is the inverse of [Release.Record]; Changes are left empty.
func ReleaseFromRecord(p *storev1.ReleaseProgress) (Release, error) {
	phase, err := statePhase(p.GetState())
	if err != nil {
		return Release{}, err
	}
	hash, err := wire.StateHashFromBytes(p.GetStateHash())
	if err != nil {
		return Release{}, err
	}
	r := Release{
		Number: p.GetNumber(), Parent: p.GetParent(), Phase: phase, Cause: p.GetCause(),
		Held: p.GetHeld(), Reason: p.GetReason(), StateHash: hash,
		SealTime: unstamp(p.GetSealTime()), LiveTime: unstamp(p.GetLiveTime()), ChangeCount: int(p.GetChanges()),
		CoveredRevision: p.GetCoveredRevision(), FromRevision: p.GetFromRevision(),
		Hurt: slices.Clone(p.GetHurtDataCenters()), Expedite: expediteFrom(p.GetExpedite()),
	}
	for _, pw := range p.GetWaves() {
		w := Wave{
			DataCenters: slices.Clone(pw.GetDataCenters()), Bake: pw.GetBake().AsDuration(),
			EnterTime: unstamp(pw.GetEnterTime()), PassTime: unstamp(pw.GetPassTime()),
			Needed: int(pw.GetServerCount()), Attesting: int(pw.GetAttestedCount()),
		}
		for _, s := range pw.GetServers() {
			w.Servers = append(w.Servers, FrozenServer{
				DataCenter: s.GetDataCenter(), Server: s.GetServer(), Incarnation: s.GetIncarnation(),
				Attested: s.GetAttested(), Failure: s.GetFailure(),
			})
		}
		for _, l := range pw.GetLosses() {
			w.Losses = append(w.Losses, Loss{DataCenter: l.GetDataCenter(), Since: unstamp(l.GetSinceTime()), Excused: l.GetExcused(), Stuck: l.GetStuck()})
		}
		r.Waves = append(r.Waves, w)
	}
	return r, nil
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func unstamp(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func sumBytes(s wire.Sum) []byte {
	if s.IsZero() {
		return nil
	}
	return s[:]
}
