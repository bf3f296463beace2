package service

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/masks"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/payments"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Billing implements BillingService.
type Billing struct {
	breakwaterv1.UnimplementedBillingServiceServer
	cfg BillingBase
}

// NewBilling makes the service of how accounts pay.
func NewBilling(cfg BillingBase) *Billing { return &Billing{cfg: cfg} }

var _ breakwaterv1.BillingServiceServer = (*Billing)(nil)

// billingName parses `accounts/{account}/billing`.
func billingName(name string) (resource.Name, error) {
	n, err := resource.ParseName(name)
	if err != nil {
		return n, err
	}
	if n.String() != resource.BillingName(n.Account) {
		return n, rpcerr.InvalidField("name", "resource_name", "%q is not a name of the form accounts/{account}/billing", name)
	}
	return n, nil
}

// shown is how an account pays as the API shows it.
func (s *Billing) shown(name resource.Name, rec *storev1.BillingRecord) *breakwaterv1.Billing {
	out := s.cfg.Engine.Billing(rec)
	out.Name, out.Etag = name.String(), billingEtag(rec.GetDetails())
	return out
}

// billingEtag covers what can be updated.
func billingEtag(details *breakwaterv1.Billing) string {
	return resource.Etag(&breakwaterv1.Billing{
		Email: details.GetEmail(), LegalName: details.GetLegalName(), Address: details.GetAddress(), TaxIds: details.GetTaxIds(),
	})
}

// GetBilling implements BillingService.
func (s *Billing) GetBilling(ctx context.Context, req *breakwaterv1.GetBillingRequest) (*breakwaterv1.Billing, error) {
	name, err := billingName(req.GetName())
	if err != nil {
		return nil, err
	}
	view, err := s.cfg.Source.Read(ctx)
	if err != nil {
		return nil, err
	}
	if err := accountMustExist(view, name); err != nil {
		return nil, err
	}
	rec, err := payments.RecordFrom(view, name.Account)
	if err != nil {
		return nil, err
	}
	return s.shown(name, rec), nil
}

// UpdateBilling implements BillingService. The payment provider learns of it a moment later.
func (s *Billing) UpdateBilling(ctx context.Context, req *breakwaterv1.UpdateBillingRequest) (*breakwaterv1.Billing, error) {
	in := req.GetBilling()
	name, err := billingName(in.GetName())
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.cfg.Writer, name.Tenant(), func(tx *change.Tx) (*breakwaterv1.Billing, error) {
		var out *breakwaterv1.Billing
		err := s.cfg.Payments.Within(tx, name.Account, func(b billing.Tx) error {
			rec := b.Record()
			if err := siteMeets(tx, in.GetEtag(), billingEtag(rec.GetDetails()), name.String()); err != nil {
				return err
			}
			details := proto.CloneOf(rec.GetDetails())
			if details == nil {
				details = &breakwaterv1.Billing{}
			}
			changed, err := masks.Apply(details, in, req.GetUpdateMask(), masks.Options{})
			if err != nil {
				return err
			}
			if len(changed) > 0 {
				if err := billingDetails(rec.GetDetails(), details); err != nil {
					return err
				}
				if err := s.cfg.Engine.SetDetails(b, details); err != nil {
					return err
				}
				tx.Audit(&breakwaterv1.AuditEvent{
					Resource: name.String(), Summary: "billing details changed", ChangedFields: changed,
				})
			}
			out = s.shown(name, b.Record())
			return nil
		})
		return out, billingRefusal(err, s.cfg.Plans, name.String())
	})
}

// billingKey is the key by which the payment provider knows a repeat of a call. A call
// without an idempotency key is one of its own.
func (s *Billing) billingKey(info call.Info, now time.Time) string {
	if info.IdempotencyKey == "" {
		return "bw-" + s.cfg.NewID(now)
	}
	h := sha256.New()
	for _, part := range []string{info.Principal.ID, info.Principal.OnBehalfOf, info.FullMethod, info.IdempotencyKey, string(info.RequestDigest[:])} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return "bw-" + hex.EncodeToString(h.Sum(nil)[:16])
}

