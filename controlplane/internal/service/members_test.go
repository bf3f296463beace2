package service

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz/permission"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

func (w *accountWorld) invite(as, email string, role breakwaterv1.Member_Role, sites ...string) (*breakwaterv1.Member, error) {
	w.Helper()
	return w.members.CreateMember(w.as(as), &breakwaterv1.CreateMemberRequest{
		Parent: "accounts/acme", Member: &breakwaterv1.Member{Email: email, Role: role, Sites: sites},
	})
}

func (w *accountWorld) setRole(as, name string, role breakwaterv1.Member_Role) error {
	w.Helper()
	_, err := w.members.UpdateMember(w.as(as), &breakwaterv1.UpdateMemberRequest{
		Member: &breakwaterv1.Member{Name: name, Role: role}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"role"}},
	})
	return err
}

func (w *accountWorld) removeMember(as, name string) error {
	w.Helper()
	_, err := w.members.DeleteMember(w.as(as), &breakwaterv1.DeleteMemberRequest{Name: name})
	return err
}

// letters are those that wait to be sent, by the beginning of their IDs.
func (w *accountWorld) letters(prefix string) []*storev1.Mail {
	w.Helper()
	page, err := w.store.List(w.Context(), registry.ListRequest{Prefix: resource.Outbox("mail-" + prefix)})
	must(w.T, err)
	out := make([]*storev1.Mail, len(page.KVs))
	for i, kv := range page.KVs {
		item := &storev1.OutboxItem{}
		must(w.T, proto.Unmarshal(kv.Value, item))
		out[i] = &storev1.Mail{}
		must(w.T, proto.Unmarshal(item.GetPayload(), out[i]))
	}
	return out
}

func TestInvite(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	m, err := w.invite(owner, "Ed@X.test", breakwaterv1.Member_EDITOR, "BÜCHER.test", "a.test", "a.test")
	must(t, err)
	if m.GetEmail() != "ed@x.test" || m.GetState() != breakwaterv1.Member_INVITED || len(m.GetSites()) != 2 || m.GetSites()[1] != "xn--bcher-kva.test" {
		t.Errorf("member %v", m)
	}
	letters := w.letters("acme-invite-" + m.GetName()[len("accounts/acme/members/"):])
	if len(letters) != 1 || letters[0].GetTo()[0] != "ed@x.test" || !strings.Contains(letters[0].GetText(), m.GetName()+":accept") {
		t.Errorf("letters %v", letters)
	}
	_, err = w.invite(owner, "ed@x.test", breakwaterv1.Member_VIEWER)
	w.refused(err, "ALREADY_EXISTS")
	_, err = w.invite(owner, "b@x.test", breakwaterv1.Member_ROLE_UNSPECIFIED)
	w.refused(err, "INVALID_FIELD")
	_, err = w.invite(owner, "", breakwaterv1.Member_VIEWER)
	w.refused(err, "INVALID_FIELD")
	_, err = w.invite(owner, "b@x.test", breakwaterv1.Member_ADMIN, "a.test")
	w.refused(err, "INVALID_FIELD")
	_, err = w.invite(owner, "b@x.test", breakwaterv1.Member_VIEWER, "*")
	w.refused(err, "INVALID_FIELD")
	_, err = w.invite(owner, "nobody", breakwaterv1.Member_VIEWER)
	w.refused(err, "INVALID_FIELD")
}

func TestAccept(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	m, err := w.invite(owner, "ed@x.test", breakwaterv1.Member_EDITOR)
	must(t, err)
	accept := func(as string) error {
		t.Helper()
		_, err := w.members.AcceptMember(w.as(as), &breakwaterv1.AcceptMemberRequest{Name: m.GetName()})
		return err
	}
	w.refused(accept(w.operator), "PERMISSION_DENIED")
	w.refused(accept(w.login("eve@x.test")), "PERMISSION_DENIED")
	w.refused(accept(owner), "PERMISSION_DENIED")
	// A stranger learns nothing by an entity tag either.
	_, err = w.members.AcceptMember(w.as(w.login("eve@x.test"), call.MetadataIfMatch, `"stale"`), &breakwaterv1.AcceptMemberRequest{Name: m.GetName()})
	w.refused(err, "PERMISSION_DENIED")
	ed := w.login("ed@x.test")
	_, err = w.members.AcceptMember(w.as(ed, call.MetadataIfMatch, `"stale"`), &breakwaterv1.AcceptMemberRequest{Name: m.GetName()})
	w.refused(err, "ETAG_MISMATCH")
	_, err = w.accounts.GetAccount(w.as(ed), &breakwaterv1.GetAccountRequest{Name: "accounts/acme"})
	w.refused(err, "PERMISSION_DENIED")
	must(t, accept(ed))
	_, err = w.accounts.GetAccount(w.as(ed), &breakwaterv1.GetAccountRequest{Name: "accounts/acme"})
	must(t, err)
	must(t, accept(ed))
	_, err = w.members.AcceptMember(w.as(ed), &breakwaterv1.AcceptMemberRequest{Name: "accounts/other/members/x"})
	w.refused(err, "PERMISSION_DENIED")
}

