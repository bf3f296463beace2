package ops

import (
	"context"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

// ExpediteRelease asks that a release skip the bakes that are left to it.
func (r *Releases) ExpediteRelease(ctx context.Context, req *opsv1.ExpediteReleaseRequest) (*opsv1.Release, error) {
	return r.steer(ctx, req.GetName(), storev1.Command_EXPEDITE, req.GetReason())
}

// ApproveRelease approves what another operator asked by ExpediteRelease.
func (r *Releases) ApproveRelease(ctx context.Context, req *opsv1.ApproveReleaseRequest) (*opsv1.Release, error) {
	return r.steer(ctx, req.GetName(), storev1.Command_APPROVE, "")
}

// mayHurry says why a command of break-glass makes no sense; nil where it does.
func mayHurry(p *storev1.ReleaseProgress, name string, verb storev1.Command_Verb, principal string) error {
	e := p.GetExpedite()
	refuse := func(format string, args ...any) error { return refused(name, format, args...) }
	switch s := p.GetState(); {
	case s != storev1.ReleaseProgress_SEALED && s != storev1.ReleaseProgress_ROLLING:
		return refuse("%s is %s: there are no bakes left to skip", name, s)
	case e.GetApprover() != "":
		return refuse("%s is expedited already, by %s and %s", name, e.GetRequester(), e.GetApprover())
	case verb == storev1.Command_EXPEDITE:
		return nil
	case e.GetRequester() == "":
		return refuse("nobody asked that %s be expedited", name)
	case e.GetRequester() == principal:
		return refuse("%s asked for it: another operator has to approve", principal)
	}
	return nil
}

func wish(e *storev1.Expedite) *opsv1.Release_Expedite {
	if e == nil {
		return nil
	}
	return &opsv1.Release_Expedite{
		Reason: e.GetReason(), Requester: e.GetRequester(), RequestTime: e.GetRequestTime(),
		Approver: e.GetApprover(), ApproveTime: e.GetApproveTime(),
	}
}
