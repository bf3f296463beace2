package service

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

func siteMask(paths ...string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: paths} }

// TestChangePlan: with a good card the answer has the new plan and the site's new version,
// also where nobody had asked the provider for a customer before.
func TestChangePlan(t *testing.T) {
	w := newBillingWorld(t, true)
	refused := wantReason(t, w.app("prefetch", true), codes.FailedPrecondition, rpcerr.ReasonPlanRequired, "enabled")
	if refused.Metadata["requiredPlan"] != "business" || refused.Metadata["preview"] != "/v1/"+shopSubscription+":preview" {
		t.Errorf("a refusal links what it needs: %v", refused.Metadata)
	}
	before := w.subscription()
	s := w.mustChange("business")
	if s.GetPlan() != "business" || s.GetState() != breakwaterv1.Subscription_ACTIVE || s.GetVersion() != before.GetVersion()+1 ||
		s.GetName() != shopSubscription || s.GetEtag() == before.GetEtag() || w.get(shopSite).GetPlan() != "business" {
		t.Fatalf("%v", s)
	}
	if err := w.app("prefetch", true); err != nil {
		t.Fatal(err)
	}
	// What the preview says turns off is what does.
	preview, err := w.subscriptions.PreviewSubscription(w.as("PreviewSubscription"), &breakwaterv1.PreviewSubscriptionRequest{Name: shopSubscription, Plan: "pro"})
	if err != nil || len(preview.GetTurnsOff()) != 1 || preview.GetTurnsOff()[0].GetField() != "apps.prefetch" {
		t.Fatalf("%v, %v", preview, err)
	}
	down := w.mustChange("pro")
	if down.GetPlan() != "business" || down.GetPendingPlan() != "pro" || !down.GetCurrentPeriodEnd().AsTime().Equal(preview.GetEffectiveTime().AsTime()) {
		t.Fatalf("%v", down)
	}
	w.later(32 * 24 * time.Hour)
	rec := w.record("acme", "shop.test")
	if rec.GetSite().GetPlan() != "pro" || rec.GetConfig().GetApps()["prefetch"].GetEnabled() || !slices.Equal(rec.GetParked().GetApps(), []string{"prefetch"}) {
		t.Fatalf("after the period: %v", rec)
	}
}

// TestOwnerDecides: what a fall switched off does not come back against what the owner says
// meanwhile.
func TestOwnerDecides(t *testing.T) {
	for name, decide := range map[string]func(w *billingWorld) error{
		"by the app": func(w *billingWorld) error { return w.app("prefetch", false) },
		"by the configuration": func(w *billingWorld) error {
			_, err := w.sites.ConfigureSite(w.as("ConfigureSite"), &breakwaterv1.ConfigureSiteRequest{
				Name: shopSite, Apps: map[string]*breakwaterv1.ConfigureSiteRequest_AppChange{"prefetch": {Enabled: new(false)}},
			})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newBillingWorld(t, true)
			w.mustChange("business")
			if err := w.app("prefetch", true); err != nil {
				t.Fatal(err)
			}
			w.mustChange("free")
			w.later(32 * 24 * time.Hour)
			version := w.subscription().GetVersion()
			if err := decide(w); err != nil {
				t.Fatal(err)
			}
			if now := w.subscription().GetVersion(); now != version || len(w.record("acme", "shop.test").GetParked().GetApps()) != 0 {
				t.Errorf("what nobody sees made version %d after %d", now, version)
			}
			if w.mustChange("business"); w.record("acme", "shop.test").GetConfig().GetApps()["prefetch"].GetEnabled() {
				t.Error("it came back")
			}
		})
	}
}

// TestBotsFall: a fall switches the bot control off, and it comes back, unless the owner said
// meanwhile what shall be.
func TestBotsFall(t *testing.T) {
	for name, decided := range map[string]bool{"untouched": false, "decided": true} {
		t.Run(name, func(t *testing.T) {
			w := newBillingWorld(t, true)
			bots := func(mode breakwaterv1.ThreatSettings_Control_Mode) {
				in := &breakwaterv1.ThreatSettings{Name: shopSite + "/threatSettings", BotControl: mode}
				if _, err := w.updateThreats(in); err != nil {
					t.Fatal(err)
				}
			}
			mode := func() breakwaterv1.ThreatSettings_Control_Mode {
				return w.record("acme", "shop.test").GetConfig().GetThreatSettings().GetBotControl()
			}
			w.mustChange("pro")
			bots(breakwaterv1.ThreatSettings_Control_CHALLENGE)
			w.mustChange("free")
			w.later(32 * 24 * time.Hour)
			if got := mode(); got != breakwaterv1.ThreatSettings_Control_OFF {
				t.Fatalf("on free it is %v", got)
			}
			want := breakwaterv1.ThreatSettings_Control_CHALLENGE
			if decided {
				want = breakwaterv1.ThreatSettings_Control_OFF
				bots(want)
			}
			w.mustChange("pro")
			if got := mode(); got != want {
				t.Errorf("on pro again it is %v, not %v", got, want)
			}
		})
	}
}