func TestAnAccountKeepsAnOwner(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	list, err := w.members.ListMembers(w.as(owner), &breakwaterv1.ListMembersRequest{Parent: "accounts/acme"})
	must(t, err)
	first := list.GetMembers()[0].GetName()
	w.refused(w.setRole(owner, first, breakwaterv1.Member_ADMIN), "INVALID_STATE")
	w.refused(w.removeMember(owner, first), "INVALID_STATE")
	w.refused(w.removeMember(w.operator, first), "INVALID_STATE")
	invited, err := w.invite(owner, "two@x.test", breakwaterv1.Member_OWNER)
	must(t, err)
	// Somebody who has not accepted can't take the place of one who has.
	w.refused(w.removeMember(owner, first), "INVALID_STATE")
	two := w.login("two@x.test")
	_, err = w.members.AcceptMember(w.as(two), &breakwaterv1.AcceptMemberRequest{Name: invited.GetName()})
	must(t, err)

	// Both leave at once: one of them stays.
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i, name := range []string{first, invited.GetName()} {
		wg.Go(func() { errs[i] = w.removeMember(w.operator, name) })
	}
	wg.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Errorf("both owners left, or none: %v", errs)
	}
}

func TestAdminsDoNotDecideAboutOwners(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	adminName, admin := w.member("acme", "admin@x.test", breakwaterv1.Member_ADMIN)
	secondName, _ := w.member("acme", "second@x.test", breakwaterv1.Member_OWNER)
	viewerName, _ := w.member("acme", "viewer@x.test", breakwaterv1.Member_VIEWER)
	_, err := w.invite(admin, "b@x.test", breakwaterv1.Member_EDITOR)
	must(t, err)
	_, err = w.invite(admin, "c@x.test", breakwaterv1.Member_OWNER)
	w.refused(err, "PERMISSION_DENIED")
	w.refused(w.setRole(admin, adminName, breakwaterv1.Member_OWNER), "PERMISSION_DENIED")
	w.refused(w.setRole(admin, secondName, breakwaterv1.Member_VIEWER), "PERMISSION_DENIED")
	w.refused(w.removeMember(admin, secondName), "PERMISSION_DENIED")
	must(t, w.setRole(admin, viewerName, breakwaterv1.Member_EDITOR))
	_, secret := w.token(admin, &breakwaterv1.Token{Permissions: []string{"members.update", "members.create"}})
	w.refused(w.setRole(secret, adminName, breakwaterv1.Member_OWNER), "PERMISSION_DENIED")
	must(t, w.setRole(owner, secondName, breakwaterv1.Member_VIEWER))
	must(t, w.removeMember(owner, secondName))
}

// TestNobodyGivesMoreThanTheyHave states in full which roles each caller gives, by an
// invitation and by a change. O, A, E, B, V are the roles.
func TestNobodyGivesMoreThanTheyHave(t *testing.T) {
	letters := map[string]breakwaterv1.Member_Role{
		"O": breakwaterv1.Member_OWNER, "A": breakwaterv1.Member_ADMIN, "E": breakwaterv1.Member_EDITOR,
		"B": breakwaterv1.Member_BILLING, "V": breakwaterv1.Member_VIEWER,
	}
	w := newAccountWorld(t)
	owner := w.account("acme")
	_, admin := w.member("acme", "admin@x.test", breakwaterv1.Member_ADMIN)
	token := func(sites []string, permissions ...string) string {
		_, secret := w.token(owner, &breakwaterv1.Token{Permissions: permissions, Sites: sites})
		return secret
	}
	write := []string{"members.create", "members.update"}
	reads := slices.DeleteFunc(authz.Permissions(), func(p string) bool {
		return !permission.Granted(permission.OfRole(breakwaterv1.Member_VIEWER), p)
	})
	for _, tc := range []struct{ name, as, gives string }{
		{"operator", w.operator, "OAEBV"},
		{"owner", owner, "OAEBV"},
		{"admin", admin, "AEBV"},
		{"token with everything", token(nil, "*"), "OAEBV"},
		{"token that invites", token(nil, write...), ""},
		{"token of a collection", token(nil, "members.*"), ""},
		{"token that invites and reads", token(nil, append(write, reads...)...), "V"},
		{"token of all but billing", token(nil, "members.*", "accounts.*", "sites.*", "versions.*", "propagation.*", "settings.*", "dnsRecords.*",
			"apps.*", "threatSettings.*", "threatEvents.*", "analytics.*"), "E"},
		{"token of a site", token([]string{"a.test"}, "*"), ""},
	} {
		for letter, role := range letters {
			email := strings.ToLower(letter) + strings.ReplaceAll(tc.name, " ", "") + "@x.test"
			_, err := w.invite(tc.as, email, role)
			changed, errMake := w.invite(owner, "changed"+email, breakwaterv1.Member_EDITOR, "a.test")
			must(t, errMake)
			_, errChange := w.members.UpdateMember(w.as(tc.as), &breakwaterv1.UpdateMemberRequest{
				Member:     &breakwaterv1.Member{Name: changed.GetName(), Role: role},
				UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"role", "sites"}},
			})
			for _, err := range []error{err, errChange} {
				if strings.Contains(tc.gives, letter) {
					must(t, err)
					continue
				}
				if err == nil {
					t.Errorf("%s gives %s", tc.name, role)
				}
				w.refused(err, "PERMISSION_DENIED")
			}
		}
	}
	// What gives nobody anything needs the permission only.
	name, _ := w.member("acme", "ed@x.test", breakwaterv1.Member_EDITOR)
	_, err := w.members.UpdateMember(w.as(token(nil, write...)), &breakwaterv1.UpdateMemberRequest{
		Member: &breakwaterv1.Member{Name: name, Labels: map[string]string{"a": "b"}}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"labels"}},
	})
	must(t, err)
}

