package ops_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/service/ops"
)

func TestLimits(t *testing.T) {
	w := newWorld(t)
	get := func() (*opsv1.Limits, error) {
		return w.limits.GetLimits(w.as("GetLimits"), &opsv1.GetLimitsRequest{})
	}
	_, err := get()
	is(t, err, codes.NotFound, rpcerr.ReasonNotFound)
	w.put(w.registry, resource.LimitsKey, &storev1.LimitsRecord{Limits: &opsv1.Limits{
		MaxDocumentBytes: 1 << 20, MaxRulesPerSite: 12_000, MaxExpressionCost: 10_000, MaxPacketBytes: 9216, Version: 1,
	}})
	before, err := get()
	if err != nil || before.GetName() != "limits" || before.GetEtag() == "" || before.GetVersion() != 1 {
		t.Fatalf("got %v, %v", before, err)
	}
	update := func(l *opsv1.Limits) (*opsv1.Limits, error) {
		return w.limits.UpdateLimits(w.as("UpdateLimits"), &opsv1.UpdateLimitsRequest{Limits: l})
	}
	after, err := update(&opsv1.Limits{MaxPacketBytes: 4470, Etag: before.GetEtag(), Version: 99})
	if err != nil || after.GetMaxPacketBytes() != 4470 || after.GetVersion() != 2 || after.GetMaxRulesPerSite() != 12_000 {
		t.Fatalf("got %v, %v", after, err)
	}
	if now, err := get(); err != nil || now.GetMaxPacketBytes() != 4470 || now.GetEtag() != after.GetEtag() {
		t.Errorf("got %v, %v; want what was acknowledged", now, err)
	}
	_, err = update(&opsv1.Limits{MaxPacketBytes: 1500, Etag: before.GetEtag()})
	is(t, err, codes.Aborted, rpcerr.ReasonEtagMismatch)
	_, err = update(&opsv1.Limits{MaxPacketBytes: 100, MaxRulesPerSite: 1})
	if e := refusal(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField); len(e.Violations) != 2 {
		t.Errorf("violations = %v, want both", e.Violations)
	}
	w.audited("operator:ada UpdateLimits limits")
}

// lab is a simulator, a clock and logins that only note what they were asked.
type lab struct {
	bugs []*opsv1.Bug
	now  time.Time
	due  int
}

func (l *lab) AddBug(b *opsv1.Bug) error {
	l.bugs = append(l.bugs, b)
	return nil
}

func (l *lab) Bugs() []*opsv1.Bug { return l.bugs }

func (l *lab) RemoveBug(id string) bool     { return id == "known" }
func (l *lab) HasDataCenter(dc string) bool { return dc == "SJC" }
func (l *lab) Kill(dc string) bool          { return dc == "SJC" }
func (l *lab) Revive(dc string) bool        { return dc == "SJC" }
func (l *lab) Now() time.Time               { return l.now }

func (l *lab) RunDue(ctx context.Context) error {
	l.due++
	if info := call.From(ctx); info.IdempotencyKey != "" || info.FullMethod != "" {
		return errors.New("what is due runs as part of a call")
	}
	return nil
}

func (l *lab) AdvanceTo(_ context.Context, to time.Time) error {
	l.now = to
	return nil
}

func (l *lab) CreateLogin(_ context.Context, email string) (string, time.Time, error) {
	return "secret of " + email, l.now, nil
}