// TestChangeAgain: a repeat makes no second change, and says what came of the first.
func TestChangeAgain(t *testing.T) {
	w := newBillingWorld(t, false)
	req := &breakwaterv1.ChangeSubscriptionRequest{Name: shopSubscription, Plan: "pro"}
	change := func() (*breakwaterv1.Subscription, error) {
		return w.subscriptions.ChangeSubscription(w.keyed("ChangeSubscription", "k1", req), req)
	}
	// Nobody does the work: the provider was not asked, so there is no card that is known.
	_, err := change()
	wantReason(t, err, codes.FailedPrecondition, rpcerr.ReasonPaymentMethodRequired, "")
	w.later(0)
	first, err := change()
	if err != nil || first.GetState() != breakwaterv1.Subscription_UPGRADING || first.GetPlan() != "free" || first.GetPendingPlan() != "pro" {
		t.Fatalf("the payment is under way: %v, %v", first, err)
	}
	other := &breakwaterv1.ChangeSubscriptionRequest{Name: shopSubscription, Plan: "business"}
	_, err = w.subscriptions.ChangeSubscription(w.keyed("ChangeSubscription", "k1", other), other)
	wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonIdempotencyKeyReused, "")
	_, err = w.change("business")
	if status := rpcerr.Status(err).Code(); status != codes.Aborted && status != codes.FailedPrecondition {
		t.Errorf("a second change at a time: %v", err)
	}
	w.later(0)
	again, err := change()
	if err != nil || again.GetState() != breakwaterv1.Subscription_ACTIVE || again.GetPlan() != "pro" {
		t.Errorf("the repeat: %v, %v", again, err)
	}
	if page, _, err := w.engine.Invoices(t.Context(), "acme", "", 10); err != nil || len(page) != 1 {
		t.Errorf("%d invoices, %v", len(page), err)
	}
}

// TestSubscriptionValidateOnly checks everything, and changes nothing.
func TestSubscriptionValidateOnly(t *testing.T) {
	w := newBillingWorld(t, true)
	dry := func(method string) context.Context {
		info := call.From(w.as(method))
		info.ValidateOnly = true
		return call.With(t.Context(), info)
	}
	pro := &breakwaterv1.ChangeSubscriptionRequest{Name: shopSubscription, Plan: "pro"}
	_, err := w.subscriptions.ChangeSubscription(dry("ChangeSubscription"), pro)
	wantReason(t, err, codes.FailedPrecondition, rpcerr.ReasonPaymentMethodRequired, "")
	if rec, err := w.payments.Record(t.Context(), "acme"); err != nil || !proto.Equal(rec, &storev1.BillingRecord{Account: "acme"}) {
		t.Errorf("something was stored: %v, %v", rec, err)
	}
	// An account that has a card.
	if !w.subscriptions.cfg.ask(w.as("ChangeSubscription"), "acme", hasCard) {
		t.Fatal("no card")
	}
	s, err := w.subscriptions.ChangeSubscription(dry("ChangeSubscription"), pro)
	if err != nil || s.GetPendingPlan() != "pro" {
		t.Errorf("%v, %v", s, err)
	}
	if s := w.subscription(); s.GetPlan() != "free" || s.GetPendingPlan() != "" {
		t.Errorf("something was stored: %v", s)
	}
	_, err = w.subscriptions.ChangeSubscription(dry("ChangeSubscription"), &breakwaterv1.ChangeSubscriptionRequest{Name: shopSubscription, Plan: "gold"})
	refusal := wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "plan")
	if want := `plan: there is no plan "gold": choose one of free, pro, business, enterprise`; refusal.Message != want {
		t.Errorf("%q, want %q", refusal.Message, want)
	}
	page, err := w.billing.CreateCheckoutSession(dry("CreateCheckoutSession"), &breakwaterv1.CreateCheckoutSessionRequest{
		Name: "accounts/acme/billing", SuccessUrl: "https://acme.example/",
	})
	if err != nil || page.GetUrl() != "" {
		t.Errorf("a page was made: %v, %v", page, err)
	}
}

