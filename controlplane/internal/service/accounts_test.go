package service

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/fieldmaskpb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
)

func TestCreateAccountByOperator(t *testing.T) {
	w := newAccountWorld(t)
	a, err := w.accounts.CreateAccount(w.op(), &breakwaterv1.CreateAccountRequest{
		AccountId: "acme", OwnerEmail: "Ann@Acme.test",
		Account: &breakwaterv1.Account{DisplayName: "Acme", Labels: map[string]string{"team": "a"}},
	})
	must(t, err)
	if a.GetName() != "accounts/acme" || a.GetDisplayName() != "Acme" || a.GetEtag() == "" || a.GetUid() == "" || a.GetCreateTime() == nil {
		t.Errorf("account %v", a)
	}
	_, err = w.accounts.CreateAccount(w.op(), &breakwaterv1.CreateAccountRequest{AccountId: "acme", OwnerEmail: "b@acme.test"})
	w.refused(err, "ALREADY_EXISTS")
	_, err = w.accounts.CreateAccount(w.op(), &breakwaterv1.CreateAccountRequest{AccountId: "operator", OwnerEmail: "b@acme.test"})
	w.refused(err, "INVALID_FIELD")

	// The owner was invited and sees nothing before accepting.
	owner := w.login("ann@acme.test")
	_, err = w.accounts.GetAccount(w.as(owner), &breakwaterv1.GetAccountRequest{Name: "accounts/acme"})
	w.refused(err, "PERMISSION_DENIED")
	members, err := w.members.ListMembers(w.op(), &breakwaterv1.ListMembersRequest{Parent: "accounts/acme"})
	must(t, err)
	if len(members.GetMembers()) != 1 || members.GetMembers()[0].GetState() != breakwaterv1.Member_INVITED {
		t.Fatalf("members %v", members)
	}
	_, err = w.members.AcceptMember(w.as(owner), &breakwaterv1.AcceptMemberRequest{Name: members.GetMembers()[0].GetName()})
	must(t, err)
	got, err := w.accounts.GetAccount(w.as(owner), &breakwaterv1.GetAccountRequest{Name: "accounts/acme"})
	must(t, err)
	if got.GetEtag() != a.GetEtag() {
		t.Errorf("etag %q, then %q", a.GetEtag(), got.GetEtag())
	}

	made, err := w.accounts.CreateAccount(w.op(), &breakwaterv1.CreateAccountRequest{OwnerEmail: "x@x.test"})
	must(t, err)
	if len(made.GetName()) < len("accounts/abc") || made.GetDisplayName() == "" {
		t.Errorf("an account without an ID: %v", made)
	}
}

func TestCreateAccountByLogin(t *testing.T) {
	w := newAccountWorld(t)
	ann := w.login("ann@acme.test")
	_, err := w.accounts.CreateAccount(w.as(ann), &breakwaterv1.CreateAccountRequest{AccountId: "acme", OwnerEmail: "bob@acme.test"})
	w.refused(err, "PERMISSION_DENIED")
	_, err = w.accounts.CreateAccount(w.as(ann), &breakwaterv1.CreateAccountRequest{AccountId: "acme", OwnerEmail: "ann@acme.test"})
	must(t, err)
	if _, err := w.accounts.GetAccount(w.as(ann), &breakwaterv1.GetAccountRequest{Name: "accounts/acme"}); err != nil {
		t.Errorf("the owner at once: %v", err)
	}
	_, secret := w.token(ann, &breakwaterv1.Token{Permissions: []string{"*"}})
	_, err = w.accounts.CreateAccount(w.as(secret), &breakwaterv1.CreateAccountRequest{AccountId: "beta", OwnerEmail: "ann@acme.test"})
	w.refused(err, "PERMISSION_DENIED")
}

