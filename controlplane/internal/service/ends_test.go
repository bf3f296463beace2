package service

import (
	"testing"

	"google.golang.org/grpc/codes"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// TestEnds: who deletes a site or an account pays for nothing after the period, unless they
// bring it back before.
func TestEnds(t *testing.T) {
	w := newBillingWorld(t, true)
	w.mustChange("pro")
	deleteSite := func() error {
		return second(w.sites.DeleteSite(w.as("DeleteSite"), &breakwaterv1.DeleteSiteRequest{Name: shopSite}))
	}
	undeleteSite := func() error {
		return second(w.sites.UndeleteSite(w.as("UndeleteSite"), &breakwaterv1.UndeleteSiteRequest{Name: shopSite}))
	}
	deleteAccount := func() error {
		return second(w.accounts.DeleteAccount(w.as("DeleteAccount"), &breakwaterv1.DeleteAccountRequest{Name: "accounts/acme"}))
	}
	undeleteAccount := func() error {
		return second(w.accounts.UndeleteAccount(w.as("UndeleteAccount"), &breakwaterv1.UndeleteAccountRequest{Name: "accounts/acme"}))
	}
	for _, step := range []struct {
		what string
		do   func() error
		next string
	}{
		{"a deleted site", deleteSite, "free"},
		{"brought back", undeleteSite, ""},
		{"in a deleted account", deleteAccount, "free"},
		{"brought back with it", undeleteAccount, ""},
		{"deleted by itself", deleteSite, "free"},
		{"and with the account", deleteAccount, "free"},
		{"still deleted", undeleteAccount, "free"},
		{"and back", undeleteSite, ""},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		if s := w.subscription(); s.GetPlan() != "pro" || s.GetPendingPlan() != step.next {
			t.Fatalf("%s: %v", step.what, s)
		}
	}
	if err := deleteSite(); err != nil {
		t.Fatal(err)
	}
	_, err := w.change("business")
	wantReason(t, err, codes.FailedPrecondition, rpcerr.ReasonInvalidState, "")
}

// TestGivenUp: an upgrade that waits for the customer, and that they give up, did not fail.
func TestGivenUp(t *testing.T) {
	w := newBillingWorld(t, true)
	w.mustChange("pro")
	w.card(storev1.Ledger_WAITS)
	if s := w.mustChange("business"); s.GetState() != breakwaterv1.Subscription_REQUIRES_ACTION {
		t.Fatalf("%v", s)
	}
	if err := second(w.subscriptions.CancelSubscription(w.as("CancelSubscription"), &breakwaterv1.CancelSubscriptionRequest{Name: shopSubscription})); err != nil {
		t.Fatal(err)
	}
	w.later(0)
	if s := w.subscription(); s.GetPlan() != "pro" || s.GetPendingPlan() != "" || s.GetFailure() != "" {
		t.Errorf("given up: %v", s)
	}
}
