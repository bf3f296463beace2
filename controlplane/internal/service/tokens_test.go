package service

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

func (w *accountWorld) tryToken(as string, t *breakwaterv1.Token) error {
	w.Helper()
	_, err := w.tokens.CreateToken(w.as(as), &breakwaterv1.CreateTokenRequest{Parent: "accounts/acme", Token: t})
	return err
}

// works says whether a credential gets into the account.
func (w *accountWorld) works(credential string) bool {
	w.Helper()
	_, err := w.accounts.GetAccount(w.as(credential), &breakwaterv1.GetAccountRequest{Name: "accounts/acme"})
	return err == nil
}

func TestCreateToken(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	end := w.clock.Now().Add(time.Hour)
	token, secret := w.token(owner, &breakwaterv1.Token{
		DisplayName: "CI", Permissions: []string{"settings.*", "accounts.get", "accounts.get"}, Sites: []string{"Shop.test"},
		AllowedCidrs: []string{"192.0.2.0/24", "::ffff:198.51.100.0/120"}, ExpireTime: timestamppb.New(end), Labels: map[string]string{"a": "b"},
	})
	if !slices.Equal(token.GetPermissions(), []string{"accounts.get", "settings.*"}) || !slices.Equal(token.GetSites(), []string{"shop.test"}) ||
		!slices.Equal(token.GetAllowedCidrs(), []string{"192.0.2.0/24", "198.51.100.0/24"}) || token.GetCreator() != "user:owner@acme.test" ||
		token.GetDisabled() || token.GetEtag() == "" || !strings.HasPrefix(secret, "bwt_"+strings.TrimPrefix(token.GetName(), "accounts/acme/tokens/")) {
		t.Errorf("token %v", token)
	}
	got, err := w.tokens.GetToken(w.as(owner), &breakwaterv1.GetTokenRequest{Name: token.GetName()})
	must(t, err)
	if got.GetEtag() != token.GetEtag() {
		t.Errorf("etag %q, then %q", token.GetEtag(), got.GetEtag())
	}
	if w.works(secret) {
		t.Error("the token works from an address that it is not allowed from")
	}
	if _, err := w.accounts.GetAccount(w.as(secret, call.MetadataPeer, "192.0.2.200:1"), &breakwaterv1.GetAccountRequest{Name: "accounts/acme"}); err != nil {
		t.Errorf("from an allowed address: %v", err)
	}
	page, err := w.store.List(t.Context(), registry.ListRequest{Limit: 10_000})
	must(t, err)
	for _, kv := range page.KVs {
		if strings.Contains(string(kv.Value), secret) {
			t.Errorf("%s holds the secret", kv.Key)
		}
	}

	for name, bad := range map[string]*breakwaterv1.Token{
		"no permission":         {},
		"no such collection":    {Permissions: []string{"nonsense.get"}},
		"no such verb":          {Permissions: []string{"sites.gett"}},
		"operators' verb":       {Permissions: []string{"sites.suspend"}},
		"operators' permission": {Permissions: []string{"dataCenters.drain"}},
		"malformed":             {Permissions: []string{"sites"}},
		"past":                  {Permissions: []string{"*"}, ExpireTime: timestamppb.New(w.clock.Now())},
		"no domain":             {Permissions: []string{"*"}, Sites: []string{"*"}},
		"no network":            {Permissions: []string{"*"}, AllowedCidrs: []string{"1.2.3.4"}},
	} {
		err := w.tryToken(owner, bad)
		if err == nil {
			t.Errorf("%s: taken", name)
		}
		w.refused(err, "INVALID_FIELD")
	}
}

func TestMisspelledPermission(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	err := w.tryToken(owner, &breakwaterv1.Token{Permissions: []string{"sites.get", "site.get", "sites.checkactivation"}})
	w.refused(err, "INVALID_FIELD")
	want := map[string]string{"permissions[1]": "sites.get,", "permissions[2]": "near it are sites.checkActivation"}
	for _, v := range violations(err) {
		if words, ok := want[v.GetField()]; !ok || !strings.Contains(v.GetDescription(), words) {
			t.Errorf("violation %v", v)
		}
		delete(want, v.GetField())
	}
	if len(want) > 0 {
		t.Errorf("%v lacks %v", err, want)
	}
	must(t, w.tryToken(w.operator, &breakwaterv1.Token{Permissions: []string{"members.impersonate", "members.manageOwners", "accounts.list", "alerts.*"}}))
}

