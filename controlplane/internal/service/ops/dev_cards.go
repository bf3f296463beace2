package ops

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// CreateCard gives an account the test card that it pays with from now on.
func (d *Dev) CreateCard(ctx context.Context, req *opsv1.CreateCardRequest) (*opsv1.Card, error) {
	if d.cfg.Cards == nil {
		return nil, rpcerr.Failed(codes.Unimplemented, rpcerr.ReasonUnimplemented, "payments are not kept here")
	}
	account := strings.TrimPrefix(req.GetAccount(), "accounts/")
	if !resource.ValidAccountID(account) {
		return nil, rpcerr.InvalidField("account", "resource_name", "%q is no account's name or ID", req.GetAccount())
	}
	name := resource.AccountName(account)
	// What the card sets off is the system's work, not part of this call.
	system := call.With(ctx, call.Info{})
	return steer(ctx, d, name+"/card", func(*change.Tx) (*opsv1.Card, error) {
		switch ok, err := d.cfg.Cards.HasAccount(ctx, account); {
		case err != nil:
			return nil, err
		case !ok:
			return nil, rpcerr.NotFound(name)
		}
		return &opsv1.Card{Account: name, Behavior: req.GetBehavior()}, nil
	}, func() error { return d.cfg.Cards.SetCard(system, account, req.GetBehavior()) })
}
