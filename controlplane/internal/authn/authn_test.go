package authn_test

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

func reason(err error) rpcerr.Reason {
	if e, ok := errors.AsType[*rpcerr.Error](err); ok {
		return e.Reason
	}
	return ""
}

func (w *world) who(t *testing.T, credential string) (authn.Principal, error) {
	t.Helper()
	return w.auth.Authenticate(t.Context(), credential, here, "")
}

func (w *world) refused(t *testing.T, credential, why string) {
	t.Helper()
	if p, err := w.who(t, credential); reason(err) != rpcerr.ReasonUnauthenticated {
		t.Errorf("%s: %+v, %v", why, p, err)
	}
}

func TestToken(t *testing.T) {
	w := setUp(t, nil)
	rec := with("sites.get", "settings.*")
	rec.Token.Sites = []string{"shop.test"}
	rec.Token.ExpireTime = timestamppb.New(w.clock.Now().Add(time.Hour))
	credential, id := w.token(t, acme, rec)
	p, err := w.who(t, credential)
	if err != nil || p.Kind != authn.Token || p.ID != resource.TokenName("acme", id) || p.TokenID != id || len(p.Grants) != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	g, ok := p.GrantIn("acme")
	if !ok || !slices.Equal(g.Permissions, rec.GetToken().GetPermissions()) || !slices.Equal(g.Sites, []string{"shop.test"}) {
		t.Errorf("grant %+v", g)
	}
	if _, ok := p.GrantIn("beta"); ok {
		t.Error("a grant in another account")
	}

	other, _, _ := authn.Mint(authn.TokenCredential, id, strings.NewReader(strings.Repeat("x", 20)))
	w.refused(t, other, "another secret of the same ID")
	w.refused(t, credential+"a", "a longer one")
	w.refused(t, "bwt_"+strings.Repeat("a", 55), "a wrong checksum")
	w.clock.Advance(time.Hour)
	w.refused(t, credential, "expired")
	w.clock.Advance(-time.Minute)
	delete(w.state, acme.Token(id))
	w.refused(t, credential, "revoked")
}

