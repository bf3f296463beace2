package service

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// TestIfMatch sends the header with what has a tag of its own and with what has none yet.
func TestIfMatch(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	acme, err := w.accounts.GetAccount(w.as(owner), &breakwaterv1.GetAccountRequest{Name: "accounts/acme"})
	must(t, err)
	for name, try := range map[string]func(ctx context.Context) error{
		"update with the current etag": func(ctx context.Context) error {
			_, err := w.accounts.UpdateAccount(ctx, &breakwaterv1.UpdateAccountRequest{
				Account: &breakwaterv1.Account{Name: acme.GetName(), Etag: acme.GetEtag()}, UpdateMask: &fieldmaskpb.FieldMask{},
			})
			return err
		},
		"account": func(ctx context.Context) error {
			_, err := w.accounts.CreateAccount(ctx, &breakwaterv1.CreateAccountRequest{OwnerEmail: "owner@acme.test"})
			return err
		},
		"token": func(ctx context.Context) error {
			_, err := w.tokens.CreateToken(ctx, &breakwaterv1.CreateTokenRequest{Parent: acme.GetName(), Token: &breakwaterv1.Token{Permissions: []string{"*"}}})
			return err
		},
		"member": func(ctx context.Context) error {
			_, err := w.members.CreateMember(ctx, &breakwaterv1.CreateMemberRequest{
				Parent: acme.GetName(), Member: &breakwaterv1.Member{Email: "b@x.test", Role: breakwaterv1.Member_VIEWER},
			})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w.refused(try(w.as(owner, call.MetadataIfMatch, `"stale"`)), "ETAG_MISMATCH")
			must(t, try(w.as(owner, call.MetadataIfMatch, "*")))
		})
	}
}

// TestIfMatchOfASite is the same for what belongs to sites.
func TestIfMatchOfASite(t *testing.T) {
	w := newSiteWorld(t)
	s := w.settings(w.create("acme", "shop.example").GetName())
	with := func(tag string) context.Context {
		info := call.From(w.as("Any"))
		info.IfMatch = tag
		return call.With(t.Context(), info)
	}
	update := &breakwaterv1.UpdateSettingsRequest{Settings: &breakwaterv1.Settings{Name: s.GetName(), Etag: s.GetEtag(), HttpsRedirect: true}}
	_, err := w.set.UpdateSettings(with("stale"), update)
	wantReason(t, err, codes.Aborted, rpcerr.ReasonEtagMismatch, "")
	_, err = w.set.UpdateSettings(with(s.GetEtag()), update)
	must(t, err)
	create := &breakwaterv1.CreateSiteRequest{Parent: "accounts/acme", Site: &breakwaterv1.Site{Domain: "two.example"}}
	_, err = w.sites.CreateSite(with("stale"), create)
	wantReason(t, err, codes.Aborted, rpcerr.ReasonEtagMismatch, "")
	_, err = w.sites.CreateSite(with(""), create)
	must(t, err)
}
