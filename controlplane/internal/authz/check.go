package authz

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz/permission"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/domain"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

const permissionCreateSite = "sites.create"

// limitedChanges are the permissions that change something above sites and that a grant
// limited to sites may use all the same: the site that is made must be one of them, and the
// service of tokens lets it make, roll and revoke only tokens within what it may do itself.
var limitedChanges = []string{permissionCreateSite, "tokens.create", "tokens.roll", "tokens.delete"}

// limitedSecrets are the collections above sites whose reading tells of other sites.
var limitedSecrets = []string{"auditEvents."}

// Check decides whether the principal may make the call, and writes the canonical name of
// the resource back into the request. request may be nil for a stream that has not received
// its first message, where the RPC names no resource. Errors are rpcerr's.
func (t *Table) Check(p authn.Principal, fullMethod string, request proto.Message) error {
	rule, ok := t.rules[fullMethod]
	if !ok {
		return rpcerr.PermissionDenied("unknown", fullMethod)
	}
	if rule.Scope == breakwaterv1.Access_PUBLIC {
		return nil
	}
	if p.Kind == authn.Anonymous {
		return rpcerr.Unauthenticated("a credential is needed: send `Authorization: Bearer …`")
	}
	// Edge servers reach what is made for them and nothing else, and nobody else does.
	if (rule.Scope == breakwaterv1.Access_EDGE) != (p.Kind == authn.Edge) {
		return rpcerr.PermissionDenied(rule.Permission, "this server")
	}
	switch rule.Scope {
	case breakwaterv1.Access_EDGE:
		return nil
	case breakwaterv1.Access_OPERATOR, breakwaterv1.Access_DEV:
		if !p.Unlimited() {
			return rpcerr.PermissionDenied(rule.Permission, "this server")
		}
		_, err := rule.canonicalise(request)
		return err
	case breakwaterv1.Access_AUTHENTICATED:
		_, err := rule.canonicalise(request)
		return err
	case breakwaterv1.Access_ACCOUNT, breakwaterv1.Access_SITE:
		name, err := rule.canonicalise(request)
		if err != nil {
			return err
		}
		if rule.Scope == breakwaterv1.Access_ACCOUNT {
			return rule.checkAccount(p, name, request)
		}
		return Require(p, rule.Permission, name)
	default:
		return rpcerr.PermissionDenied(rule.Permission, "this server")
	}
}

// Require fails with PERMISSION_DENIED unless the principal has the permission on what the
// name names: in its account and, where it is below a site, on that site.
func Require(p authn.Principal, want string, name resource.Name) error {
	if p.Unlimited() {
		return nil
	}
	g, ok := p.GrantIn(name.Account)
	if !ok || !permission.Granted(g.Permissions, want) {
		return rpcerr.PermissionDenied(want, name.String())
	}
	if name.Site != "" && !permission.SitesWithin([]string{name.Site}, g.Sites) {
		return rpcerr.PermissionDenied(want, name.String())
	}
	return nil
}

// VisibleSites says which of an account's sites the principal's grant reaches, for lists.
func VisibleSites(p authn.Principal, account string) func(domain string) bool {
	if p.Unlimited() {
		return func(string) bool { return true }
	}
	g, ok := p.GrantIn(account)
	if !ok {
		return func(string) bool { return false }
	}
	if len(g.Sites) == 0 {
		return func(string) bool { return true }
	}
	return func(domain string) bool { return slices.Contains(g.Sites, domain) }
}

// checkAccount is Require for what is not below a site, where a grant that is limited to
// sites reaches less.
func (r *Rule) checkAccount(p authn.Principal, name resource.Name, request proto.Message) error {
	if err := Require(p, r.Permission, name); err != nil || p.Unlimited() {
		return err
	}
	g, _ := p.GrantIn(name.Account)
	if len(g.Sites) == 0 {
		return nil
	}
	denied := rpcerr.PermissionDenied(r.Permission, name.String()).WithMetadata("limitedToSites", "true")
	switch {
	case slices.ContainsFunc(limitedSecrets, func(prefix string) bool { return strings.HasPrefix(r.Permission, prefix) }):
		return denied
	case permission.ReadOnly(r.Permission):
		return nil
	case !slices.Contains(limitedChanges, r.Permission):
		return denied
	case r.created == nil:
		return nil
	}
	d, err := domain.Parse(get(request, r.created))
	if err != nil {
		// What is no domain is none of the sites that the grant is limited to.
		return denied
	}
	if !permission.SitesWithin([]string{d.String()}, g.Sites) {
		return denied
	}
	return nil
}

// Account is the account that the request's resource lies in, without any check; empty
// where there is none.
func (r *Rule) Account(request proto.Message) string {
	if r.Resource == nil {
		return ""
	}
	rest, ok := strings.CutPrefix(get(request, r.Resource), "accounts/")
	if !ok {
		return ""
	}
	account, _, _ := strings.Cut(rest, "/")
	return account
}

// canonicalise parses the resource's name and writes it back.
func (r *Rule) canonicalise(request proto.Message) (resource.Name, error) {
	if r.Resource == nil {
		return resource.Name{}, nil
	}
	given := get(request, r.Resource)
	name, err := resource.ParseName(given)
	if err != nil {
		return resource.Name{}, rpcerr.InvalidField(r.ResourceField, "resource_name", "%v", err)
	}
	canonical := name.String()
	if !matches(canonical, r.Pattern) {
		return resource.Name{}, rpcerr.InvalidField(r.ResourceField, "resource_name",
			"%q is not a name of the form %s", given, r.Pattern)
	}
	if canonical != given {
		set(request, r.Resource, canonical)
	}
	return name, nil
}

// matches compares a name with a route's template, in which `*` stands for one segment.
func matches(name, pattern string) bool {
	for {
		n, restName, moreName := strings.Cut(name, "/")
		p, restPattern, morePattern := strings.Cut(pattern, "/")
		if p != "*" && p != n || moreName != morePattern {
			return false
		}
		if !moreName {
			return true
		}
		name, pattern = restName, restPattern
	}
}

func get(m proto.Message, path []protoreflect.FieldDescriptor) string {
	if m == nil {
		return ""
	}
	at := m.ProtoReflect()
	for _, fd := range path[:len(path)-1] {
		at = at.Get(fd).Message()
	}
	return at.Get(path[len(path)-1]).String()
}

func set(m proto.Message, path []protoreflect.FieldDescriptor, value string) {
	at := m.ProtoReflect()
	for _, fd := range path[:len(path)-1] {
		at = at.Mutable(fd).Message()
	}
	at.Set(path[len(path)-1], protoreflect.ValueOfString(value))
}