// TestTokensNeverExceedTheirMakers tries every way to get more than one has.
func TestTokensNeverExceedTheirMakers(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	_, admin := w.member("acme", "admin@x.test", breakwaterv1.Member_ADMIN)
	end := w.clock.Now().Add(time.Hour)
	_, maker := w.token(owner, &breakwaterv1.Token{
		Permissions: []string{"tokens.*", "sites.*", "accounts.get"}, Sites: []string{"a.test", "b.test"},
		AllowedCidrs: []string{"127.0.0.0/8", "0.0.0.0/0", "::/0"}, ExpireTime: timestamppb.New(end),
	})
	within := func() *breakwaterv1.Token {
		return &breakwaterv1.Token{
			Permissions: []string{"sites.get"}, Sites: []string{"a.test"}, AllowedCidrs: []string{"127.0.0.0/16"}, ExpireTime: timestamppb.New(end),
		}
	}
	from := func(change func(*breakwaterv1.Token)) error {
		t.Helper()
		token := within()
		change(token)
		_, err := w.tokens.CreateToken(w.as(maker, call.MetadataPeer, "127.0.0.1:1"), &breakwaterv1.CreateTokenRequest{Parent: "accounts/acme", Token: token})
		return err
	}
	must(t, from(func(*breakwaterv1.Token) {}))
	for name, change := range map[string]func(*breakwaterv1.Token){
		"everything":        func(t *breakwaterv1.Token) { t.Permissions = []string{"*"} },
		"another":           func(t *breakwaterv1.Token) { t.Permissions = []string{"sites.get", "settings.get"} },
		"a whole one":       func(t *breakwaterv1.Token) { t.Permissions = []string{"accounts.*"} },
		"all sites":         func(t *breakwaterv1.Token) { t.Sites = nil },
		"another site":      func(t *breakwaterv1.Token) { t.Sites = []string{"a.test", "c.test"} },
		"from anywhere":     func(t *breakwaterv1.Token) { t.AllowedCidrs = nil },
		"longer":            func(t *breakwaterv1.Token) { t.ExpireTime = timestamppb.New(end.Add(time.Second)) },
		"for ever":          func(t *breakwaterv1.Token) { t.ExpireTime = nil },
		"acting for others": func(t *breakwaterv1.Token) { t.Permissions = []string{"members.impersonate"} },
	} {
		err := from(change)
		if err == nil {
			t.Errorf("%s: taken", name)
		}
		w.refused(err, "PERMISSION_DENIED")
	}
	// Nor by rolling a stronger one, or by way of roles and wildcards.
	strong, _ := w.token(owner, &breakwaterv1.Token{Permissions: []string{"*"}})
	_, err := w.tokens.RollToken(w.as(maker, call.MetadataPeer, "127.0.0.1:1"), &breakwaterv1.RollTokenRequest{Name: strong.GetName()})
	w.refused(err, "PERMISSION_DENIED")
	w.refused(w.tryToken(admin, &breakwaterv1.Token{Permissions: []string{"*"}}), "PERMISSION_DENIED")
	w.refused(w.tryToken(admin, &breakwaterv1.Token{Permissions: []string{"accounts.delete"}}), "PERMISSION_DENIED")
	w.refused(w.tryToken(admin, &breakwaterv1.Token{Permissions: []string{"members.*"}}), "PERMISSION_DENIED")
	w.refused(w.tryToken(owner, &breakwaterv1.Token{Permissions: []string{"members.impersonate"}}), "PERMISSION_DENIED")
	must(t, w.tryToken(w.operator, &breakwaterv1.Token{Permissions: []string{"members.impersonate", "*"}}))
}

// TestLimitedToSitesRevokesNoMore lets a token of one site try to revoke others.
func TestLimitedToSitesRevokesNoMore(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	_, admin := w.member("acme", "admin@x.test", breakwaterv1.Member_ADMIN)
	limited, secret := w.token(owner, &breakwaterv1.Token{Permissions: []string{"sites.*", "tokens.*"}, Sites: []string{"a.test"}})
	revoke := func(as string, t *breakwaterv1.Token) error {
		_, err := w.tokens.DeleteToken(w.as(as), &breakwaterv1.DeleteTokenRequest{Name: t.GetName()})
		return err
	}
	strong, _ := w.token(owner, &breakwaterv1.Token{Permissions: []string{"*"}})
	for name, other := range map[string]*breakwaterv1.Token{
		"all sites":    {Permissions: []string{"sites.get"}},
		"another site": {Permissions: []string{"sites.get"}, Sites: []string{"b.test"}},
		"one more":     {Permissions: []string{"sites.get"}, Sites: []string{"a.test", "b.test"}},
		"more rights":  {Permissions: []string{"dnsRecords.get"}, Sites: []string{"a.test"}},
	} {
		token, _ := w.token(owner, other)
		err := revoke(secret, token)
		if err == nil {
			t.Errorf("%s: revoked", name)
		}
		w.refused(err, "PERMISSION_DENIED")
	}
	w.refused(revoke(secret, strong), "PERMISSION_DENIED")
	within, _ := w.token(owner, &breakwaterv1.Token{Permissions: []string{"sites.get"}, Sites: []string{"a.test"}})
	must(t, revoke(secret, within))
	// A token ends itself, and who is not limited revokes whatever the account has.
	must(t, revoke(secret, limited))
	must(t, revoke(admin, strong))
}

