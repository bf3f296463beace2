package ops

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Simulator is the simulated fleet of a development server.
type Simulator interface {
	// AddBug gives every data plane a bug, replacing one of the same ID.
	AddBug(bug *opsv1.Bug) error
	// Bugs lists the bugs in order of their IDs.
	Bugs() []*opsv1.Bug
	// RemoveBug mends a bug; false when there is none of that ID.
	RemoveBug(id string) bool
	// Kill stops all servers of a data center; false when there is no such data center.
	Kill(dataCenter string) bool
	// Revive starts them again.
	Revive(dataCenter string) bool
}

// Clock is the clock of soak, expiry and billing.
type Clock interface {
	Now() time.Time
	// AdvanceTo moves the clock forward, durably. It never goes back.
	AdvanceTo(ctx context.Context, to time.Time) error
}

// Logins makes logins of people.
type Logins interface {
	CreateLogin(ctx context.Context, email string) (secret string, expires time.Time, err error)
}

// DevConfig is what the DevService needs.
type DevConfig struct {
	Simulator Simulator
	Clock     Clock
	Logins    Logins
	// RunDue does all work that is due by the clock, and returns when it is done.
	RunDue func(ctx context.Context) error
	// Logger takes the operators' log.
	Logger *slog.Logger
}

// Dev is the DevService. A production server does not register it.
type Dev struct {
	opsv1.UnimplementedDevServiceServer
	cfg DevConfig
}

// NewDev returns the service.
func NewDev(cfg DevConfig) *Dev { return &Dev{cfg: cfg} }

func (d *Dev) audit(ctx context.Context, name string) { Audit(ctx, d.cfg.Logger, "dev/"+name, nil) }

// CreateBug gives every simulated data plane a bug.
func (d *Dev) CreateBug(ctx context.Context, req *opsv1.CreateBugRequest) (*opsv1.Bug, error) {
	if err := d.cfg.Simulator.AddBug(req.GetBug()); err != nil {
		return nil, err
	}
	d.audit(ctx, "bugs/"+req.GetBug().GetBugId())
	return req.GetBug(), nil
}

// ListBugs lists the bugs.
func (d *Dev) ListBugs(context.Context, *opsv1.ListBugsRequest) (*opsv1.ListBugsResponse, error) {
	return &opsv1.ListBugsResponse{Bugs: d.cfg.Simulator.Bugs()}, nil
}

// DeleteBug mends a bug.
func (d *Dev) DeleteBug(ctx context.Context, req *opsv1.DeleteBugRequest) (*emptypb.Empty, error) {
	if !d.cfg.Simulator.RemoveBug(req.GetBugId()) {
		return nil, rpcerr.NotFound("dev/bugs/" + req.GetBugId())
	}
	d.audit(ctx, "bugs/"+req.GetBugId())
	return &emptypb.Empty{}, nil
}

// KillDataCenter stops all servers of a data center.
func (d *Dev) KillDataCenter(ctx context.Context, req *opsv1.KillDataCenterRequest) (*emptypb.Empty, error) {
	if !d.cfg.Simulator.Kill(req.GetDataCenter()) {
		return nil, rpcerr.NotFound("dev/dataCenters/" + req.GetDataCenter())
	}
	d.audit(ctx, "dataCenters/"+req.GetDataCenter())
	return &emptypb.Empty{}, nil
}

// ReviveDataCenter starts them again.
func (d *Dev) ReviveDataCenter(ctx context.Context, req *opsv1.ReviveDataCenterRequest) (*emptypb.Empty, error) {
	if !d.cfg.Simulator.Revive(req.GetDataCenter()) {
		return nil, rpcerr.NotFound("dev/dataCenters/" + req.GetDataCenter())
	}
	d.audit(ctx, "dataCenters/"+req.GetDataCenter())
	return &emptypb.Empty{}, nil
}

// AdvanceClock moves the clock forward and waits for the work that fell due.
func (d *Dev) AdvanceClock(ctx context.Context, req *opsv1.AdvanceClockRequest) (*opsv1.Clock, error) {
	now := d.cfg.Clock.Now()
	to := now
	switch {
	case req.GetBy() != nil && req.GetTo() != nil:
		return nil, rpcerr.InvalidField("by", "oneof", "only one of by and to is given")
	case req.GetBy() != nil:
		to = now.Add(req.GetBy().AsDuration())
	case req.GetTo() != nil:
		to = req.GetTo().AsTime()
		if to.Before(now) {
			return nil, rpcerr.InvalidField("to", "future", "is not before %s: the clock never goes back", now.Format(time.RFC3339))
		}
	default:
		return nil, rpcerr.InvalidField("by", "required", "by or to is given")
	}
	if err := d.cfg.Clock.AdvanceTo(ctx, to); err != nil {
		return nil, err
	}
	d.audit(ctx, "clock")
	if err := d.cfg.RunDue(ctx); err != nil {
		return nil, err
	}
	return d.GetClock(ctx, nil)
}

// GetClock says what time it is.
func (d *Dev) GetClock(context.Context, *opsv1.GetClockRequest) (*opsv1.Clock, error) {
	return &opsv1.Clock{Now: timestamppb.New(d.cfg.Clock.Now())}, nil
}

// CreateLogin makes a login of a person.
func (d *Dev) CreateLogin(ctx context.Context, req *opsv1.CreateLoginRequest) (*opsv1.CreateLoginResponse, error) {
	secret, expires, err := d.cfg.Logins.CreateLogin(ctx, req.GetEmail())
	if err != nil {
		return nil, err
	}
	d.audit(ctx, "logins/"+req.GetEmail())
	return &opsv1.CreateLoginResponse{Secret: secret, ExpireTime: timestamppb.New(expires)}, nil
}
