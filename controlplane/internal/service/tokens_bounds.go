package service

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz/permission"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// tokenMakers bounds the chain of tokens that make tokens.
const tokenMakers = 8

// wanted checks what a request wants, and makes a token of it in canonical form.
func (s *Tokens) wanted(in *breakwaterv1.Token) (*breakwaterv1.Token, error) {
	var violations []rpcerr.Violation
	invalid := func(field, rule, message string) {
		violations = append(violations, rpcerr.Violation{Field: field, Rule: rule, Message: message})
	}
	t := &breakwaterv1.Token{
		DisplayName: in.GetDisplayName(), Permissions: slices.Clone(in.GetPermissions()),
		ExpireTime: in.GetExpireTime(), Labels: in.GetLabels(),
	}
	for i, p := range t.GetPermissions() {
		if !s.permissions.Has(p) {
			message := p + " is no permission that a token can have"
			if near := s.permissions.Near(p); len(near) > 0 {
				message += "; near it are " + strings.Join(near, ", ")
			}
			invalid(accountIndexed("token.permissions", i), "permission", message)
		}
	}
	slices.Sort(t.GetPermissions())
	t.Permissions = slices.Compact(t.GetPermissions())
	sites, wrong := memberDomains("token.sites", in.GetSites())
	t.Sites, violations = sites, append(violations, wrong...)
	for i, c := range in.GetAllowedCidrs() {
		prefix, err := netip.ParsePrefix(c)
		if err != nil {
			invalid(accountIndexed("token.allowedCidrs", i), "ip_prefix", c+" is no network")
			continue
		}
		t.AllowedCidrs = append(t.AllowedCidrs, tokenNetwork(prefix).String())
	}
	slices.Sort(t.GetAllowedCidrs())
	t.AllowedCidrs = slices.Compact(t.GetAllowedCidrs())
	if end := authn.Expiry(t); !end.IsZero() && !end.After(s.cfg.Clock.Now()) {
		invalid("token.expireTime", "future", "must lie in the future")
	}
	if len(violations) > 0 {
		return nil, rpcerr.Invalid(violations...)
	}
	return t, nil
}

// tokenNetwork is a network in the form that addresses are compared in.
func tokenNetwork(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// tokenWithin fails unless all that the token may do, the caller may do: by permission, by
// site, from where, and until when.
func tokenWithin(p authn.Principal, account resource.Name, t *breakwaterv1.Token) error {
	if p.Unlimited() {
		return nil
	}
	name := resource.AccountName(account.Account)
	g, ok := p.GrantIn(account.Account)
	if !ok {
		return rpcerr.PermissionDenied("tokens.create", name)
	}
	if missing := permission.Missing(g.Permissions, t.GetPermissions()); len(missing) > 0 {
		return grantExceeds(missing[0], name, "permissions", "a token never exceeds its maker's permissions: "+missing[0]+" is missing")
	}
	if !permission.SitesWithin(t.GetSites(), g.Sites) {
		return grantExceeds("tokens.create", name, "sites", "a token never exceeds its maker's sites: limit it to some of "+strings.Join(g.Sites, ", "))
	}
	if !tokenNetworksWithin(t.GetAllowedCidrs(), p.CIDRs) {
		return grantExceeds("tokens.create", name, "allowedCidrs", "a token never exceeds its maker's networks: limit it to some of them")
	}
	// A login ends soon, but the member that it proves does not.
	if end := authn.Expiry(t); p.Kind == authn.Token && !p.Expires.IsZero() && (end.IsZero() || end.After(p.Expires)) {
		return grantExceeds("tokens.create", name, "expireTime", "a token never outlives its maker, which ends at "+p.Expires.UTC().Format(time.RFC3339))
	}
	return nil
}

// tokenRevocable fails where a caller that is limited to sites would revoke what it could
// not make; itself it may always end. Who is not limited needs the permission only: an
// admin must be able to end an owner's token that leaked.
func tokenRevocable(p authn.Principal, name resource.Name, t *breakwaterv1.Token) error {
	if g, _ := p.GrantIn(name.Account); len(g.Sites) == 0 || p.TokenID == name.ID {
		return nil
	}
	if err := tokenWithin(p, name, t); err != nil {
		denied := rpcerr.PermissionDenied("tokens.delete", name.String()).WithMetadata("limitedToSites", "true").WithCause(err)
		denied.Message = "who is limited to sites revokes only what they could have made"
		return denied
	}
	return nil
}

// grantExceeds is the refusal of what would have more than its giver has.
func grantExceeds(missing, name, field, message string) error {
	e := rpcerr.PermissionDenied(missing, name).WithMetadata("field", field)
	e.Message = message
	return e
}

func tokenNetworksWithin(inner []string, outer []netip.Prefix) bool {
	if len(outer) == 0 {
		return true
	}
	if len(inner) == 0 {
		return false
	}
	for _, c := range inner {
		in, err := netip.ParsePrefix(c)
		if err != nil || !slices.ContainsFunc(outer, func(out netip.Prefix) bool {
			return out.IsValid() && out.Bits() <= in.Bits() && out.Contains(in.Addr())
		}) {
			return false
		}
	}
	return true
}

// tokenDepth fails where the token would be the end of a long chain of tokens that made
// tokens, each of which is read whenever the last one is used.
func tokenDepth(tx *change.Tx, tenant resource.Tenant, p authn.Principal) error {
	id := p.TokenID
	for range tokenMakers {
		if id == "" {
			return nil
		}
		var rec storev1.TokenRecord
		if err := tx.Get(tenant.Token(id), &rec); err != nil {
			return rpcerr.Unauthenticated("the token was revoked").WithCause(err)
		}
		id = rec.GetMakerToken()
	}
	return rpcerr.Precondition(rpcerr.ReasonInvalidState, resource.AccountName(tenant.Account()),
		"a token that was made by a chain of %d tokens makes no more", tokenMakers)
}