func TestChainsOfTokensAreBounded(t *testing.T) {
	w := newAccountWorld(t)
	maker := w.account("acme")
	for i := range 20 {
		made, err := w.tokens.CreateToken(w.as(maker), &breakwaterv1.CreateTokenRequest{
			Parent: "accounts/acme", Token: &breakwaterv1.Token{Permissions: []string{"tokens.*", "accounts.get"}},
		})
		if err != nil {
			if i != 8 {
				t.Errorf("the chain ended after %d", i)
			}
			w.refused(err, "INVALID_STATE")
			return
		}
		if maker = made.GetSecret(); !w.works(maker) {
			t.Fatalf("token %d does not work", i)
		}
	}
	t.Error("the chain has no end")
}

func TestRevokeAndRoll(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	token, first := w.token(owner, &breakwaterv1.Token{Permissions: []string{"accounts.get"}})
	_, err := w.tokens.RollToken(w.as(owner), &breakwaterv1.RollTokenRequest{Name: token.GetName(), Etag: "x"})
	w.refused(err, "ETAG_MISMATCH")
	w.clock.Advance(time.Minute)
	rolled, err := w.tokens.RollToken(w.as(owner), &breakwaterv1.RollTokenRequest{Name: token.GetName(), Etag: token.GetEtag()})
	must(t, err)
	if w.works(first) || !w.works(rolled.GetSecret()) || rolled.GetToken().GetName() != token.GetName() || rolled.GetToken().GetEtag() == token.GetEtag() {
		t.Errorf("after the roll: %v", rolled.GetToken())
	}
	_, err = w.tokens.DeleteToken(w.as(owner), &breakwaterv1.DeleteTokenRequest{Name: token.GetName(), Etag: token.GetEtag()})
	w.refused(err, "ETAG_MISMATCH")
	_, err = w.tokens.DeleteToken(w.as(owner), &breakwaterv1.DeleteTokenRequest{Name: token.GetName()})
	must(t, err)
	if w.works(rolled.GetSecret()) {
		t.Error("a revoked token works")
	}
	_, err = w.tokens.DeleteToken(w.as(owner), &breakwaterv1.DeleteTokenRequest{Name: token.GetName()})
	w.refused(err, "NOT_FOUND")

	expiring, _ := w.token(owner, &breakwaterv1.Token{Permissions: []string{"accounts.get"}, ExpireTime: timestamppb.New(w.clock.Now().Add(time.Minute))})
	w.clock.Advance(time.Minute)
	_, err = w.tokens.RollToken(w.as(owner), &breakwaterv1.RollTokenRequest{Name: expiring.GetName()})
	w.refused(err, "INVALID_STATE")
}

func TestKeptSecretsDieWithTheirToken(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	create := func() (*breakwaterv1.CreateTokenResponse, error) {
		return w.tokens.CreateToken(w.as(owner), &breakwaterv1.CreateTokenRequest{
			Parent: "accounts/acme", RequestId: "k", Token: &breakwaterv1.Token{Permissions: []string{"accounts.get"}},
		})
	}
	first, err := create()
	must(t, err)
	again, err := create()
	must(t, err)
	if again.GetSecret() != first.GetSecret() || again.GetToken().GetName() != first.GetToken().GetName() {
		t.Errorf("a repeat made %v", again.GetToken())
	}
	_, err = w.tokens.CreateToken(w.as(owner), &breakwaterv1.CreateTokenRequest{
		Parent: "accounts/acme", RequestId: "k", Token: &breakwaterv1.Token{Permissions: []string{"*"}},
	})
	w.refused(err, "IDEMPOTENCY_KEY_REUSED")
	roll := func() (*breakwaterv1.RollTokenResponse, error) {
		return w.tokens.RollToken(w.as(owner), &breakwaterv1.RollTokenRequest{Name: first.GetToken().GetName(), RequestId: "r"})
	}
	rolled, err := roll()
	must(t, err)
	_, err = create()
	w.refused(err, "INVALID_STATE")
	repeat, err := roll()
	must(t, err)
	if repeat.GetSecret() != rolled.GetSecret() || !w.works(repeat.GetSecret()) {
		t.Error("a repeat of the roll made another secret")
	}
	_, err = w.tokens.DeleteToken(w.as(owner), &breakwaterv1.DeleteTokenRequest{Name: first.GetToken().GetName()})
	must(t, err)
	_, err = roll()
	w.refused(err, "INVALID_STATE")
}

