package authz

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Rule is what an RPC declares.
type Rule struct {
	// FullMethod is the gRPC method, `/package.Service/Method`.
	FullMethod string
	// Method is the RPC's descriptor.
	Method protoreflect.MethodDescriptor
	// Scope is the tenant boundary.
	Scope breakwaterv1.Access_Scope
	// Permission is what the caller needs.
	Permission string
	// Resource is the path of the field with the resource's name; empty where there is none.
	Resource []protoreflect.FieldDescriptor
	// ResourceField is the same path in JSON names.
	ResourceField string
	// Pattern is what the name looks like, such as `accounts/*/sites/*`.
	Pattern string
	// Body is the field of the request that a REST body is; empty where the body is the whole
	// request or there is none.
	Body string
	// Mutates says that the RPC takes an idempotency key and validateOnly.
	Mutates bool

	// created is the path of the field with the domain of a site that is made, if any.
	created []protoreflect.FieldDescriptor
}

// Table holds the rules of all RPCs of a server.
type Table struct{ rules map[string]*Rule }

var permissionForm = regexp.MustCompile(`^[a-z][A-Za-z]*\.[a-z][A-Za-z]*$`)

// NewTable reads the declarations of the services. It fails naming every RPC whose
// declaration is missing or contradicts its request. Services of other projects, such as
// health and reflection, declare nothing: leave them out, and serve them where that is
// right.
func NewTable(services ...protoreflect.ServiceDescriptor) (*Table, error) {
	t := &Table{rules: map[string]*Rule{}}
	var problems []error
	for _, s := range services {
		for i := range s.Methods().Len() {
			rule, err := newRule(s.Methods().Get(i))
			if err != nil {
				problems = append(problems, err)
				continue
			}
			t.rules[rule.FullMethod] = rule
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return t, nil
}

// Rule returns the rule of a method.
func (t *Table) Rule(fullMethod string) (*Rule, bool) {
	r, ok := t.rules[fullMethod]
	return r, ok
}

// Rules returns all rules in the order of their methods' names.
func (t *Table) Rules() []*Rule {
	out := make([]*Rule, 0, len(t.rules))
	for _, r := range t.rules {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *Rule) int { return strings.Compare(a.FullMethod, b.FullMethod) })
	return out
}

func newRule(m protoreflect.MethodDescriptor) (*Rule, error) {
	fail := func(format string, args ...any) (*Rule, error) {
		return nil, fmt.Errorf("authz: %s: %s", m.FullName(), fmt.Sprintf(format, args...))
	}
	access, _ := proto.GetExtension(m.Options(), breakwaterv1.E_Access).(*breakwaterv1.Access)
	if access == nil || access.GetScope() == breakwaterv1.Access_SCOPE_UNSPECIFIED {
		return fail("declares no access")
	}
	if !permissionForm.MatchString(access.GetPermission()) {
		return fail("declares the permission %q, which is not `collection.verb`", access.GetPermission())
	}
	rule := &Rule{
		FullMethod: fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name()),
		Method:     m, Scope: access.GetScope(), Permission: access.GetPermission(), Mutates: access.GetMutates(),
	}
	if access.GetResource() != "" {
		var err error
		if rule.Resource, err = stringField(m.Input(), access.GetResource()); err != nil {
			return fail("%v", err)
		}
		rule.ResourceField = rpcerr.JSONPath(access.GetResource())
		rule.Pattern = pattern(m, access.GetResource())
		if rule.Pattern == "" {
			return fail("has no route that binds %s", access.GetResource())
		}
	}
	if err := rule.consistent(); err != nil {
		return fail("%v", err)
	}
	if http, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule); http.GetBody() != "*" {
		rule.Body = http.GetBody()
	}
	if rule.Permission == permissionCreateSite {
		rule.created, _ = stringField(m.Input(), "site.domain")
	}
	return rule, nil
}

// consistent finds declarations that can't be meant.
func (r *Rule) consistent() error {
	switch r.Scope {
	case breakwaterv1.Access_ACCOUNT:
		if !strings.HasPrefix(r.Pattern, "accounts/*") {
			return errors.New("is of scope ACCOUNT but names no resource below an account")
		}
	case breakwaterv1.Access_SITE:
		if !strings.HasPrefix(r.Pattern, "accounts/*/sites/*") {
			return errors.New("is of scope SITE but names no resource of a site")
		}
	default:
	}
	if r.Resource != nil && !strings.HasPrefix(r.Pattern, "accounts/*") {
		return fmt.Errorf("names the resource %s, which is not below an account", r.Pattern)
	}
	in := r.Method.Input().Fields()
	_, errKey := fieldOfKind(in, "request_id", protoreflect.StringKind)
	_, errDry := fieldOfKind(in, "validate_only", protoreflect.BoolKind)
	if r.Mutates && (errKey != nil || errDry != nil) {
		return errors.New("mutates but its request lacks request_id or validate_only")
	}
	if !r.Mutates && (errKey == nil || errDry == nil) {
		return errors.New("has request_id or validate_only but does not mutate")
	}
	return nil
}

// stringField resolves a dotted path to a string field.
func stringField(in protoreflect.MessageDescriptor, path string) ([]protoreflect.FieldDescriptor, error) {
	var out []protoreflect.FieldDescriptor
	parts := strings.Split(path, ".")
	for i, name := range parts {
		kind := protoreflect.MessageKind
		if i == len(parts)-1 {
			kind = protoreflect.StringKind
		}
		fd, err := fieldOfKind(in.Fields(), name, kind)
		if err != nil {
			return nil, err
		}
		out = append(out, fd)
		in = fd.Message()
	}
	return out, nil
}

func fieldOfKind(in protoreflect.FieldDescriptors, name string, kind protoreflect.Kind) (protoreflect.FieldDescriptor, error) {
	fd := in.ByName(protoreflect.Name(name))
	if fd == nil || fd.IsList() || fd.IsMap() || fd.Kind() != kind {
		return nil, fmt.Errorf("has no single field %s of kind %s", name, kind)
	}
	return fd, nil
}

// pattern finds what the field is bound to in the RPC's route: the route's template is the
// one place that says what a name looks like, for gRPC as well.
func pattern(m protoreflect.MethodDescriptor, field string) string {
	rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	var path string
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		path = p.Get
	case *annotations.HttpRule_Put:
		path = p.Put
	case *annotations.HttpRule_Post:
		path = p.Post
	case *annotations.HttpRule_Delete:
		path = p.Delete
	case *annotations.HttpRule_Patch:
		path = p.Patch
	}
	_, rest, ok := strings.Cut(path, "{"+field+"=")
	if !ok {
		return ""
	}
	bound, _, _ := strings.Cut(rest, "}")
	return bound
}
