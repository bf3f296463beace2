package ops_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func operator(id string) func(*call.Info) {
	return func(i *call.Info) { i.Principal.ID = "operator:" + id }
}

// obeyExpedite is what the rollout does with commands of break-glass.
func (w *world) obeyExpedite(rec *storev1.RolloutRecord) {
	w.leader(func(cmd *storev1.Command) []registry.Op {
		rec = proto.CloneOf(rec)
		for _, p := range rec.GetReleases() {
			switch {
			case p.GetNumber() != cmd.GetRelease():
			case cmd.GetVerb() == storev1.Command_EXPEDITE:
				p.Expedite = &storev1.Expedite{Requester: cmd.GetPrincipal(), Reason: cmd.GetReason(), RequestTime: cmd.GetCreateTime()}
			case cmd.GetVerb() == storev1.Command_APPROVE:
				p.Expedite.Approver, p.Expedite.ApproveTime = cmd.GetPrincipal(), cmd.GetCreateTime()
			}
		}
		op, err := ledger.Put(ledger.RolloutKey(wire.Routine), rec)
		if err != nil {
			w.t.Error(err)
		}
		return []registry.Op{op}
	})
}

func TestExpedite(t *testing.T) {
	const name = "channels/routine/releases/7"
	w := newWorld(t)
	w.obeyExpedite(w.chain())
	expedite := func(ctx context.Context, name string) (*opsv1.Release, error) {
		return w.releases.ExpediteRelease(ctx, &opsv1.ExpediteReleaseRequest{Name: name, Reason: "an attack"})
	}
	approve := func(ctx context.Context, name string) (*opsv1.Release, error) {
		return w.releases.ApproveRelease(ctx, &opsv1.ApproveReleaseRequest{Name: name})
	}
	_, err := expedite(w.as("ExpediteRelease"), "channels/routine/releases/99")
	is(t, err, codes.NotFound, rpcerr.ReasonNotFound)
	for _, done := range []string{"channels/routine/releases/5", "channels/routine/releases/6"} {
		_, err = expedite(w.as("ExpediteRelease"), done)
		is(t, err, codes.FailedPrecondition, rpcerr.ReasonInvalidState)
	}
	_, err = approve(w.as("ApproveRelease"), name)
	is(t, err, codes.FailedPrecondition, rpcerr.ReasonInvalidState)

	if _, err := expedite(w.as("ExpediteRelease", validateOnly), name); err != nil {
		t.Fatal(err)
	}
	got, err := expedite(w.as("ExpediteRelease"), name)
	if err != nil || got.GetExpedite().GetRequester() != "operator:ada" || got.GetExpedite().GetReason() != "an attack" ||
		got.GetExpedite().GetApprover() != "" {
		t.Fatalf("got %v, %v", got.GetExpedite(), err)
	}
	_, err = approve(w.as("ApproveRelease"), name)
	is(t, err, codes.FailedPrecondition, rpcerr.ReasonInvalidState)
	if !strings.Contains(err.Error(), "another operator") {
		t.Errorf("refused because %v", err)
	}
	got, err = approve(w.as("ApproveRelease", operator("bob"), keyed("k", "x")), name)
	if err != nil || got.GetExpedite().GetApprover() != "operator:bob" || got.GetExpedite().GetApproveTime() == nil {
		t.Fatalf("got %v, %v", got.GetExpedite(), err)
	}
	// The same call again is answered, another one refused.
	if _, err = approve(w.as("ApproveRelease", operator("bob"), keyed("k", "x")), name); err != nil {
		t.Errorf("repeated: %v", err)
	}
	_, err = expedite(w.as("ExpediteRelease"), name)
	is(t, err, codes.FailedPrecondition, rpcerr.ReasonInvalidState)
	if !strings.Contains(w.log.b.String(), `"reason":"an attack"`) {
		t.Error("the reason is not in the operators' log")
	}
	w.audited("operator:ada ExpediteRelease "+name, "operator:bob ApproveRelease "+name)
}
