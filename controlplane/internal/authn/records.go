package authn

import (
	"net/netip"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz/permission"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// maxAccounts bounds how many accounts one login reaches.
const maxAccounts = 1000

// maxMakers bounds the chain of tokens that made tokens.
const maxMakers = 16

// Values gives values by their keys.
type Values interface {
	Get(key string) (registry.KV, bool)
}

func read(view Values, key string, m proto.Message) bool {
	kv, ok := view.Get(key)
	// A value that can't be read grants nothing.
	return ok && proto.Unmarshal(kv.Value, m) == nil
}

func (a *Authenticator) token(view View, c Credential, peer netip.Addr) (Principal, error) {
	index, ok := view.Get(resource.TokenIndex(c.ID))
	if !ok {
		return Principal{}, errCredential
	}
	tenant := resource.ForAccount(string(index.Value))
	var rec storev1.TokenRecord
	if !read(view, tenant.Token(c.ID), &rec) || !c.Matches(rec.GetSecretSha256()) {
		return Principal{}, errCredential
	}
	if !MakerStands(view, tenant, &rec, a.cfg.Clock.Now()) {
		return Principal{}, rpcerr.Unauthenticated("the token is disabled: its maker lost what it rests on")
	}
	p := Principal{
		Kind: Token, ID: resource.TokenName(tenant.Account(), c.ID), TokenID: c.ID,
		Expires: Expiry(rec.GetToken()),
		Grants: []Grant{{
			Account:     tenant.Account(),
			Permissions: rec.GetToken().GetPermissions(),
			Sites:       rec.GetToken().GetSites(),
			Member:      rec.GetMakerMember(),
		}},
	}
	for _, cidr := range rec.GetToken().GetAllowedCidrs() {
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			// What can't be read allows nothing, and the token stays limited.
			prefix = netip.Prefix{}
		}
		p.CIDRs = append(p.CIDRs, prefix)
	}
	if !allowedFrom(p.CIDRs, peer) {
		return Principal{}, rpcerr.Unauthenticated("the token may not be used from this address").
			WithMetadata("address", peer.String())
	}
	return p, nil
}

// Expiry is when a token ends, or the zero time.
func Expiry(t *breakwaterv1.Token) time.Time {
	if t.GetExpireTime() == nil {
		return time.Time{}
	}
	return t.GetExpireTime().AsTime()
}

func allowedFrom(cidrs []netip.Prefix, peer netip.Addr) bool {
	if len(cidrs) == 0 {
		return true
	}
	peer = peer.Unmap().WithZone("")
	for _, c := range cidrs {
		if c.Contains(peer) {
			return true
		}
	}
	return false
}

// MakerStands says whether whoever made a token could still make it: the member is active
// and has a role and sites that cover the token's, and so on along a chain of tokens that
// made tokens. What an operator made rests on no one.
func MakerStands(view Values, tenant resource.Tenant, rec *storev1.TokenRecord, now time.Time) bool {
	t := rec.GetToken()
	for range maxMakers {
		if rec.GetMakerMember() != "" && !memberStands(view, tenant, rec.GetMakerMember(), t) {
			return false
		}
		if rec.GetMakerToken() == "" {
			return true
		}
		var maker storev1.TokenRecord
		if !read(view, tenant.Token(rec.GetMakerToken()), &maker) {
			return false
		}
		if end := Expiry(maker.GetToken()); !end.IsZero() && !now.Before(end) {
			return false
		}
		if len(permission.Missing(maker.GetToken().GetPermissions(), t.GetPermissions())) > 0 ||
			!permission.SitesWithin(t.GetSites(), maker.GetToken().GetSites()) {
			return false
		}
		rec, t = &maker, maker.GetToken()
	}
	return false
}

func memberStands(view Values, tenant resource.Tenant, member string, t *breakwaterv1.Token) bool {
	var m storev1.MemberRecord
	if !read(view, tenant.Member(member), &m) || m.GetMember().GetState() != breakwaterv1.Member_ACTIVE {
		return false
	}
	return len(permission.Missing(permission.OfRole(m.GetMember().GetRole()), t.GetPermissions())) == 0 &&
		permission.SitesWithin(t.GetSites(), m.GetMember().GetSites())
}

func devLogin(view View, c Credential) (Principal, error) {
	var rec storev1.LoginRecord
	if !read(view, resource.Login(c.ID), &rec) || !c.Matches(rec.GetSecretSha256()) {
		return Principal{}, errCredential
	}
	identity := Identity{Email: strings.ToLower(rec.GetEmail())}
	if rec.GetExpireTime() != nil {
		identity.Expires = rec.GetExpireTime().AsTime()
	}
	return person(view, identity), nil
}

// person is a login with the grants of every account that the person is an active member
// of.
func person(view View, identity Identity) Principal {
	p := Principal{
		Kind: Login, ID: "user:" + identity.Email, Email: identity.Email, Expires: identity.Expires,
	}
	prefix := resource.EmailIndexPrefix(identity.Email)
	kvs, _ := view.List(prefix, "", maxAccounts)
	for _, kv := range kvs {
		tenant := resource.ForAccount(strings.TrimPrefix(kv.Key, prefix))
		var rec storev1.MemberRecord
		if !read(view, tenant.Member(string(kv.Value)), &rec) || rec.GetMember().GetState() != breakwaterv1.Member_ACTIVE {
			continue
		}
		p.Grants = append(p.Grants, Grant{
			Account:     tenant.Account(),
			Role:        rec.GetMember().GetRole(),
			Permissions: permission.OfRole(rec.GetMember().GetRole()),
			Sites:       rec.GetMember().GetSites(),
			Member:      string(kv.Value),
		})
	}
	return p
}