func TestUpdateMember(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	m, err := w.invite(owner, "ed@x.test", breakwaterv1.Member_EDITOR, "a.test")
	must(t, err)
	update := func(change *breakwaterv1.Member, mask ...string) (*breakwaterv1.Member, error) {
		t.Helper()
		change.Name = m.GetName()
		return w.members.UpdateMember(w.as(owner), &breakwaterv1.UpdateMemberRequest{Member: change, UpdateMask: &fieldmaskpb.FieldMask{Paths: mask}})
	}
	w.clock.Advance(time.Minute)
	got, err := update(&breakwaterv1.Member{Sites: []string{"B.test", "a.test"}, State: breakwaterv1.Member_ACTIVE}, "sites", "state")
	must(t, err)
	if len(got.GetSites()) != 2 || got.GetSites()[1] != "b.test" || got.GetState() != breakwaterv1.Member_INVITED {
		t.Errorf("member %v", got)
	}
	_, err = update(&breakwaterv1.Member{Email: "other@x.test"}, "email")
	w.refused(err, "INVALID_FIELD")
	_, err = update(&breakwaterv1.Member{Email: "ED@x.test"}, "email")
	must(t, err)
	_, err = update(&breakwaterv1.Member{Role: breakwaterv1.Member_ADMIN}, "role")
	w.refused(err, "INVALID_FIELD")
	_, err = update(&breakwaterv1.Member{Role: breakwaterv1.Member_ADMIN}, "role", "sites")
	must(t, err)
	_, err = update(&breakwaterv1.Member{}, "role")
	w.refused(err, "INVALID_FIELD")
	_, err = update(&breakwaterv1.Member{Etag: m.GetEtag(), Labels: map[string]string{"a": "b"}}, "labels")
	w.refused(err, "ETAG_MISMATCH")
}

// TestRolesTakeEffect changes a member's role and expects it to hold for the next call.
func TestRolesTakeEffect(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	name, person := w.member("acme", "ed@x.test", breakwaterv1.Member_ADMIN)
	_, err := w.invite(person, "b@x.test", breakwaterv1.Member_VIEWER)
	must(t, err)
	must(t, w.setRole(owner, name, breakwaterv1.Member_VIEWER))
	_, err = w.invite(person, "c@x.test", breakwaterv1.Member_VIEWER)
	w.refused(err, "PERMISSION_DENIED")
	must(t, w.removeMember(owner, name))
	_, err = w.members.ListMembers(w.as(person), &breakwaterv1.ListMembersRequest{Parent: "accounts/acme"})
	w.refused(err, "PERMISSION_DENIED")
	// Invited again, the person is another member, who has to accept.
	_, err = w.invite(owner, "ed@x.test", breakwaterv1.Member_VIEWER)
	must(t, err)
}

func TestListMembers(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	for _, email := range []string{"a@x.test", "b@x.test", "c@x.test"} {
		_, err := w.invite(owner, email, breakwaterv1.Member_VIEWER)
		must(t, err)
	}
	list, err := w.members.ListMembers(w.as(owner), &breakwaterv1.ListMembersRequest{Parent: "accounts/acme", Filter: "role = VIEWER", PageSize: 2})
	must(t, err)
	if len(list.GetMembers()) != 2 || list.GetNextPageToken() == "" {
		t.Errorf("page %v", list)
	}
	list, err = w.members.ListMembers(w.as(owner), &breakwaterv1.ListMembersRequest{
		Parent: "accounts/acme", Filter: "role = VIEWER", PageSize: 2, PageToken: list.GetNextPageToken(),
	})
	must(t, err)
	if len(list.GetMembers()) != 1 || list.GetNextPageToken() != "" {
		t.Errorf("page %v", list)
	}
}
