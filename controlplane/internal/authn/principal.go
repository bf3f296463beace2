package authn

import (
	"net/netip"
	"time"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// Kind is what a credential is.
type Kind int

// The kinds of credentials. The zero value is no credential.
const (
	Anonymous Kind = iota
	Operator
	Token
	Login
	// Edge is a server of a data center, by its client certificate.
	Edge
)

// Grant is what a principal may do in one account.
type Grant struct {
	// Account is the account's ID.
	Account string
	// Role is the member's role, for a login.
	Role breakwaterv1.Member_Role
	// Permissions are patterns: `sites.get`, `settings.*`, `*`.
	Permissions []string
	// Sites are the domains that the grant is limited to; all when empty.
	Sites []string
	// Member is the member's ID that the grant rests on, or empty.
	Member string
}

// Principal is who calls.
type Principal struct {
	Kind Kind
	// ID is how the audit log names the principal: `operator` (`operator:{name}` where there
	// are several), `user:{email}`, the token's resource name, or `edge:{dc}/{server}`.
	ID string
	// Email is a login's address, in lower case.
	Email string
	// TokenID is an API token's ID.
	TokenID string
	// Grants are what the principal may do, by account. An operator has none and needs
	// none.
	Grants []Grant
	// CIDRs bound where a token may be used from; anywhere when empty.
	CIDRs []netip.Prefix
	// Expires is when the credential ends; the zero time when it does not.
	Expires time.Time
	// OnBehalfOf is the member's address that a program acts for, or empty. Grants are then
	// the intersection of both.
	OnBehalfOf string
	// DataCenter and Server name an edge server.
	DataCenter, Server string
}

// Unlimited says that the principal may do everything: an operator who acts for no one.
func (p Principal) Unlimited() bool { return p.Kind == Operator && p.OnBehalfOf == "" }

// GrantIn returns the principal's grant in an account.
func (p Principal) GrantIn(account string) (Grant, bool) {
	for _, g := range p.Grants {
		if g.Account == account {
			return g, true
		}
	}
	return Grant{}, false
}