// billingSession runs a call that makes a page for the customer. Its answer opens the
// account's payments to whoever has it, so it is kept sealed.
func billingSession[R proto.Message](
	ctx context.Context, s *Billing, full string, answer func(*billing.Session) R,
	open func(ctx context.Context, account, key string) (*billing.Session, error),
) (R, error) {
	var none R
	name, err := billingName(full)
	if err != nil {
		return none, err
	}
	out, err := billingOpen(ctx, s, name, answer, open)
	known := func(rec *storev1.BillingRecord) bool { return rec.GetCustomer() != "" }
	if errors.Is(err, billing.ErrCustomerPending) && s.cfg.ask(ctx, name.Account, known) {
		return billingOpen(ctx, s, name, answer, open)
	}
	return out, err
}

func billingOpen[R proto.Message](
	ctx context.Context, s *Billing, name resource.Name, answer func(*billing.Session) R,
	open func(ctx context.Context, account, key string) (*billing.Session, error),
) (R, error) {
	var (
		none R
		made *billing.Session
	)
	return change.Do(ctx, s.cfg.Writer, name.Tenant(), func(tx *change.Tx) (R, error) {
		account := resource.Name{Account: name.Account, Collection: "accounts", ID: name.Account}
		if err := siteAccountOpen(tx, account); err != nil {
			return none, err
		}
		if tx.Call().ValidateOnly {
			return answer(&billing.Session{}), nil
		}
		if made == nil {
			var err error
			if made, err = open(ctx, name.Account, s.billingKey(tx.Call(), tx.Now())); err != nil {
				return none, billingRefusal(err, s.cfg.Plans, name.String())
			}
		}
		tx.SecretIn(name.String())
		tx.Audit(&breakwaterv1.AuditEvent{Resource: name.String(), Summary: "a page for payments was opened"})
		return answer(made), nil
	})
}

// CreateCheckoutSession implements BillingService.
func (s *Billing) CreateCheckoutSession(ctx context.Context, req *breakwaterv1.CreateCheckoutSessionRequest) (*breakwaterv1.CreateCheckoutSessionResponse, error) {
	cancelURL := req.GetCancelUrl()
	if cancelURL == "" {
		cancelURL = req.GetSuccessUrl()
	}
	for _, page := range []struct{ field, url string }{{"successUrl", req.GetSuccessUrl()}, {"cancelUrl", cancelURL}} {
		if err := billingURL(page.field, page.url); err != nil {
			return nil, err
		}
	}
	return billingSession(ctx, s, req.GetName(), func(made *billing.Session) *breakwaterv1.CreateCheckoutSessionResponse {
		return &breakwaterv1.CreateCheckoutSessionResponse{Url: made.URL, ExpireTime: billingTime(made.Expires)}
	}, func(ctx context.Context, account, key string) (*billing.Session, error) {
		return s.cfg.Engine.Checkout(ctx, account, key, req.GetSuccessUrl(), cancelURL)
	})
}

// CreatePortalSession implements BillingService.
func (s *Billing) CreatePortalSession(ctx context.Context, req *breakwaterv1.CreatePortalSessionRequest) (*breakwaterv1.CreatePortalSessionResponse, error) {
	if err := billingURL("returnUrl", req.GetReturnUrl()); err != nil {
		return nil, err
	}
	return billingSession(ctx, s, req.GetName(), func(made *billing.Session) *breakwaterv1.CreatePortalSessionResponse {
		return &breakwaterv1.CreatePortalSessionResponse{Url: made.URL}
	}, func(ctx context.Context, account, key string) (*billing.Session, error) {
		return s.cfg.Engine.Portal(ctx, account, key, req.GetReturnUrl())
	})
}
