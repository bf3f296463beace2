package rollout

import (
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

// expedite notes that an operator wants a release to skip its bakes. A later wish takes the
// place of an earlier one, until one was approved.
func (m *machine) expedite(r *Release, cmd Command) {
	if r == nil || r.settled() || r.Expedite.approved() || cmd.Principal == "" {
		return
	}
	r.Expedite = Expedite{Requester: cmd.Principal, Reason: cmd.Reason, RequestTime: m.o.Now}
}

// approve takes the bakes away from all waves but the first, when it comes from another
// operator than the wish. The first wave is what a bad release may hurt, whoever hurries.
func (m *machine) approve(r *Release, cmd Command) {
	if r == nil || r.settled() || r.Expedite.approved() || r.Expedite.Requester == "" ||
		cmd.Principal == "" || cmd.Principal == r.Expedite.Requester {
		return
	}
	r.Expedite.Approver, r.Expedite.ApproveTime = cmd.Principal, m.o.Now
	r.skipBakes()
}

// skipBakes makes an approved wish true.
func (r *Release) skipBakes() {
	for k := 1; k < len(r.Waves) && r.Expedite.approved(); k++ {
		if !r.Waves[k].passed() {
			r.Waves[k].Bake = 0
		}
	}
}

func (e Expedite) approved() bool { return e.Approver != "" }

// record is the stored form of a wish; nil where there is none.
func (e Expedite) record() *storev1.Expedite {
	if e == (Expedite{}) {
		return nil
	}
	return &storev1.Expedite{
		Reason: e.Reason, Requester: e.Requester, RequestTime: stamp(e.RequestTime),
		Approver: e.Approver, ApproveTime: stamp(e.ApproveTime),
	}
}

func expediteFrom(p *storev1.Expedite) Expedite {
	return Expedite{
		Reason: p.GetReason(), Requester: p.GetRequester(), RequestTime: unstamp(p.GetRequestTime()),
		Approver: p.GetApprover(), ApproveTime: unstamp(p.GetApproveTime()),
	}
}
