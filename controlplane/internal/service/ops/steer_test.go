package ops_test

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

const rolling = "channels/routine/releases/7"

// steer calls a verb about a release.
func (w *world) steer(ctx context.Context, verb, name string) (*opsv1.Release, error) {
	switch verb {
	case "hold":
		return w.releases.HoldRelease(ctx, &opsv1.HoldReleaseRequest{Name: name})
	case "resume":
		return w.releases.ResumeRelease(ctx, &opsv1.ResumeReleaseRequest{Name: name})
	case "rollback":
		return w.releases.RollbackRelease(ctx, &opsv1.RollbackReleaseRequest{Name: name, Reason: "bad"})
	case "expedite":
		return w.releases.ExpediteRelease(ctx, &opsv1.ExpediteReleaseRequest{Name: name, Reason: "an attack"})
	default:
		return w.releases.ApproveRelease(ctx, &opsv1.ApproveReleaseRequest{Name: name})
	}
}

// A dry run shows the release as it would be, and changes nothing.
func TestDryRunsShowWhatWouldBe(t *testing.T) {
	w := newWorld(t)
	rec := w.chain()
	for verb, test := range map[string]struct {
		before func(*storev1.ReleaseProgress)
		is     func(*opsv1.Release) bool
	}{
		"hold": {nil, func(r *opsv1.Release) bool {
			return r.GetState() == opsv1.Release_HELD && r.GetReason() == "held by operator:ada"
		}},
		"resume": {func(p *storev1.ReleaseProgress) { p.Held, p.Reason = true, "wait" }, func(r *opsv1.Release) bool {
			return r.GetState() == opsv1.Release_ROLLING && r.GetReason() == ""
		}},
		"rollback": {nil, func(r *opsv1.Release) bool { return r.GetState() == opsv1.Release_ABANDONED && r.GetReason() == "bad" }},
		"expedite": {nil, func(r *opsv1.Release) bool {
			return r.GetExpedite().GetRequester() == "operator:ada" && r.GetExpedite().GetReason() == "an attack" && r.GetExpedite().GetApprover() == ""
		}},
		"approve": {func(p *storev1.ReleaseProgress) { p.Expedite = &storev1.Expedite{Requester: "operator:bob"} }, func(r *opsv1.Release) bool {
			return r.GetExpedite().GetApprover() == "operator:ada" && r.GetWaves()[2].GetBake().IsValid()
		}},
	} {
		mine := proto.CloneOf(rec)
		if test.before != nil {
			test.before(mine.GetReleases()[1])
		}
		w.put(w.control, ledger.RolloutKey(wire.Routine), mine)
		got, err := w.steer(w.as(verb, validateOnly), verb, rolling)
		if err != nil || !test.is(got) {
			t.Errorf("%s: %v, %v", verb, got, err)
		}
	}
	if w.commands() != 0 {
		t.Error("a dry run gave a command")
	}
	w.audited()
}

// A repeat gets the first answer, whatever became of the release since.
func TestRepeatsGetTheFirstAnswer(t *testing.T) {
	w := newWorld(t)
	rec := w.chain()
	w.leader(func(cmd *storev1.Command) []registry.Op {
		rec = proto.CloneOf(rec)
		rec.GetReleases()[1].Held = cmd.GetVerb() == storev1.Command_HOLD
		if cmd.GetVerb() == storev1.Command_ROLLBACK {
			rec.GetReleases()[1].State = storev1.ReleaseProgress_ABANDONED
		}
		op, err := ledger.Put(ledger.RolloutKey(wire.Routine), rec)
		if err != nil {
			t.Error(err)
		}
		return []registry.Op{op}
	})
	first, err := w.steer(w.as("HoldRelease", keyed("k", "r")), "hold", rolling)
	if err != nil {
		t.Fatal(err)
	}
	for _, meanwhile := range []string{"resume", "rollback"} {
		if _, err := w.steer(w.as(meanwhile), meanwhile, rolling); err != nil {
			t.Fatal(err)
		}
		again, err := w.steer(w.as("HoldRelease", keyed("k", "r")), "hold", rolling)
		if err != nil || !proto.Equal(again, first) || again.GetState() != opsv1.Release_HELD {
			t.Errorf("after %s: %v, %v", meanwhile, again, err)
		}
	}
}

// What would have no effect is refused.
func TestCommandsWithoutAnEffect(t *testing.T) {
	w := newWorld(t)
	rec := w.chain()
	rec.Releases = append(rec.Releases, &storev1.ReleaseProgress{Number: 4, Parent: 3, State: storev1.ReleaseProgress_GOOD, Changes: 1})
	w.put(w.control, ledger.RolloutKey(wire.Routine), rec)
	signed, err := wire.Sign(w.signer, wire.ContextManifest, &edgev1.Manifest{Channel: "routine", Number: 4, Changes: []*edgev1.Manifest_Change{{Kind: "site", Id: "a.test"}}})
	if err != nil {
		t.Fatal(err)
	}
	w.put(w.control, wire.ReleaseKey(wire.Routine, 4), signed)
	const first, abandoned, good = "channels/routine/releases/5", "channels/routine/releases/6", "channels/routine/releases/4"
	for _, test := range [][2]string{{"hold", first}, {"hold", abandoned}, {"rollback", first}, {"rollback", abandoned}, {"expedite", first}, {"approve", rolling}} {
		for _, dry := range []bool{false, true} {
			ctx := w.as(test[0])
			if dry {
				ctx = w.as(test[0], validateOnly)
			}
			_, err := w.steer(ctx, test[0], test[1])
			is(t, err, codes.FailedPrecondition, rpcerr.ReasonInvalidState)
		}
	}
	// A good one is reverted, once.
	if got, err := w.steer(w.as("rollback", validateOnly), "rollback", good); err != nil || got.GetState() != opsv1.Release_GOOD {
		t.Errorf("got %v, %v", got, err)
	}
	rec.Reverts = []*storev1.Revert{{Release: 4}}
	w.put(w.control, ledger.RolloutKey(wire.Routine), rec)
	_, err = w.steer(w.as("rollback"), "rollback", good)
	is(t, err, codes.FailedPrecondition, rpcerr.ReasonInvalidState)
	if w.commands() != 0 {
		t.Error("what was refused gave a command")
	}
	w.audited()
}

// A retry that is repeated answers as before, though the quarantine is over.
func TestRetryIsRepeated(t *testing.T) {
	w := newWorld(t)
	w.put(w.control, ledger.QuarantineKey("site-a.test"), &storev1.QuarantineRecord{Kind: "site", Id: "a.test", Retries: 1})
	w.leader(func(*storev1.Command) []registry.Op {
		return []registry.Op{registry.Delete(ledger.QuarantineKey("site-a.test"))}
	})
	for range 2 {
		got, err := w.releases.RetryQuarantine(w.as("RetryQuarantine", keyed("k", "r")), &opsv1.RetryQuarantineRequest{Name: "quarantines/site-a.test"})
		if err != nil || got.GetRetries() != 2 {
			t.Errorf("got %v, %v", got, err)
		}
	}
}