func TestUpdateAccount(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	before, err := w.accounts.GetAccount(w.as(owner), &breakwaterv1.GetAccountRequest{Name: "accounts/acme"})
	must(t, err)
	update := func(a *breakwaterv1.Account, mask ...string) (*breakwaterv1.Account, error) {
		t.Helper()
		a.Name = "accounts/acme"
		req := &breakwaterv1.UpdateAccountRequest{Account: a}
		if mask != nil {
			req.UpdateMask = &fieldmaskpb.FieldMask{Paths: mask}
		}
		return w.accounts.UpdateAccount(w.as(owner), req)
	}
	w.clock.Advance(time.Minute)
	after, err := update(&breakwaterv1.Account{DisplayName: "New", Etag: before.GetEtag(), Uid: "mine"})
	must(t, err)
	if after.GetDisplayName() != "New" || after.GetUid() != before.GetUid() || after.GetEtag() == before.GetEtag() ||
		!after.GetUpdateTime().AsTime().After(before.GetUpdateTime().AsTime()) {
		t.Errorf("account %v", after)
	}
	_, err = update(&breakwaterv1.Account{DisplayName: "Other", Etag: before.GetEtag()})
	w.refused(err, "ETAG_MISMATCH")
	_, err = w.accounts.UpdateAccount(w.as(owner, call.MetadataIfMatch, `"`+before.GetEtag()+`"`),
		&breakwaterv1.UpdateAccountRequest{Account: &breakwaterv1.Account{Name: "accounts/acme", DisplayName: "Other"}})
	w.refused(err, "ETAG_MISMATCH")
	_, err = update(&breakwaterv1.Account{}, "nonsense")
	w.refused(err, "INVALID_FIELD")
	same, err := update(&breakwaterv1.Account{DisplayName: "New"})
	must(t, err)
	if same.GetEtag() != after.GetEtag() {
		t.Error("a change of nothing changed the etag")
	}
	cleared, err := update(&breakwaterv1.Account{}, "displayName")
	must(t, err)
	if cleared.GetDisplayName() != "acme" {
		t.Errorf("cleared: %v", cleared)
	}
}

func TestDeleteAndUndeleteAccount(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	_, admin := w.member("acme", "admin@acme.test", breakwaterv1.Member_ADMIN)
	name := "accounts/acme"
	_, err := w.accounts.DeleteAccount(w.as(admin), &breakwaterv1.DeleteAccountRequest{Name: name})
	w.refused(err, "PERMISSION_DENIED")
	_, err = w.accounts.UndeleteAccount(w.as(owner), &breakwaterv1.UndeleteAccountRequest{Name: name})
	w.refused(err, "INVALID_STATE")
	_, err = w.accounts.DeleteAccount(w.as(owner), &breakwaterv1.DeleteAccountRequest{Name: name, Etag: "x"})
	w.refused(err, "ETAG_MISMATCH")
	a, err := w.accounts.DeleteAccount(w.as(owner), &breakwaterv1.DeleteAccountRequest{Name: name})
	must(t, err)
	if a.GetDeleteTime() == nil || a.GetPurgeTime().AsTime() != w.clock.Now().Add(30*24*time.Hour) {
		t.Errorf("account %v", a)
	}
	_, err = w.accounts.DeleteAccount(w.as(owner), &breakwaterv1.DeleteAccountRequest{Name: name})
	w.refused(err, "INVALID_STATE")
	_, err = w.accounts.UpdateAccount(w.as(owner), &breakwaterv1.UpdateAccountRequest{Account: &breakwaterv1.Account{Name: name, DisplayName: "x"}})
	w.refused(err, "INVALID_STATE")
	_, err = w.tokens.CreateToken(w.as(owner), &breakwaterv1.CreateTokenRequest{Parent: name, Token: &breakwaterv1.Token{Permissions: []string{"*"}}})
	w.refused(err, "INVALID_STATE")

	for deleted, want := range map[bool]int{false: 0, true: 1} {
		list, err := w.accounts.ListAccounts(w.as(owner), &breakwaterv1.ListAccountsRequest{ShowDeleted: deleted})
		must(t, err)
		if len(list.GetAccounts()) != want {
			t.Errorf("showDeleted %v: %v", deleted, list)
		}
	}
	a, err = w.accounts.UndeleteAccount(w.as(owner), &breakwaterv1.UndeleteAccountRequest{Name: name})
	must(t, err)
	if a.GetDeleteTime() != nil || a.GetPurgeTime() != nil {
		t.Errorf("account %v", a)
	}
	_, err = w.accounts.DeleteAccount(w.as(owner), &breakwaterv1.DeleteAccountRequest{Name: name})
	must(t, err)
	w.clock.Advance(30 * 24 * time.Hour)
	_, err = w.accounts.UndeleteAccount(w.op(), &breakwaterv1.UndeleteAccountRequest{Name: name})
	w.refused(err, "INVALID_STATE")
}