func TestNobody(t *testing.T) {
	w := setUp(t, nil)
	if p, err := w.who(t, ""); err != nil || p.Kind != authn.Anonymous {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestCIDRs(t *testing.T) {
	w := setUp(t, nil)
	rec := with("*")
	rec.Token.AllowedCidrs = []string{"192.0.2.0/24", "2001:db8::/32"}
	credential, _ := w.token(t, acme, rec)
	for addr, ok := range map[string]bool{
		"192.0.2.200": true, "::ffff:192.0.2.7": true, "2001:db8::1": true, "2001:db8::1%eth0": true,
		"192.0.3.1": false, "2001:db9::1": false,
	} {
		_, err := w.auth.Authenticate(t.Context(), credential, netip.MustParseAddr(addr), "")
		if (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
	}
	if _, err := w.auth.Authenticate(t.Context(), credential, netip.Addr{}, ""); err == nil {
		t.Error("an unknown address is let in")
	}
	rec.Token.AllowedCidrs = []string{"broken"}
	credential, _ = w.token(t, acme, rec)
	w.refused(t, credential, "a network that can't be read")
}

// TestMakers shows that a token works as long as its maker could still make it.
func TestMakers(t *testing.T) {
	w := setUp(t, nil)
	rec := with("sites.get", "settings.update")
	rec.Token.Sites = []string{"shop.test"}
	rec.MakerMember = "m"
	credential, id := w.token(t, acme, rec)
	child := with("sites.get")
	child.Token.Sites = []string{"shop.test"}
	child.MakerToken = id
	childCredential, childID := w.token(t, acme, child)
	grandchild := with("sites.get")
	grandchild.Token.Sites = []string{"shop.test"}
	grandchild.MakerToken = childID
	grandchildCredential, _ := w.token(t, acme, grandchild)
	all := []string{credential, childCredential, grandchildCredential}
	each := func(why string, works bool) {
		t.Helper()
		for i, c := range all {
			if _, err := w.who(t, c); (err == nil) != works {
				t.Errorf("%s: token %d: %v", why, i, err)
			}
		}
	}
	each("without the member", false)
	w.member(t, acme, "m", "m@x.test", breakwaterv1.Member_EDITOR)
	each("as an editor", true)
	w.member(t, acme, "m", "m@x.test", breakwaterv1.Member_EDITOR, "shop.test", "else.test")
	each("as an editor of more sites", true)
	w.member(t, acme, "m", "m@x.test", breakwaterv1.Member_EDITOR, "else.test")
	each("as an editor of another site", false)
	w.member(t, acme, "m", "m@x.test", breakwaterv1.Member_VIEWER)
	each("as a viewer", false)
	w.member(t, acme, "m", "m@x.test", breakwaterv1.Member_OWNER)
	each("as an owner", true)
	w.state.put(t, acme.Member("m"), &storev1.MemberRecord{Member: &breakwaterv1.Member{
		Role: breakwaterv1.Member_OWNER, State: breakwaterv1.Member_INVITED,
	}})
	each("as somebody who did not accept", false)
	w.member(t, acme, "m", "m@x.test", breakwaterv1.Member_OWNER)

	rec.Token.Permissions = []string{"settings.update"}
	w.state.put(t, acme.Token(id), rec)
	if _, err := w.who(t, childCredential); err == nil {
		t.Error("a token exceeds the token that made it")
	}
	rec.Token.Permissions = []string{"*"}
	rec.Token.ExpireTime = timestamppb.New(w.clock.Now())
	w.state.put(t, acme.Token(id), rec)
	w.refused(t, childCredential, "its maker expired")
	delete(w.state, acme.Token(id))
	w.refused(t, grandchildCredential, "its maker's maker was revoked")
}

func TestMakersInACircle(t *testing.T) {
	w := setUp(t, nil)
	rec := with("*")
	credential, id := w.token(t, acme, rec)
	rec.MakerToken = id
	w.state.put(t, acme.Token(id), rec)
	w.refused(t, credential, "a circle")
}

func TestOperators(t *testing.T) {
	one, _, _ := authn.Mint(authn.OperatorCredential, strings.Repeat("a", 16), strings.NewReader(strings.Repeat("1", 20)))
	two, _, _ := authn.Mint(authn.OperatorCredential, strings.Repeat("b", 16), strings.NewReader(strings.Repeat("2", 20)))
	three, _, _ := authn.Mint(authn.OperatorCredential, strings.Repeat("b", 16), strings.NewReader(strings.Repeat("3", 20)))
	w := setUp(t, func(c *authn.Config) {
		c.Operators = []authn.OperatorKey{{Digest: authn.DigestOf(one)}, {Name: "ann", Digest: authn.DigestOf(two)}}
	})
	w.age = time.Hour
	for credential, id := range map[string]string{one: "operator", two: "operator:ann"} {
		if p, err := w.who(t, credential); err != nil || p.ID != id || !p.Unlimited() {
			t.Errorf("%+v, %v", p, err)
		}
	}
	w.refused(t, three, "not an operator")
}

func TestLogin(t *testing.T) {
	w := setUp(t, nil)
	w.member(t, acme, "m1", "ann@x.test", breakwaterv1.Member_OWNER)
	w.member(t, beta, "m2", "ann@x.test", breakwaterv1.Member_EDITOR, "b.test")
	w.member(t, resource.ForAccount("gone"), "m3", "ann@x.test", breakwaterv1.Member_OWNER)
	delete(w.state, resource.ForAccount("gone").Member("m3"))
	w.member(t, acme, "m4", "ann@x.test.evil", breakwaterv1.Member_OWNER)
	credential := w.login(t, "Ann@X.test", w.clock.Now().Add(time.Hour))
	p, err := w.who(t, credential)
	if err != nil || p.Kind != authn.Login || p.ID != "user:ann@x.test" || len(p.Grants) != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	if g, _ := p.GrantIn("acme"); g.Role != breakwaterv1.Member_OWNER || !slices.Equal(g.Permissions, []string{"*"}) || g.Member != "m1" {
		t.Errorf("grant %+v", g)
	}
	if g, _ := p.GrantIn("beta"); g.Role != breakwaterv1.Member_EDITOR || !slices.Equal(g.Sites, []string{"b.test"}) {
		t.Errorf("grant %+v", g)
	}
	w.clock.Advance(time.Hour)
	w.refused(t, credential, "expired")

	production := setUp(t, func(c *authn.Config) { c.DevLogins = false })
	production.state = w.state
	production.refused(t, credential, "a development login in production")
}

func TestOnBehalfOf(t *testing.T) {
	w := setUp(t, func(c *authn.Config) {
		c.Operators = []authn.OperatorKey{{Digest: authn.DigestOf("bwo_aaaaaaaaaaaaaaaagezdgnbvgy3tqojqgezdgnbvgy3tqojqaaaaaaa")}}
	})
	w.member(t, acme, "e", "editor@x.test", breakwaterv1.Member_EDITOR, "a.test", "b.test")
	w.member(t, beta, "e", "editor@x.test", breakwaterv1.Member_OWNER)
	act := func(credential, email string) (authn.Principal, error) {
		return w.auth.Authenticate(t.Context(), credential, here, email)
	}
	program, _ := w.token(t, acme, with("members.impersonate", "settings.*", "accounts.delete"))
	p, err := act(program, "Editor@x.test")
	if err != nil || p.OnBehalfOf != "editor@x.test" || len(p.Grants) != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	g := p.Grants[0]
	if !slices.Equal(g.Permissions, []string{"settings.*"}) || !slices.Equal(g.Sites, []string{"a.test", "b.test"}) || g.Account != "acme" {
		t.Errorf("the intersection is %+v", g)
	}

	limited := with("members.impersonate", "*")
	limited.Token.Sites = []string{"b.test", "c.test"}
	program, _ = w.token(t, acme, limited)
	if p, err = act(program, "editor@x.test"); err != nil || !slices.Equal(p.Grants[0].Sites, []string{"b.test"}) {
		t.Errorf("%+v, %v", p, err)
	}
	limited.Token.Sites = []string{"c.test"}
	program, _ = w.token(t, acme, limited)
	if p, err = act(program, "editor@x.test"); err != nil || len(p.Grants) != 0 {
		t.Errorf("disjoint sites leave %+v, %v", p, err)
	}
	if p, err = act(program, "nobody@x.test"); err != nil || len(p.Grants) != 0 {
		t.Errorf("a stranger leaves %+v, %v", p, err)
	}

	star, _ := w.token(t, acme, with("*"))
	if _, err := act(star, "editor@x.test"); reason(err) != rpcerr.ReasonPermissionDenied {
		t.Errorf("without the permission of its own: %v", err)
	}
	person := w.login(t, "editor@x.test", w.clock.Now().Add(time.Hour))
	if _, err := act(person, "editor@x.test"); reason(err) != rpcerr.ReasonPermissionDenied {
		t.Errorf("a login: %v", err)
	}
	if p, err := act("", "editor@x.test"); err != nil || p.Kind != authn.Anonymous {
		t.Errorf("nobody: %+v, %v", p, err)
	}
}

func TestOperatorOnBehalfOf(t *testing.T) {
	credential, _, _ := authn.Mint(authn.OperatorCredential, strings.Repeat("a", 16), strings.NewReader(strings.Repeat("1", 20)))
	w := setUp(t, func(c *authn.Config) {
		c.Operators = []authn.OperatorKey{{Digest: authn.DigestOf(credential)}}
	})
	w.member(t, acme, "v", "viewer@x.test", breakwaterv1.Member_VIEWER)
	p, err := w.auth.Authenticate(t.Context(), credential, here, "viewer@x.test")
	if err != nil || p.Unlimited() || len(p.Grants) != 1 || p.Grants[0].Role != breakwaterv1.Member_VIEWER {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestNotTrustedState(t *testing.T) {
	w := setUp(t, nil)
	credential, _ := w.token(t, acme, with("*"))
	w.age = 3 * time.Second
	if _, err := w.who(t, credential); err != nil {
		t.Errorf("between two signs of life: %v", err)
	}
	w.age = 4 * time.Second
	if _, err := w.who(t, credential); reason(err) != rpcerr.ReasonUnavailable {
		t.Errorf("an old state: %v", err)
	}
	w.age, w.state = 0, state{}
	if _, err := w.who(t, credential); reason(err) != rpcerr.ReasonUnavailable {
		t.Errorf("no state: %v", err)
	}
}

type provider func(string) (authn.Identity, error)

func (p provider) VerifyLogin(_ context.Context, raw string) (authn.Identity, error) { return p(raw) }

func TestIdentityProvider(t *testing.T) {
	w := setUp(t, func(c *authn.Config) {
		c.Logins = provider(func(raw string) (authn.Identity, error) {
			switch raw {
			case "a.b.c":
				return authn.Identity{Email: "ann@x.test"}, nil
			case "d.o.w":
				return authn.Identity{}, errors.New("the provider is down")
			}
			return authn.Identity{}, authn.ErrLogin
		})
	})
	w.member(t, acme, "m", "ann@x.test", breakwaterv1.Member_OWNER)
	if p, err := w.who(t, "a.b.c"); err != nil || len(p.Grants) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	w.refused(t, "x.y.z", "not valid")
	w.refused(t, "abc", "not a token of a provider")
	if _, err := w.who(t, "d.o.w"); reason(err) != rpcerr.ReasonUnavailable {
		t.Errorf("a provider that is down: %v", err)
	}
}

// TestMadeElsewhere uses a token that another server made a moment ago.
func TestMadeElsewhere(t *testing.T) {
	behind, asked := state{acme.Record(): nil}, 0
	var w *world
	w = setUp(t, func(c *authn.Config) {
		c.View = func() authn.View { return behind }
		c.Fresh = func(context.Context) (authn.View, error) {
			asked++
			return w.state, nil
		}
	})
	credential, id := w.token(t, acme, with("*"))
	if _, err := w.who(t, credential); err != nil || asked != 1 {
		t.Errorf("%v, asked %d times", err, asked)
	}
	behind[resource.TokenIndex(id)], behind[acme.Token(id)] = w.state[resource.TokenIndex(id)], w.state[acme.Token(id)]
	if _, err := w.who(t, credential); err != nil || asked != 1 {
		t.Errorf("found at hand: %v, asked %d times", err, asked)
	}
	w.refused(t, "bwt_short", "malformed")
	if asked != 1 {
		t.Error("a malformed credential costs a read")
	}
}

// A server whose state is old asks the store itself: what was revoked meanwhile is not
// accepted, and what was not is, so long as the store answers.
func TestOldStateAsksTheStore(t *testing.T) {
	old, away := state{acme.Record(): nil}, error(nil)
	var w *world
	w = setUp(t, func(c *authn.Config) {
		c.View = func() authn.View { return old }
		c.Fresh = func(context.Context) (authn.View, error) { return w.state, away }
	})
	credential, _ := w.token(t, acme, with("*"))
	revoked, id := w.token(t, acme, with("*"))
	maps.Copy(old, w.state)
	delete(w.state, acme.Token(id))
	delete(w.state, resource.TokenIndex(id))
	w.age = time.Minute
	if _, err := w.who(t, credential); err != nil {
		t.Errorf("slow: %v", err)
	}
	w.refused(t, revoked, "revoked meanwhile")
	away = errors.New("cut off")
	for _, c := range []string{credential, revoked} {
		if _, err := w.who(t, c); reason(err) != rpcerr.ReasonUnavailable {
			t.Errorf("cut off: %v", err)
		}
	}
}
