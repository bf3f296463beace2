package ops_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// chain is a routine channel with a good release, one that rolls and one that was
// abandoned.
func (w *world) chain() *storev1.RolloutRecord {
	w.t.Helper()
	r := &storev1.RolloutRecord{
		Live: 5, LastKnownGood: 5, LastNumber: 7,
		Releases: []*storev1.ReleaseProgress{
			{Number: 5, State: storev1.ReleaseProgress_GOOD},
			{
				Number: 7, Parent: 5, State: storev1.ReleaseProgress_ROLLING, Cause: edgev1.Manifest_CHANGES, Changes: 2,
				Waves: []*storev1.ReleaseProgress_Wave{
					{
						DataCenters: []string{"SJC"}, EnterTime: timestamppb.Now(), PassTime: timestamppb.Now(),
						Servers: []*storev1.ReleaseProgress_FrozenServer{{Attested: true}, {Attested: true}},
					},
					{
						DataCenters: []string{"LHR", "NRT"}, EnterTime: timestamppb.Now(),
						Servers: []*storev1.ReleaseProgress_FrozenServer{{Attested: true}, {}, {}},
					},
					{},
				},
			},
		},
	}
	w.put(w.control, ledger.RolloutKey(wire.Routine), r)
	w.put(w.control, ledger.HeadKey(wire.Routine), &storev1.HeadRecord{Release: 7, LastNumber: 7, Cursor: 90})
	w.put(w.control, ledger.HistoryKey(wire.Routine, 6), &storev1.ReleaseProgress{
		Number: 6, Parent: 5, State: storev1.ReleaseProgress_ABANDONED, Held: true, Reason: "it hurt",
	})
	// The history may have what is in flight as well, as it was.
	w.put(w.control, ledger.HistoryKey(wire.Routine, 5), &storev1.ReleaseProgress{Number: 5, State: storev1.ReleaseProgress_LIVE})
	return r
}