func TestListAccounts(t *testing.T) {
	w := newAccountWorld(t)
	for i := range 5 {
		w.account(fmt.Sprintf("acme%d", i))
	}
	var names []string
	token := ""
	for {
		list, err := w.accounts.ListAccounts(w.op(), &breakwaterv1.ListAccountsRequest{PageSize: 2, PageToken: token, Filter: `displayName != "acme3"`})
		must(t, err)
		for _, a := range list.GetAccounts() {
			names = append(names, a.GetName())
		}
		if token = list.GetNextPageToken(); token == "" {
			break
		}
	}
	if want := "[accounts/acme0 accounts/acme1 accounts/acme2 accounts/acme4]"; fmt.Sprint(names) != want {
		t.Errorf("the operator sees %v", names)
	}
	list, err := w.accounts.ListAccounts(w.as(w.login("owner@acme2.test")), &breakwaterv1.ListAccountsRequest{})
	must(t, err)
	if len(list.GetAccounts()) != 1 || list.GetAccounts()[0].GetName() != "accounts/acme2" {
		t.Errorf("an owner sees %v", list)
	}
	list, err = w.accounts.ListAccounts(w.as(w.login("nobody@x.test")), &breakwaterv1.ListAccountsRequest{})
	must(t, err)
	if len(list.GetAccounts()) != 0 {
		t.Errorf("a stranger sees %v", list)
	}
	_, err = w.accounts.ListAccounts(w.op(), &breakwaterv1.ListAccountsRequest{PageSize: -1})
	w.refused(err, "INVALID_FIELD")
}

func TestNotFoundComesAfterPermission(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	_, err := w.accounts.GetAccount(w.as(owner), &breakwaterv1.GetAccountRequest{Name: "accounts/none"})
	w.refused(err, "PERMISSION_DENIED")
	_, err = w.accounts.GetAccount(w.op(), &breakwaterv1.GetAccountRequest{Name: "accounts/none"})
	w.refused(err, "NOT_FOUND")
	_, err = w.members.GetMember(w.as(owner), &breakwaterv1.GetMemberRequest{Name: "accounts/acme/members/none"})
	w.refused(err, "NOT_FOUND")
	_, err = w.tokens.GetToken(w.as(owner), &breakwaterv1.GetTokenRequest{Name: "accounts/acme/tokens/none"})
	w.refused(err, "NOT_FOUND")
	_, err = w.members.ListMembers(w.op(), &breakwaterv1.ListMembersRequest{Parent: "accounts/none"})
	w.refused(err, "NOT_FOUND")
	_, err = w.members.CreateMember(w.op(), &breakwaterv1.CreateMemberRequest{
		Parent: "accounts/none", Member: &breakwaterv1.Member{Email: "x@x.test", Role: breakwaterv1.Member_VIEWER},
	})
	w.refused(err, "NOT_FOUND")
}

func TestValidateOnlyAccount(t *testing.T) {
	w := newAccountWorld(t)
	a, err := w.accounts.CreateAccount(w.op(), &breakwaterv1.CreateAccountRequest{AccountId: "acme", OwnerEmail: "a@x.test", ValidateOnly: true})
	must(t, err)
	if a.GetName() != "accounts/acme" {
		t.Errorf("account %v", a)
	}
	_, err = w.accounts.GetAccount(w.op(), &breakwaterv1.GetAccountRequest{Name: "accounts/acme"})
	w.refused(err, "NOT_FOUND")
	w.account("acme")
	_, err = w.accounts.CreateAccount(w.op(), &breakwaterv1.CreateAccountRequest{AccountId: "acme", OwnerEmail: "a@x.test", ValidateOnly: true})
	w.refused(err, "ALREADY_EXISTS")
}