// TestSubscriptionEtags: a change that crossed another one is refused.
func TestSubscriptionEtags(t *testing.T) {
	w := newBillingWorld(t, true)
	tag := w.subscription().GetEtag()
	w.mustChange("pro")
	for what, err := range map[string]error{
		"change": second(w.subscriptions.ChangeSubscription(w.as("ChangeSubscription"), &breakwaterv1.ChangeSubscriptionRequest{Name: shopSubscription, Plan: "business", Etag: tag})),
		"cancel": second(w.subscriptions.CancelSubscription(w.as("CancelSubscription"), &breakwaterv1.CancelSubscriptionRequest{Name: shopSubscription, Etag: tag})),
		"revoke": second(w.subscriptions.RevokeSubscription(w.as("RevokeSubscription"), &breakwaterv1.RevokeSubscriptionRequest{Name: shopSubscription, Etag: tag})),
	} {
		if rpcerr.Status(err).Code() != codes.Aborted {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := w.subscriptions.CancelSubscription(w.as("CancelSubscription"), &breakwaterv1.CancelSubscriptionRequest{Name: shopSubscription, Etag: w.subscription().GetEtag()}); err != nil {
		t.Error(err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestPaymentWaits: a payment that waits for the customer says what to do, and is given up
// by a cancel.
func TestPaymentWaits(t *testing.T) {
	w := newBillingWorld(t, true)
	w.card(storev1.Ledger_WAITS)
	s := w.mustChange("pro")
	if s.GetState() != breakwaterv1.Subscription_REQUIRES_ACTION || s.GetPendingAction().GetUrl() == "" || s.GetPlan() != "free" {
		t.Fatalf("%v", s)
	}
	// The secret is for who may pay.
	for permission, want := range map[string]bool{"subscription.get": false, "subscription.*": true} {
		info := call.From(w.as("GetSubscription"))
		info.Principal.Grants = []authn.Grant{{Account: "acme", Permissions: []string{permission}}}
		got, err := w.subscriptions.GetSubscription(call.With(t.Context(), info), &breakwaterv1.GetSubscriptionRequest{Name: shopSubscription})
		action := got.GetPendingAction()
		if err != nil || action.GetUrl() == "" || (action.GetClientSecret() != "") != want || got.GetEtag() != s.GetEtag() {
			t.Errorf("%s: %v, %v", permission, got, err)
		}
	}
	if _, err := w.subscriptions.CancelSubscription(w.as("CancelSubscription"), &breakwaterv1.CancelSubscriptionRequest{Name: shopSubscription}); err != nil {
		t.Fatal(err)
	}
	w.later(0)
	if s := w.subscription(); s.GetPlan() != "free" || s.GetPendingPlan() != "" || s.GetState() != breakwaterv1.Subscription_ACTIVE {
		t.Errorf("given up: %v", s)
	}
}

// TestBillingRefusal is the table from errors of billing to what callers are told.
func TestBillingRefusal(t *testing.T) {
	w := newSiteWorld(t)
	cause := errors.New("cause")
	for _, test := range []struct {
		err    error
		code   codes.Code
		reason rpcerr.Reason
	}{
		{billing.ErrPaymentMethodRequired, codes.FailedPrecondition, "PAYMENT_METHOD_REQUIRED"},
		{billing.ErrQuoteExpired, codes.FailedPrecondition, "QUOTE_EXPIRED"},
		{billing.ErrQuoteStale, codes.FailedPrecondition, "QUOTE_STALE"},
		{billing.ErrChangeInProgress, codes.Aborted, "CHANGE_IN_PROGRESS"},
		{&billing.StateError{Message: "no"}, codes.FailedPrecondition, "INVALID_STATE"},
		{&billing.UnknownPlanError{Plan: "gold"}, codes.InvalidArgument, "INVALID_FIELD"},
		{&billing.PaymentError{Code: "card_declined", Message: "no"}, codes.FailedPrecondition, "PAYMENT_METHOD_REQUIRED"},
		{billing.ErrNotFound, codes.NotFound, "NOT_FOUND"},
		{billing.ErrRetry, codes.Unavailable, "UNAVAILABLE"},
		{billing.ErrRefused, codes.Internal, "INTERNAL"},
	} {
		wantReason(t, billingRefusal(test.err, w.plans, shopSubscription), test.code, test.reason, "")
	}
	if got := billingRefusal(cause, w.plans, ""); !errors.Is(got, cause) {
		t.Errorf("another error became %v", got)
	}
}
