package ops

import (
	"context"
	"log/slog"
	"strings"
	"time"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/payments"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Reconciler compares accounts with the payment provider. A [payments.Reconciler] is one.
type Reconciler interface {
	Account(ctx context.Context, account string, repair bool) ([]billing.Difference, error)
	Some(ctx context.Context, after string, limit payments.Limit, repair bool) (payments.Round, error)
}

// Billing is the operators' BillingService.
type Billing struct {
	opsv1.UnimplementedBillingServiceServer
	reconciler Reconciler
	writer     *change.Writer
	log        *slog.Logger
}

// NewBilling returns the service; the writer keeps the answers for idempotency keys, and log
// takes the operators' log.
func NewBilling(reconciler Reconciler, writer *change.Writer, log *slog.Logger) *Billing {
	return &Billing{reconciler: reconciler, writer: writer, log: log}
}

// Bounds of one Reconcile: what it does not get to is left to the next one.
const (
	reconcileAccounts    = 1000
	reconcileDifferences = 1000
	reconcileTime        = 15 * time.Second
)

// Reconcile compares accounts with the payment provider.
func (b *Billing) Reconcile(ctx context.Context, req *opsv1.ReconcileRequest) (*opsv1.ReconcileResponse, error) {
	var out *opsv1.ReconcileResponse
	name := "billing"
	if req.GetAccount() != "" {
		name = req.GetAccount() + "/billing"
	}
	return do(ctx, b.writer, b.log, name, func(tx *change.Tx) (*opsv1.ReconcileResponse, error) {
		if out != nil {
			return out, nil // What the comparison found does not depend on the registry's revision.
		}
		if err := accountExists(tx, req.GetAccount()); err != nil {
			return nil, err
		}
		found, err := b.reconcile(ctx, req, !tx.Call().ValidateOnly)
		out = found
		return out, err
	})
}

// accountExists refuses the name of an account that nobody has; an empty one is none.
func accountExists(tx *change.Tx, name string) error {
	if name == "" {
		return nil
	}
	account, ok := strings.CutPrefix(name, "accounts/")
	if !ok || !resource.ValidAccountID(account) {
		return rpcerr.InvalidField("account", "resource_name", "%q is not a name of the form accounts/{account}", name)
	}
	err := tx.Get(resource.ForAccount(account).Record(), &storev1.AccountRecord{})
	if isNotFound(err) {
		return rpcerr.NotFound(name)
	}
	return err
}

func (b *Billing) reconcile(ctx context.Context, req *opsv1.ReconcileRequest, repair bool) (*opsv1.ReconcileResponse, error) {
	out := &opsv1.ReconcileResponse{}
	if req.GetAccount() != "" {
		account := strings.TrimPrefix(req.GetAccount(), "accounts/")
		differences, err := b.reconciler.Account(ctx, account, repair)
		if err != nil {
			return nil, notCompared(err)
		}
		out.Accounts = 1
		for _, d := range differences {
			out.Differences = append(out.Differences, differenceView(account, d))
		}
		return out, nil
	}
	if after := req.GetAfterAccount(); after != "" && !resource.ValidAccountID(strings.TrimPrefix(after, "accounts/")) {
		return nil, rpcerr.InvalidField("afterAccount", "resource_name", "%q is not a name of the form accounts/{account}", after)
	}
	round, err := b.reconciler.Some(ctx, strings.TrimPrefix(req.GetAfterAccount(), "accounts/"), payments.Limit{
		Accounts: reconcileAccounts, Findings: reconcileDifferences, Time: reconcileTime,
	}, repair)
	if err != nil {
		return nil, notCompared(err)
	}
	out.Accounts = int32(round.Accounts)
	for _, f := range round.Findings {
		out.Differences = append(out.Differences, differenceView(f.Account, f.Difference))
	}
	if round.More {
		out.NextAccount = resource.AccountName(round.Last)
	}
	return out, nil
}

// notCompared says that the payment provider, or the store, does not answer.
func notCompared(err error) error {
	return rpcerr.Unavailable(2*time.Second, "accounts can't be compared with the payment provider now: try again").WithCause(err)
}

func differenceView(account string, d billing.Difference) *opsv1.Difference {
	return &opsv1.Difference{Account: resource.AccountName(account), Kind: d.Kind, Ours: d.Ours, Theirs: d.Theirs, Repaired: d.Repaired}
}