func TestReleases(t *testing.T) {
	w := newWorld(t)
	w.chain()
	var got []string
	token := ""
	for {
		page, err := w.releases.ListReleases(w.as("ListReleases"), &opsv1.ListReleasesRequest{
			Parent: "channels/routine", PageSize: 2, PageToken: token,
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.GetReleases() {
			got = append(got, r.GetName()+" "+r.GetState().String())
			if len(r.GetChanges()) != 0 {
				t.Errorf("a list has changes: %v", r)
			}
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	want := "channels/routine/releases/7 ROLLING, channels/routine/releases/6 ABANDONED, channels/routine/releases/5 GOOD"
	if strings.Join(got, ", ") != want {
		t.Errorf("releases = %v, want %s", got, want)
	}
	page, err := w.releases.ListReleases(w.as("ListReleases"), &opsv1.ListReleasesRequest{Parent: "channels/routine", Filter: "state = ABANDONED"})
	if err != nil || len(page.GetReleases()) != 1 || page.GetReleases()[0].GetReason() != "it hurt" {
		t.Errorf("filtered: %v, %v", page, err)
	}
	_, err = w.releases.ListReleases(w.as("ListReleases"), &opsv1.ListReleasesRequest{Parent: "channels/other"})
	is(t, err, codes.NotFound, rpcerr.ReasonNotFound)
}

func TestReleaseWithItsManifest(t *testing.T) {
	w := newWorld(t)
	w.chain()
	sum := wire.SumOf([]byte("new"))
	signed, err := wire.Sign(w.signer, wire.ContextManifest, &edgev1.Manifest{Channel: "routine", Number: 7, Changes: []*edgev1.Manifest_Change{
		{Kind: "site", Id: "shop.test", NewSha256: sum[:]},
	}})
	if err != nil {
		t.Fatal(err)
	}
	get := func(name string) (*opsv1.Release, error) {
		return w.releases.GetRelease(w.as("GetRelease"), &opsv1.GetReleaseRequest{Name: name})
	}
	w.put(w.control, wire.ReleaseKey(wire.Routine, 7), signed)
	r, err := get("channels/routine/releases/7")
	if err != nil {
		t.Fatal(err)
	}
	if len(r.GetChanges()) != 1 || r.GetChanges()[0].GetDocument() != "site/shop.test" || r.GetChanges()[0].GetNewSha256() != sum.String() {
		t.Errorf("changes = %v", r.GetChanges())
	}
	if r.GetCause() != "CHANGES" || r.GetChangeCount() != 2 || r.GetParent() != 5 {
		t.Errorf("release = %v", r)
	}
	states := []opsv1.Release_Wave_State{opsv1.Release_Wave_PASSED, opsv1.Release_Wave_BAKING, opsv1.Release_Wave_WAITING}
	for i, state := range states {
		if r.GetWaves()[i].GetState() != state {
			t.Errorf("wave %d is %v, want %v", i, r.GetWaves()[i].GetState(), state)
		}
	}
	if r.GetWaves()[1].GetServers() != 3 || r.GetWaves()[1].GetAttestedServers() != 1 {
		t.Errorf("wave = %v", r.GetWaves()[1])
	}
	// The manifest of an old one may be pruned.
	if r, err := get("channels/routine/releases/6"); err != nil || r.GetState() != opsv1.Release_ABANDONED {
		t.Errorf("got %v, %v", r, err)
	}
	for _, name := range []string{"channels/routine/releases/8", "channels/routine/releases/x", "channels/routine/releases/0", "channels/none/releases/7", "x"} {
		_, err := get(name)
		is(t, err, codes.NotFound, rpcerr.ReasonNotFound)
	}
	signed.Signature[0] ^= 1
	w.put(w.control, wire.ReleaseKey(wire.Routine, 7), signed)
	if _, err := get("channels/routine/releases/7"); rpcerr.Status(err).Code() != codes.Internal {
		t.Errorf("a manifest that nobody signed: %v", err)
	}
}

func TestSteering(t *testing.T) {
	w := newWorld(t)
	rec := w.chain()
	var asked []*storev1.Command
	w.leader(func(cmd *storev1.Command) []registry.Op {
		asked = append(asked, cmd)
		r := rec.GetReleases()[1]
		switch cmd.GetVerb() {
		case storev1.Command_HOLD:
			r.Held, r.Reason = true, cmd.GetReason()
		case storev1.Command_RESUME:
			r.Held, r.Reason = false, ""
		case storev1.Command_ROLLBACK:
			r.State, r.Reason = storev1.ReleaseProgress_ABANDONED, cmd.GetReason()
		default:
		}
		op, err := ledger.Put(ledger.RolloutKey(wire.Routine), rec)
		if err != nil {
			t.Error(err)
		}
		return []registry.Op{op}
	})
	const name = "channels/routine/releases/7"
	held, err := w.releases.HoldRelease(w.as("HoldRelease"), &opsv1.HoldReleaseRequest{Name: name, Reason: "wait"})
	if err != nil || held.GetState() != opsv1.Release_HELD || held.GetReason() != "wait" {
		t.Errorf("held: %v, %v", held, err)
	}
	if _, err := w.releases.HoldRelease(w.as("HoldRelease", validateOnly), &opsv1.HoldReleaseRequest{Name: name}); err != nil {
		t.Errorf("a dry run: %v", err)
	}
	resumed, err := w.releases.ResumeRelease(w.as("ResumeRelease"), &opsv1.ResumeReleaseRequest{Name: name})
	if err != nil || resumed.GetState() != opsv1.Release_ROLLING {
		t.Errorf("resumed: %v, %v", resumed, err)
	}
	for range 2 { // the second one is a repeat
		back, err := w.releases.RollbackRelease(w.as("RollbackRelease", keyed("k", "r")), &opsv1.RollbackReleaseRequest{Name: name, Reason: "bad"})
		if err != nil || back.GetState() != opsv1.Release_ABANDONED {
			t.Errorf("rolled back: %v, %v", back, err)
		}
	}
	rec.GetReleases()[0].Changes = 1 // and its manifest was pruned
	w.put(w.control, ledger.RolloutKey(wire.Routine), rec)
	_, err = w.releases.RollbackRelease(w.as("RollbackRelease"), &opsv1.RollbackReleaseRequest{Name: "channels/routine/releases/5"})
	is(t, err, codes.FailedPrecondition, rpcerr.ReasonInvalidState)
	_, err = w.releases.HoldRelease(w.as("HoldRelease"), &opsv1.HoldReleaseRequest{Name: "channels/routine/releases/99"})
	is(t, err, codes.NotFound, rpcerr.ReasonNotFound)
	if len(asked) != 3 || w.commands() != 0 {
		t.Errorf("the leader was asked %d times, %d commands wait", len(asked), w.commands())
	}
	if c := asked[0]; c.GetPrincipal() != "operator:ada" || c.GetChannel() != "routine" || c.GetRelease() != 7 || c.GetCreateTime() == nil {
		t.Errorf("command = %v", c)
	}
	w.audited("operator:ada HoldRelease "+name, "operator:ada ResumeRelease "+name, "operator:ada RollbackRelease "+name)
}

// Without a leader the command is kept, and the caller is told.
func TestNoLeader(t *testing.T) {
	w := newWorld(t)
	w.chain()
	w.ctl.CommandWait = 10 * time.Millisecond
	_, err := w.releases.HoldRelease(w.as("HoldRelease"), &opsv1.HoldReleaseRequest{Name: "channels/routine/releases/7"})
	e := refusal(t, err, codes.Unavailable, rpcerr.ReasonUnavailable)
	if !strings.Contains(e.Message, "kept") || w.commands() != 1 {
		t.Errorf("%q, %d commands wait", e.Message, w.commands())
	}
	w.audited("operator:ada HoldRelease channels/routine/releases/7")
}

func TestQuarantines(t *testing.T) {
	w := newWorld(t)
	bad := wire.SumOf([]byte("bad"))
	for _, domain := range []string{"a.test", "b.test"} {
		w.put(w.control, ledger.QuarantineKey("site-"+domain), &storev1.QuarantineRecord{
			Kind: "site", Id: domain, Channel: "routine", Release: 6, BadSha256: bad[:], Reason: "refused",
			DataCenter: "SJC", Server: "sjc-1",
		})
	}
	first, err := w.releases.ListQuarantines(w.as("ListQuarantines"), &opsv1.ListQuarantinesRequest{PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	second, err := w.releases.ListQuarantines(w.as("ListQuarantines"), &opsv1.ListQuarantinesRequest{PageSize: 1, PageToken: first.GetNextPageToken()})
	if err != nil || len(second.GetQuarantines()) != 1 || second.GetNextPageToken() != "" {
		t.Fatalf("second page: %v, %v", second, err)
	}
	q, err := w.releases.GetQuarantine(w.as("GetQuarantine"), &opsv1.GetQuarantineRequest{Name: second.GetQuarantines()[0].GetName()})
	if err != nil {
		t.Fatal(err)
	}
	if q.GetName() != "quarantines/site-b.test" || q.GetDocument() != "site/b.test" || q.GetServer() != "dataCenters/SJC/servers/sjc-1" ||
		q.GetBadSha256() != bad.String() || q.GetGoodSha256() != "" {
		t.Errorf("got %v", q)
	}
	_, err = w.releases.RetryQuarantine(w.as("RetryQuarantine"), &opsv1.RetryQuarantineRequest{Name: "quarantines/none"})
	is(t, err, codes.NotFound, rpcerr.ReasonNotFound)

	w.put(w.control, ledger.QuarantineKey("site-a.test"), &storev1.QuarantineRecord{
		Kind: "site", Id: "a.test", RetryTime: timestamppb.New(w.clock.Now().Add(time.Minute)),
	})
	_, err = w.releases.RetryQuarantine(w.as("RetryQuarantine"), &opsv1.RetryQuarantineRequest{Name: "quarantines/site-a.test"})
	if e := refusal(t, err, codes.ResourceExhausted, rpcerr.ReasonRateLimited); e.RetryAfter != time.Minute {
		t.Errorf("retry after %v, want 1m", e.RetryAfter)
	}

	w.leader(func(cmd *storev1.Command) []registry.Op {
		if cmd.GetVerb() != storev1.Command_RETRY || cmd.GetQuarantine() != "site-b.test" {
			t.Errorf("command = %v", cmd)
		}
		op, err := ledger.Put(ledger.QuarantineKey("site-b.test"), &storev1.QuarantineRecord{Kind: "site", Id: "b.test", Retries: 1})
		if err != nil {
			t.Error(err)
		}
		return []registry.Op{op}
	})
	again, err := w.releases.RetryQuarantine(w.as("RetryQuarantine"), &opsv1.RetryQuarantineRequest{Name: q.GetName()})
	if err != nil || again.GetRetries() != 1 {
		t.Errorf("got %v, %v; want what the leader left", again, err)
	}
	w.audited("operator:ada RetryQuarantine quarantines/site-b.test")
}

func TestChannels(t *testing.T) {
	w := newWorld(t)
	r := w.chain()
	r.Suspects = []*storev1.Suspect{{}, {}}
	w.put(w.control, ledger.RolloutKey(wire.Routine), r)
	list, err := w.releases.ListChannels(w.as("ListChannels"), &opsv1.ListChannelsRequest{})
	if err != nil || len(list.GetChannels()) != 3 || list.GetChannels()[0].GetName() != "channels/urgent" {
		t.Fatalf("got %v, %v", list, err)
	}
	c, err := w.releases.GetChannel(w.as("GetChannel"), &opsv1.GetChannelRequest{Name: "channels/routine"})
	if err != nil {
		t.Fatal(err)
	}
	if c.GetHead() != 7 || c.GetLive() != 5 || c.GetLastKnownGood() != 5 || c.GetCursor() != 90 || c.GetSuspects() != 2 ||
		len(c.GetWaves()) != 2 || c.GetSoak().AsDuration() != time.Minute || c.GetFrozen() {
		t.Errorf("channel = %v", c)
	}
	_, err = w.releases.GetChannel(w.as("GetChannel"), &opsv1.GetChannelRequest{Name: "channels/x"})
	is(t, err, codes.NotFound, rpcerr.ReasonNotFound)
}

func TestUpdateChannel(t *testing.T) {
	w := newWorld(t)
	const name = "channels/routine"
	update := func(ch *opsv1.Channel, paths ...string) (*opsv1.Channel, error) {
		ch.Name = name
		req := &opsv1.UpdateChannelRequest{Channel: ch}
		if len(paths) > 0 {
			req.UpdateMask = &fieldmaskpb.FieldMask{Paths: paths}
		}
		return w.releases.UpdateChannel(w.as("UpdateChannel"), req)
	}
	stored := func() *storev1.ChannelPolicy {
		t.Helper()
		p := &storev1.ChannelPolicy{}
		if _, err := ledger.Load(t.Context(), w.control, ledger.PolicyKey(wire.Routine), p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	got, err := update(&opsv1.Channel{Soak: durationpb.New(time.Hour)})
	if err != nil || got.GetSoak().AsDuration() != time.Hour || len(got.GetWaves()) != 2 {
		t.Fatalf("got %v, %v", got, err)
	}
	if p := stored(); len(p.GetWaves()) != 0 || p.GetSoak().AsDuration() != time.Hour {
		t.Errorf("stored %v: what nobody changed is to stay the default's", p)
	}
	if _, err := w.releases.FreezeChannel(w.as("FreezeChannel"), &opsv1.FreezeChannelRequest{Name: name}); err != nil {
		t.Fatal(err)
	}
	waves := []*opsv1.Channel_Wave{
		{DataCenters: []string{"NRT"}, Bake: durationpb.New(time.Second)}, {Bake: durationpb.New(0)},
	}
	after, err := update(&opsv1.Channel{Waves: waves, Etag: got.GetEtag()}, "waves")
	if err != nil || after.GetWaves()[0].GetDataCenters()[0] != "NRT" || !after.GetFrozen() || after.GetSoak().AsDuration() != time.Hour {
		t.Fatalf("got %v, %v; a freeze is not covered by the etag", after, err)
	}
	_, err = update(&opsv1.Channel{Waves: waves, Etag: got.GetEtag()})
	is(t, err, codes.Aborted, rpcerr.ReasonEtagMismatch)
	if thawed, err := w.releases.UnfreezeChannel(w.as("UnfreezeChannel"), &opsv1.UnfreezeChannelRequest{Name: name}); err != nil || thawed.GetFrozen() {
		t.Errorf("got %v, %v", thawed, err)
	}
	w.audited("operator:ada UpdateChannel "+name, "operator:ada FreezeChannel "+name, "operator:ada UpdateChannel "+name, "operator:ada UnfreezeChannel "+name)

	bake := durationpb.New(time.Second)
	for field, ch := range map[string]*opsv1.Channel{
		"waves":                {Waves: []*opsv1.Channel_Wave{{Bake: bake}}},
		"waves[0].dataCenters": {Waves: []*opsv1.Channel_Wave{{Bake: bake}, {Bake: bake}}},
		"waves[1].dataCenters": {Waves: []*opsv1.Channel_Wave{{DataCenters: []string{"SJC"}, Bake: bake}, {DataCenters: []string{"LHR"}, Bake: bake}}},
		"waves[0].bake":        {Waves: []*opsv1.Channel_Wave{{DataCenters: []string{"SJC"}}, {Bake: bake}}},
		"waves[1].bake":        {Waves: []*opsv1.Channel_Wave{{DataCenters: []string{"SJC"}, Bake: bake}, {Bake: durationpb.New(-1)}}},
		"soak":                 {Soak: durationpb.New(8 * 24 * time.Hour)},
	} {
		_, err := update(ch)
		e := refusal(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField)
		if len(e.Violations) != 1 || e.Violations[0].Field != field {
			t.Errorf("%s: %v", field, e.Violations)
		}
	}
	for field, dc := range map[string]string{"waves[0].dataCenters": "XXX", "waves[1].dataCenters": "SJC"} {
		waves := []*opsv1.Channel_Wave{{DataCenters: []string{dc}, Bake: bake}, {DataCenters: []string{"SJC"}, Bake: bake}, {Bake: bake}}
		_, err := update(&opsv1.Channel{Waves: waves})
		e := refusal(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField)
		if len(e.Violations) != 1 || e.Violations[0].Field != field {
			t.Errorf("%s: %v", field, e.Violations)
		}
	}
	w.audited()
}