func TestDev(t *testing.T) {
	w := newWorld(t)
	l := &lab{now: w.clock.Now()}
	d := ops.NewDev(ops.DevConfig{Simulator: l, Clock: l, Logins: l, RunDue: l.RunDue, Writer: w.ctl.Writer, Logger: w.ctl.Logger})
	bug := &opsv1.Bug{BugId: "known", Match: "shop", Effect: opsv1.Bug_CRASH}
	if got, err := d.CreateBug(w.as("CreateBug"), &opsv1.CreateBugRequest{Bug: bug}); err != nil || got.GetBugId() != "known" {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := d.ListBugs(w.as("ListBugs"), &opsv1.ListBugsRequest{}); err != nil || len(got.GetBugs()) != 1 {
		t.Errorf("got %v, %v", got, err)
	}
	for name, fails := range map[string]bool{"SJC": false, "XXX": true} {
		if _, err := d.KillDataCenter(w.as("KillDataCenter"), &opsv1.KillDataCenterRequest{DataCenter: name}); (err != nil) != fails {
			t.Errorf("kill %s: %v", name, err)
		}
		if _, err := d.ReviveDataCenter(w.as("ReviveDataCenter"), &opsv1.ReviveDataCenterRequest{DataCenter: name}); (err != nil) != fails {
			t.Errorf("revive %s: %v", name, err)
		}
	}
	if _, err := d.DeleteBug(w.as("DeleteBug"), &opsv1.DeleteBugRequest{BugId: "known"}); err != nil {
		t.Error(err)
	}
	_, err := d.DeleteBug(w.as("DeleteBug"), &opsv1.DeleteBugRequest{BugId: "other"})
	is(t, err, codes.NotFound, rpcerr.ReasonNotFound)
	if got, err := d.CreateLogin(w.as("CreateLogin"), &opsv1.CreateLoginRequest{Email: "a@x.test"}); err != nil || got.GetSecret() != "secret of a@x.test" {
		t.Errorf("got %v, %v", got, err)
	}
	w.audited(
		"operator:ada CreateBug dev/bugs/known", "operator:ada KillDataCenter dev/dataCenters/SJC",
		"operator:ada ReviveDataCenter dev/dataCenters/SJC", "operator:ada DeleteBug dev/bugs/known",
		"operator:ada CreateLogin dev/logins/a@x.test",
	)
}

func TestDevControlsOnceForAKey(t *testing.T) {
	w := newWorld(t)
	start := w.clock.Now()
	l := &lab{now: start}
	d := ops.NewDev(ops.DevConfig{Simulator: l, Clock: l, Logins: l, RunDue: l.RunDue, Writer: w.ctl.Writer, Logger: w.ctl.Logger})
	hour := &opsv1.AdvanceClockRequest{By: durationpb.New(time.Hour)}
	dry := func(i *call.Info) { i.ValidateOnly = true }
	got, err := d.AdvanceClock(w.as("AdvanceClock", dry), hour)
	if err != nil || !got.GetNow().AsTime().Equal(start.Add(time.Hour)) || !l.now.Equal(start) || l.due != 0 {
		t.Errorf("validateOnly: %v, %v; the clock shows %v", got, err, l.now)
	}
	if made, err := d.CreateLogin(w.as("CreateLogin", dry), &opsv1.CreateLoginRequest{Email: "a@x.test"}); err != nil || made.GetSecret() != "" {
		t.Errorf("validateOnly: %v, %v", made, err)
	}
	_, err = d.KillDataCenter(w.as("KillDataCenter", dry), &opsv1.KillDataCenterRequest{DataCenter: "XXX"})
	is(t, err, codes.NotFound, rpcerr.ReasonNotFound)
	key := func(i *call.Info) { i.IdempotencyKey = "k" }
	for range 2 {
		if got, err = d.AdvanceClock(w.as("AdvanceClock", key), hour); err != nil || !got.GetNow().AsTime().Equal(start.Add(time.Hour)) {
			t.Errorf("with a key: %v, %v", got, err)
		}
	}
	if !l.now.Equal(start.Add(time.Hour)) || l.due != 2 {
		t.Errorf("the clock shows %v after %d runs", l.now, l.due)
	}
}

func TestDevClock(t *testing.T) {
	w := newWorld(t)
	start := w.clock.Now()
	l := &lab{now: start}
	d := ops.NewDev(ops.DevConfig{Clock: l, RunDue: l.RunDue, Writer: w.ctl.Writer, Logger: w.ctl.Logger})
	advance := func(req *opsv1.AdvanceClockRequest) (*opsv1.Clock, error) {
		return d.AdvanceClock(w.as("AdvanceClock"), req)
	}
	got, err := advance(&opsv1.AdvanceClockRequest{By: durationpb.New(time.Hour)})
	if err != nil || !got.GetNow().AsTime().Equal(start.Add(time.Hour)) || l.due != 2 { // Before it moves, and after.
		t.Errorf("got %v, %v after %d runs of what is due", got, err, l.due)
	}
	if got, err = advance(&opsv1.AdvanceClockRequest{To: timestamppb.New(start.Add(2 * time.Hour))}); err != nil || !got.GetNow().AsTime().Equal(start.Add(2*time.Hour)) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, req := range []*opsv1.AdvanceClockRequest{
		{}, {By: durationpb.New(1), To: timestamppb.New(start.Add(3 * time.Hour))}, {To: timestamppb.New(start)},
	} {
		_, err := advance(req)
		is(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField)
	}
	if l.due != 4 {
		t.Errorf("%d runs of what is due, want 4", l.due)
	}
}
