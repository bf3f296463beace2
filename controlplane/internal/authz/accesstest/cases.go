package accesstest

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz"
)

// World names what the server under test has.
type World struct {
	// Account is an account, and Site a domain of it; Other is another account. The site
	// need not exist: permission is decided before existence.
	Account, Site, Other string
}

// Credentials are the bearers that the cases use.
type Credentials struct {
	// Malformed is no credential, Unknown looks like one.
	Malformed, Unknown string
	// Expired and Revoked had every permission in the account.
	Expired, Revoked string
	// Star has `*` in the account, OtherTenant in the other one.
	Star, OtherTenant string
	// WrongSite has `*` in the account, limited to a site that is not the world's.
	WrongSite string
	// Without has permissions in the account, but not the one named; Only has that one
	// alone.
	Without, Only func(permission string) string
	// Operator is an operator's.
	Operator string
}

// Outcome is what a case must come to.
type Outcome int

// The outcomes.
const (
	// Unauthenticated is UNAUTHENTICATED, 401.
	Unauthenticated Outcome = iota + 1
	// Denied is PERMISSION_DENIED, 403.
	Denied
	// Allowed is anything that is neither: the call reached its handler, or was refused for
	// what it asks.
	Allowed
)

func (o Outcome) String() string {
	return [...]string{"", "unauthenticated", "denied", "allowed"}[o]
}

// Case is one call and what it must come to.
type Case struct {
	// Name says what is tried, as `SiteService/GetSite: wrong site`.
	Name string
	Rule *authz.Rule
	// Bearer is the credential, or empty.
	Bearer string
	// Request is the message, with the resource's name and path fields set.
	Request proto.Message
	Want    Outcome
}

// handlerDecides are the RPCs for any credential whose handlers refuse some.
var handlerDecides = []string{"accounts.create", "members.accept"}

// Cases are the matrix of all RPCs of a table.
func Cases(table *authz.Table, w World, c Credentials) []Case {
	var out []Case
	for _, r := range table.Rules() {
		out = append(out, casesOf(r, w, c)...)
	}
	return out
}

func casesOf(r *authz.Rule, w World, c Credentials) []Case {
	var out []Case
	add := func(what, bearer string, want Outcome) {
		out = append(out, Case{
			Name: fmt.Sprintf("%s/%s: %s", r.Method.Parent().Name(), r.Method.Name(), what),
			Rule: r, Bearer: bearer, Request: request(r, w), Want: want,
		})
	}
	bad := Unauthenticated
	if r.Scope == breakwaterv1.Access_PUBLIC {
		bad = Allowed
	}
	add("no credential", "", bad)
	add("a malformed credential", c.Malformed, bad)
	add("an unknown credential", c.Unknown, bad)
	add("an expired credential", c.Expired, bad)
	add("a revoked credential", c.Revoked, bad)

	switch r.Scope {
	case breakwaterv1.Access_PUBLIC:
	case breakwaterv1.Access_AUTHENTICATED:
		want := Allowed
		for _, p := range handlerDecides {
			if p == r.Permission {
				want = Denied
			}
		}
		add("any credential", c.Star, want)
	case breakwaterv1.Access_OPERATOR, breakwaterv1.Access_DEV:
		add("every permission in an account", c.Star, Denied)
	case breakwaterv1.Access_EDGE:
		add("every permission in an account", c.Star, Unauthenticated)
		add("an operator, who is no edge server", c.Operator, Unauthenticated)
	case breakwaterv1.Access_ACCOUNT, breakwaterv1.Access_SITE:
		add("another tenant", c.OtherTenant, Denied)
		add("other permissions", c.Without(r.Permission), Denied)
		add("the permission alone", c.Only(r.Permission), Allowed)
		add("every permission in the account", c.Star, Allowed)
		add("an operator", c.Operator, Allowed)
		if r.Scope == breakwaterv1.Access_SITE {
			add("a wrong site", c.WrongSite, Denied)
		}
	default:
	}
	return out
}

// request makes the message with its path's fields set.
func request(r *authz.Rule, w World) proto.Message {
	m := dynamicpb.NewMessage(r.Method.Input())
	for _, v := range route(r.Method).variables {
		set(m, v.field, v.value(w))
	}
	if fd := m.Descriptor().Fields().ByName("owner_email"); fd != nil {
		// The handler, which decides here, is behind the validation.
		m.Set(fd, protoreflect.ValueOfString("somebody@example.com"))
	}
	if r.Mutates {
		m.Set(m.Descriptor().Fields().ByName("validate_only"), protoreflect.ValueOfBool(true))
	}
	return m
}

// set sets a field by its dotted path. A number gets one that does not exist.
func set(m protoreflect.Message, path, value string) {
	name, rest, nested := strings.Cut(path, ".")
	fd := m.Descriptor().Fields().ByName(protoreflect.Name(name))
	switch {
	case nested:
		set(m.Mutable(fd).Message(), rest, value)
	case fd.Kind() == protoreflect.StringKind:
		m.Set(fd, protoreflect.ValueOfString(value))
	case fd.Kind() == protoreflect.Int64Kind:
		m.Set(fd, protoreflect.ValueOfInt64(1))
	case fd.Kind() == protoreflect.Int32Kind:
		m.Set(fd, protoreflect.ValueOfInt32(1))
	}
}
