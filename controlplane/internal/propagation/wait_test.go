package propagation

import (
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// TestReasonsToWait: whoever's change is held up by something that is not its own doing is
// told what it is.
func TestReasonsToWait(t *testing.T) {
	now := timestamppb.Now()
	tests := []struct {
		name     string
		change   func(r *storev1.RolloutRecord, p *storev1.ChannelPolicy)
		revision int64
		want     string
	}{
		{"nothing", func(*storev1.RolloutRecord, *storev1.ChannelPolicy) {}, 260, ""},
		{"nothing, not carried", func(*storev1.RolloutRecord, *storev1.ChannelPolicy) {}, 321, ""},
		{"frozen", func(_ *storev1.RolloutRecord, p *storev1.ChannelPolicy) { p.Frozen = true }, 260, waitFrozen},
		{"frozen, not carried", func(_ *storev1.RolloutRecord, p *storev1.ChannelPolicy) { p.Frozen = true }, 321, waitFrozen},
		{"frozen, live", func(_ *storev1.RolloutRecord, p *storev1.ChannelPolicy) { p.Frozen = true }, 200, ""},
		{"held", func(r *storev1.RolloutRecord, _ *storev1.ChannelPolicy) { r.Releases[1].Held = true }, 260, waitHeld},
		{"one before is held", func(r *storev1.RolloutRecord, _ *storev1.ChannelPolicy) { r.Releases[1].Held = true }, 321, waitHeld},
		{"searching", func(r *storev1.RolloutRecord, _ *storev1.ChannelPolicy) { r.Bisection = &storev1.Bisection{} }, 321, waitSearching},
		{"searching, past the first wave", func(r *storev1.RolloutRecord, _ *storev1.ChannelPolicy) { r.Bisection = &storev1.Bisection{} }, 260, ""},
		{
			"search ended", func(r *storev1.RolloutRecord, _ *storev1.ChannelPolicy) {
				r.Bisection = &storev1.Bisection{Exhausted: true}
			}, 321, "",
		},
		{"a data center is dark", func(r *storev1.RolloutRecord, _ *storev1.ChannelPolicy) {
			w := r.GetReleases()[1].GetWaves()[1]
			w.EnterTime, w.Losses = now, []*storev1.ReleaseProgress_Loss{{DataCenter: "LHR"}}
		}, 260, waitSilent},
		{"a data center is stuck", func(r *storev1.RolloutRecord, _ *storev1.ChannelPolicy) {
			r.Releases[1].Reason, r.Releases[1].Waves[1].EnterTime = "the gate waits: LHR", now
		}, 260, waitSilent},
		{"nobody next", func(r *storev1.RolloutRecord, _ *storev1.ChannelPolicy) {
			r.Releases[1].Waves[1].DataCenters = []string{"WAW"}
		}, 260, waitNobody},
		{"somebody next", func(r *storev1.RolloutRecord, _ *storev1.ChannelPolicy) {
			r.Releases[1].Waves[1].DataCenters = []string{"WAW", "LHR"}
		}, 260, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, x := engine(t), NewIndex(nil)
			x.At(v) // What changes must be noticed.
			r, p := rollout(), &storev1.ChannelPolicy{}
			tt.change(r, p)
			v.put(t, ledger.RolloutKey(wire.Routine), r)
			v.put(t, ledger.PolicyKey(wire.Routine), p)
			if got, _ := x.At(v).Of(siteAt(tt.revision, good), 0, epoch); got.GetReason() != tt.want {
				t.Errorf("%s: %q, want %q", got.GetState(), got.GetReason(), tt.want)
			}
		})
	}
}
