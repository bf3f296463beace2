package ops

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
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
	// HasDataCenter says whether there is such a data center.
	HasDataCenter(dataCenter string) bool
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

// Cards gives accounts test cards.
type Cards interface {
	// HasAccount says whether there is such an account.
	HasAccount(ctx context.Context, account string) (bool, error)
	// SetCard says what becomes of an account's payments from now on.
	SetCard(ctx context.Context, account string, behavior opsv1.Card_Behavior) error
}

// DevConfig is what the DevService needs.
type DevConfig struct {
	Simulator Simulator
	Clock     Clock
	Logins    Logins
	// Cards may be nil: then payments are not kept here.
	Cards Cards
	// Writer keeps the answers for idempotency keys.
	Writer *change.Writer
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

// steer decides about a control and then does it: once for an idempotency key, and not at
// all with validateOnly. The answer is kept before the effect, so a repeat never doubles it.
func steer[R proto.Message](
	ctx context.Context, d *Dev, name string, decide func(tx *change.Tx) (R, error), effect func() error,
) (R, error) {
	out, repeated, err := Changed(ctx, d.cfg.Writer, decide)
	if err == nil && !repeated && !call.From(ctx).ValidateOnly {
		err = effect()
	}
	if err == nil && !repeated {
		Audit(ctx, d.cfg.Logger, "dev/"+name, nil)
	}
	return out, err
}

// nothing answers a control that has no more to say once check is content.
func nothing(check func() error) func(*change.Tx) (*emptypb.Empty, error) {
	return func(*change.Tx) (*emptypb.Empty, error) { return &emptypb.Empty{}, check() }
}

// CreateBug gives every simulated data plane a bug.
func (d *Dev) CreateBug(ctx context.Context, req *opsv1.CreateBugRequest) (*opsv1.Bug, error) {
	bug := req.GetBug()
	return steer(ctx, d, "bugs/"+bug.GetBugId(),
		func(*change.Tx) (*opsv1.Bug, error) { return bug, nil },
		func() error { return d.cfg.Simulator.AddBug(bug) })
}

// ListBugs lists the bugs.
func (d *Dev) ListBugs(context.Context, *opsv1.ListBugsRequest) (*opsv1.ListBugsResponse, error) {
	return &opsv1.ListBugsResponse{Bugs: d.cfg.Simulator.Bugs()}, nil
}

// DeleteBug mends a bug.
func (d *Dev) DeleteBug(ctx context.Context, req *opsv1.DeleteBugRequest) (*emptypb.Empty, error) {
	name := "bugs/" + req.GetBugId()
	return steer(ctx, d, name, nothing(func() error {
		for _, b := range d.cfg.Simulator.Bugs() {
			if b.GetBugId() == req.GetBugId() {
				return nil
			}
		}
		return rpcerr.NotFound("dev/" + name)
	}), func() error {
		if !d.cfg.Simulator.RemoveBug(req.GetBugId()) {
			return rpcerr.NotFound("dev/" + name)
		}
		return nil
	})
}

// KillDataCenter stops all servers of a data center.
func (d *Dev) KillDataCenter(ctx context.Context, req *opsv1.KillDataCenterRequest) (*emptypb.Empty, error) {
	return d.power(ctx, req.GetDataCenter(), d.cfg.Simulator.Kill)
}

// ReviveDataCenter starts them again.
func (d *Dev) ReviveDataCenter(ctx context.Context, req *opsv1.ReviveDataCenterRequest) (*emptypb.Empty, error) {
	return d.power(ctx, req.GetDataCenter(), d.cfg.Simulator.Revive)
}

func (d *Dev) power(ctx context.Context, dataCenter string, turn func(string) bool) (*emptypb.Empty, error) {
	name := "dataCenters/" + dataCenter
	return steer(ctx, d, name, nothing(func() error {
		if !d.cfg.Simulator.HasDataCenter(dataCenter) {
			return rpcerr.NotFound("dev/" + name)
		}
		return nil
	}), func() error {
		if !turn(dataCenter) {
			return rpcerr.NotFound("dev/" + name)
		}
		return nil
	})
}

// AdvanceClock moves the clock forward and waits for the work that fell due.
func (d *Dev) AdvanceClock(ctx context.Context, req *opsv1.AdvanceClockRequest) (*opsv1.Clock, error) {
	to, err := d.destination(req)
	if err != nil {
		return nil, err
	}
	// What falls due is the system's work and not part of this call: its changes must not
	// take the call's idempotency key or etag for theirs.
	system := call.With(ctx, call.Info{})
	return steer(ctx, d, "clock",
		func(*change.Tx) (*opsv1.Clock, error) { return &opsv1.Clock{Now: timestamppb.New(to)}, nil },
		func() error {
			// What was asked for before the clock moved is done at its own time.
			if err := d.cfg.RunDue(system); err != nil {
				return err
			}
			if err := d.cfg.Clock.AdvanceTo(system, to); err != nil {
				return err
			}
			return d.cfg.RunDue(system)
		})
}

// destination is the time that the clock shall show.
func (d *Dev) destination(req *opsv1.AdvanceClockRequest) (time.Time, error) {
	now := d.cfg.Clock.Now()
	switch {
	case req.GetBy() != nil && req.GetTo() != nil:
		return now, rpcerr.InvalidField("by", "oneof", "only one of by and to is given")
	case req.GetBy() != nil:
		return now.Add(req.GetBy().AsDuration()), nil
	case req.GetTo() == nil:
		return now, rpcerr.InvalidField("by", "required", "by or to is given")
	}
	to := req.GetTo().AsTime()
	if to.Before(now) {
		return now, rpcerr.InvalidField("to", "future", "is not before %s: the clock never goes back", now.Format(time.RFC3339))
	}
	return to, nil
}

// GetClock says what time it is.
func (d *Dev) GetClock(context.Context, *opsv1.GetClockRequest) (*opsv1.Clock, error) {
	return &opsv1.Clock{Now: timestamppb.New(d.cfg.Clock.Now())}, nil
}

// CreateLogin makes a login of a person.
func (d *Dev) CreateLogin(ctx context.Context, req *opsv1.CreateLoginRequest) (*opsv1.CreateLoginResponse, error) {
	name := "logins/" + req.GetEmail()
	made := &opsv1.CreateLoginResponse{}
	return steer(ctx, d, name, func(tx *change.Tx) (*opsv1.CreateLoginResponse, error) {
		if made.GetSecret() != "" || tx.Call().ValidateOnly {
			return made, nil
		}
		// A repeat makes a login in vain that nobody learns of: its answer is the kept one.
		secret, expires, err := d.cfg.Logins.CreateLogin(ctx, req.GetEmail())
		if err != nil {
			return nil, err
		}
		made.Secret, made.ExpireTime = secret, timestamppb.New(expires)
		tx.SecretIn("dev/" + name)
		return made, nil
	}, func() error { return nil })
}
