package ops_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rollout"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/service/ops"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// fleetOf makes the world's channels those of a fleet of n data centers, with the default
// policies of a server.
func (w *world) fleetOf(n int, scale float64, dev bool) []string {
	w.t.Helper()
	var codes []string
	var locations []ops.Location
	for i := range n {
		codes = append(codes, fmt.Sprintf("D%02d", i))
		locations = append(locations, ops.Location{Code: codes[i]})
	}
	w.releases = ops.NewReleases(w.ctl, rollout.DefaultPolicies(codes, scale, dev), nil, locations)
	return codes
}

func (w *world) update(ch *opsv1.Channel, paths ...string) (*opsv1.Channel, error) {
	req := &opsv1.UpdateChannelRequest{Channel: ch}
	if len(paths) > 0 {
		req.UpdateMask = &fieldmaskpb.FieldMask{Paths: paths}
	}
	return w.releases.UpdateChannel(w.as("UpdateChannel"), req)
}

// broken is the fields and rules of a refusal.
func broken(t *testing.T, err error) string {
	t.Helper()
	var out []string
	for _, v := range refusal(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField).Violations {
		out = append(out, v.Field+" "+v.Rule)
	}
	return strings.Join(out, ", ")
}

// What every server has by default may be set, in fleets of every size.
func TestDefaultPoliciesAreWithinTheBounds(t *testing.T) {
	for _, n := range []int{1, 2, 3, 6, 7, 12, 23, 300} {
		for _, scale := range []float64{0, 0.1, 1} {
			w := newWorld(t)
			w.fleetOf(n, scale, n%2 == 0)
			for _, c := range wire.Channels() {
				ch, err := w.releases.GetChannel(w.as("GetChannel"), &opsv1.GetChannelRequest{Name: "channels/" + string(c)})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := w.update(ch, "waves", "soak", "serverTolerance", "dataCenterTolerance", "patience"); err != nil {
					t.Errorf("%d data centers, scale %v, %s: %v", n, scale, c, err)
				}
			}
		}
	}
}

// No policy takes a change to the fleet at once, or past a first wave without a bake.
func TestPoliciesOutOfBounds(t *testing.T) {
	w := newWorld(t)
	dcs := w.fleetOf(23, 1, false)
	seconds := func(n float64) *durationpb.Duration {
		return durationpb.New(time.Duration(n * float64(time.Second)))
	}
	wave := func(dcs []string, bake float64) *opsv1.Channel_Wave {
		return &opsv1.Channel_Wave{DataCenters: dcs, Bake: seconds(bake)}
	}
	for name, test := range map[string]struct {
		channel string
		set     *opsv1.Channel
		want    string
	}{
		"the fleet at once": {
			"routine", &opsv1.Channel{Waves: []*opsv1.Channel_Wave{wave(dcs[:22], 0), wave(nil, 0)}, Soak: seconds(0)},
			"waves[0].dataCenters max_items, waves[0].bake min, soak min",
		},
		"a first wave of three":     {"routine", &opsv1.Channel{Waves: []*opsv1.Channel_Wave{wave(dcs[:3], 1), wave(nil, 1)}}, "waves[0].dataCenters max_items"},
		"a second wave of twelve":   {"routine", &opsv1.Channel{Waves: []*opsv1.Channel_Wave{wave(dcs[:1], 1), wave(dcs[1:13], 1), wave(nil, 1)}}, "waves[1].dataCenters max_items"},
		"a short bake":              {"platform", &opsv1.Channel{Waves: []*opsv1.Channel_Wave{wave(dcs[:1], 149), wave(nil, 1)}}, "waves[0].bake min"},
		"a short soak":              {"urgent", &opsv1.Channel{Soak: seconds(59)}, "soak min"},
		"too tolerant of servers":   {"routine", &opsv1.Channel{ServerTolerance: 3}, "serverTolerance range"},
		"too tolerant":              {"routine", &opsv1.Channel{DataCenterTolerance: 3}, "dataCenterTolerance range"},
		"intolerable":               {"routine", &opsv1.Channel{DataCenterTolerance: -1}, "dataCenterTolerance range"},
		"no patience":               {"routine", &opsv1.Channel{Patience: seconds(0.5)}, "patience range"},
		"more patience than a week": {"routine", &opsv1.Channel{Patience: seconds(604801)}, "patience range"},
	} {
		test.set.Name = "channels/" + test.channel
		_, err := w.update(test.set)
		if got := broken(t, err); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	good := &opsv1.Channel{
		Name:  "channels/routine",
		Waves: []*opsv1.Channel_Wave{wave(dcs[:2], 0.5), wave(dcs[2:13], 0), wave(nil, 0)}, Soak: seconds(60),
	}
	if _, err := w.update(good); err != nil {
		t.Errorf("at the bounds: %v", err)
	}
}

func TestTolerancesAndPatience(t *testing.T) {
	w := newWorld(t)
	w.fleetOf(23, 1, false)
	const name = "channels/routine"
	before, err := w.releases.GetChannel(w.as("GetChannel"), &opsv1.GetChannelRequest{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.update(&opsv1.Channel{Name: name, ServerTolerance: 1, DataCenterTolerance: 2, Patience: durationpb.New(time.Minute)})
	if err != nil || got.GetServerTolerance() != 1 || got.GetDataCenterTolerance() != 2 || got.GetPatience().AsDuration() != time.Minute ||
		got.GetEtag() == before.GetEtag() {
		t.Fatalf("got %v, %v", got, err)
	}
	p := &storev1.ChannelPolicy{}
	if _, err := ledger.Load(t.Context(), w.control, ledger.PolicyKey(wire.Routine), p); err != nil {
		t.Fatal(err)
	}
	policy := rollout.PolicyFrom(p)
	if policy.ServerTolerance != 1 || policy.DataCenterTolerance != 2 || policy.Patience != time.Minute || len(p.GetWaves()) != 0 {
		t.Errorf("stored %v", p)
	}
	got, err = w.update(&opsv1.Channel{Name: name}, "serverTolerance", "patience")
	if err != nil || got.GetServerTolerance() != 0 || got.GetDataCenterTolerance() != 2 || got.GetPatience() != nil {
		t.Errorf("got %v, %v", got, err)
	}
}