func TestDisabledWithItsMaker(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	name, admin := w.member("acme", "admin@x.test", breakwaterv1.Member_ADMIN)
	token, secret := w.token(admin, &breakwaterv1.Token{Permissions: []string{"tokens.list", "accounts.get"}})
	state := func() bool {
		t.Helper()
		got, err := w.tokens.GetToken(w.as(owner), &breakwaterv1.GetTokenRequest{Name: token.GetName()})
		must(t, err)
		return got.GetDisabled()
	}
	if state() || !w.works(secret) {
		t.Error("disabled at once")
	}
	must(t, w.setRole(owner, name, breakwaterv1.Member_VIEWER))
	if !state() || w.works(secret) {
		t.Error("works although its maker lost the role")
	}
	must(t, w.setRole(owner, name, breakwaterv1.Member_ADMIN))
	if state() || !w.works(secret) {
		t.Error("disabled although its maker has the role again")
	}
	must(t, w.removeMember(owner, name))
	if !state() || w.works(secret) {
		t.Error("works although its maker is gone")
	}
}

func TestValidateOnlyMintsNothing(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	made, err := w.tokens.CreateToken(w.as(owner), &breakwaterv1.CreateTokenRequest{
		Parent: "accounts/acme", ValidateOnly: true, Token: &breakwaterv1.Token{Permissions: []string{"*"}},
	})
	must(t, err)
	if made.GetSecret() != "" || len(made.GetToken().GetPermissions()) != 1 {
		t.Errorf("made %v", made)
	}
	list, err := w.tokens.ListTokens(w.as(owner), &breakwaterv1.ListTokensRequest{Parent: "accounts/acme"})
	must(t, err)
	if len(list.GetTokens()) != 0 {
		t.Errorf("tokens %v", list)
	}
	_, secret := w.token(owner, &breakwaterv1.Token{Permissions: []string{"accounts.get"}})
	list, err = w.tokens.ListTokens(w.as(owner), &breakwaterv1.ListTokensRequest{Parent: "accounts/acme"})
	must(t, err)
	rolled, err := w.tokens.RollToken(w.as(owner), &breakwaterv1.RollTokenRequest{Name: list.GetTokens()[0].GetName(), ValidateOnly: true})
	must(t, err)
	if rolled.GetSecret() != "" || !w.works(secret) {
		t.Error("validateOnly rolled the token")
	}
}

func TestMe(t *testing.T) {
	w := newAccountWorld(t)
	owner := w.account("acme")
	_, secret := w.token(owner, &breakwaterv1.Token{Permissions: []string{"sites.get"}, Sites: []string{"a.test"}})
	get := func(as string, pairs ...string) *breakwaterv1.Me {
		t.Helper()
		me, err := w.tokens.GetMe(w.as(as, pairs...), &breakwaterv1.GetMeRequest{})
		must(t, err)
		return me
	}
	if me := get(w.operator); me.GetKind() != breakwaterv1.Me_OPERATOR || me.GetPrincipal() != "operator" || len(me.GetGrants()) != 0 {
		t.Errorf("operator: %v", me)
	}
	me := get(owner)
	if me.GetKind() != breakwaterv1.Me_LOGIN || me.GetEmail() != "owner@acme.test" || len(me.GetGrants()) != 1 || me.GetExpireTime() == nil ||
		me.GetGrants()[0].GetRole() != breakwaterv1.Member_OWNER || me.GetGrants()[0].GetAccount() != "accounts/acme" {
		t.Errorf("login: %v", me)
	}
	me = get(secret)
	if me.GetKind() != breakwaterv1.Me_TOKEN || !strings.HasPrefix(me.GetPrincipal(), "accounts/acme/tokens/") ||
		!slices.Equal(me.GetGrants()[0].GetSites(), []string{"a.test"}) {
		t.Errorf("token: %v", me)
	}
	if me = get(w.operator, call.MetadataOnBehalfOf, "owner@acme.test"); len(me.GetGrants()) != 1 || me.GetEmail() != "owner@acme.test" {
		t.Errorf("operator for a member: %v", me)
	}
}
