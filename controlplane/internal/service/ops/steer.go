package ops

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// HoldRelease stops a release where it is.
func (r *Releases) HoldRelease(ctx context.Context, req *opsv1.HoldReleaseRequest) (*opsv1.Release, error) {
	return r.steer(ctx, req.GetName(), storev1.Command_HOLD, req.GetReason())
}

// ResumeRelease lets a held release go on.
func (r *Releases) ResumeRelease(ctx context.Context, req *opsv1.ResumeReleaseRequest) (*opsv1.Release, error) {
	return r.steer(ctx, req.GetName(), storev1.Command_RESUME, "")
}

// RollbackRelease undoes a release.
func (r *Releases) RollbackRelease(ctx context.Context, req *opsv1.RollbackReleaseRequest) (*opsv1.Release, error) {
	return r.steer(ctx, req.GetName(), storev1.Command_ROLLBACK, req.GetReason())
}

// steer gives a command about a release. The rollout decides; its rules are checked here for
// the sake of a clear refusal, and so that the answer is the release as it will be.
func (r *Releases) steer(ctx context.Context, name string, verb storev1.Command_Verb, reason string) (*opsv1.Release, error) {
	c, n, err := releaseOf(name)
	if err != nil {
		return nil, err
	}
	return commands(ctx, r.control, func(tx *change.Tx) (*opsv1.Release, []*storev1.Command, error) {
		v, err := r.control.Read(ctx)
		if err != nil {
			return nil, nil, err
		}
		s := steered{name: name, principal: tx.Call().Principal.ID, reason: reason, now: tx.Now()}
		if err := s.read(v, c, n); err != nil {
			return nil, nil, err
		}
		changes, err := r.changes(ctx, c, n)
		if err != nil {
			return nil, nil, err
		}
		s.changes = len(changes)
		if err := s.obey(verb); err != nil {
			return nil, nil, err
		}
		out := release(c, s.progress)
		out.Changes = changes
		return out, []*storev1.Command{{Verb: verb, Channel: string(c), Release: n, Reason: reason}}, nil
	})
}

// steered is a release that an operator wants to steer.
type steered struct {
	name, principal, reason string
	now                     time.Time
	progress                *storev1.ReleaseProgress
	// changes is how many of its changes are kept; reverting says that it is being undone.
	changes   int
	reverting bool
}

func (s *steered) read(v View, c wire.Channel, n int64) (err error) {
	if s.progress, err = progressOf(v, c, n); err != nil {
		return err
	}
	var rec storev1.RolloutRecord
	if _, err := load(v, ledger.RolloutKey(c), &rec); err != nil {
		return err
	}
	for _, revert := range rec.GetReverts() {
		s.reverting = s.reverting || revert.GetRelease() == n
	}
	return nil
}

// obey does to the release what the rollout will do, or says why that makes no sense.
func (s *steered) obey(verb storev1.Command_Verb) error {
	p := s.progress
	switch verb {
	case storev1.Command_HOLD:
		if st := p.GetState(); st == storev1.ReleaseProgress_GOOD || st == storev1.ReleaseProgress_ABANDONED {
			return refused(s.name, "%s is %s: there is nothing left to stop", s.name, st)
		}
		p.Held, p.Reason = true, s.because("held by ")
	case storev1.Command_RESUME:
		if p.GetState() != storev1.ReleaseProgress_ABANDONED {
			p.Held, p.Reason = false, ""
		}
	case storev1.Command_ROLLBACK:
		return s.rollback()
	case storev1.Command_EXPEDITE, storev1.Command_APPROVE:
		if err := mayHurry(p, s.name, verb, s.principal); err != nil {
			return err
		}
		s.hurry(verb)
	case storev1.Command_VERB_UNSPECIFIED, storev1.Command_RETRY:
	}
	return nil
}

// rollback abandons a release that did not soak. An older one stays what it is: a new release
// reverts it. One whose manifest was pruned can't be undone, since nobody knows any more what
// it replaced.
func (s *steered) rollback() error {
	p := s.progress
	switch good := p.GetState() == storev1.ReleaseProgress_GOOD; {
	case p.GetState() == storev1.ReleaseProgress_ABANDONED:
		return refused(s.name, "%s is abandoned already", s.name)
	case p.GetParent() == 0:
		return refused(s.name, "%s is the first release: there is nothing before it", s.name)
	case !good:
		p.State, p.Held, p.Reason = storev1.ReleaseProgress_ABANDONED, false, s.because("rolled back by ")
	case s.reverting:
		return refused(s.name, "%s is being reverted already", s.name)
	case p.GetChanges() == 0:
		return refused(s.name, "%s changed nothing", s.name)
	case s.changes == 0:
		return refused(s.name, "what %s changed is not kept any more: change what it brought instead", s.name)
	}
	return nil
}

// hurry notes a wish of break-glass, or takes the bakes away that are left after the first
// wave.
func (s *steered) hurry(verb storev1.Command_Verb) {
	p := s.progress
	if verb == storev1.Command_EXPEDITE {
		p.Expedite = &storev1.Expedite{Requester: s.principal, Reason: s.reason, RequestTime: timestamppb.New(s.now)}
		return
	}
	p.Expedite.Approver, p.Expedite.ApproveTime = s.principal, timestamppb.New(s.now)
	for k, w := range p.GetWaves() {
		if k > 0 && w.GetPassTime() == nil {
			w.Bake = durationpb.New(0)
		}
	}
}

// because is the reason that was given, or who wanted it.
func (s *steered) because(by string) string {
	if s.reason != "" {
		return s.reason
	}
	return by + s.principal
}

// refused says why a command about a release makes no sense.
func refused(name, format string, args ...any) error {
	return rpcerr.Precondition(rpcerr.ReasonInvalidState, name, format, args...)
}
