package server_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
)

// Every RPC that the protos declare is served, on gRPC and REST, and refuses the same
// callers with the same code on both.
func TestAccess(t *testing.T) {
	cp := controlplanetest.Start(t, controlplanetest.SmallFleet(t, 3))
	strangers := makeStrangers(t, cp)
	rules := apiRules(t)
	if len(rules) < 60 {
		t.Fatalf("only %d RPCs are declared", len(rules))
	}
	for _, rule := range rules {
		t.Run(strings.TrimPrefix(rule.FullMethod, "/breakwater."), func(t *testing.T) {
			for _, c := range strangers {
				want, applies := c.expect(rule)
				if !applies {
					continue
				}
				viaGRPC := c.overGRPC(t, rule)
				if !want(viaGRPC) {
					t.Errorf("%s by gRPC: %v", c.who, viaGRPC)
				}
				for _, binding := range bindings(rule.Method) {
					// What is only tried differs in what else the request has.
					if code, told := c.overREST(t, cp, rule, binding); !want(code) || code != viaGRPC && !c.try {
						t.Errorf("%s by %s %s: %v, by gRPC %v: %s", c.who, binding.method, binding.path, code, viaGRPC, told)
					}
				}
			}
		})
	}
}

// apiRules are the rules of every RPC of the API, as the protos have them: not of what the
// server registered.
func apiRules(t *testing.T) []*authz.Rule {
	t.Helper()
	var services []protoreflect.ServiceDescriptor
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if p := f.Package(); p == "breakwater.v1" || p == "breakwater.ops.v1" {
			for i := range f.Services().Len() {
				services = append(services, f.Services().Get(i))
			}
		}
		return true
	})
	table, err := authz.NewTable(services...)
	if err != nil {
		t.Fatal(err)
	}
	rules := table.Rules()
	slices.SortFunc(rules, func(a, b *authz.Rule) int { return cmp.Compare(a.FullMethod, b.FullMethod) })
	return rules
}

// stranger is somebody with a credential, and what becomes of their calls.
type stranger struct {
	who, token string
	conn       *grpc.ClientConn
	// account and site are what they call for.
	account, site string
	// try says that changes are only tried.
	try bool
	// expect says what the answer to an RPC must be; applies is false where it may be
	// anything.
	expect func(*authz.Rule) (want func(codes.Code) bool, applies bool)
}

func makeStrangers(t *testing.T, cp *controlplanetest.ControlPlane) []*stranger {
	t.Helper()
	acme, other := cp.Account("acme"), cp.Account("other")
	for _, domain := range []string{"shop.test", "second.test"} {
		acme.OK(http.MethodPost, "/v1/accounts/acme/sites", `{"domain": "`+domain+`", "origin": {"address": "203.0.113.10"}}`)
	}
	token := func(body string) (name, secret string) {
		made := acme.OK(http.MethodPost, "/v1/accounts/acme/tokens", body)
		return made.Text("token.name"), made.Text("secret")
	}
	revokedName, revoked := token(`{"displayName": "revoked", "permissions": ["*"]}`)
	acme.OK(http.MethodDelete, "/v1/"+revokedName, "")
	soon := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	_, expired := token(`{"displayName": "expired", "permissions": ["*"], "expireTime": "` + soon + `"}`)
	cp.REST(cp.Operator).OK(http.MethodPost, "/v1/dev/clock:advance", `{"by": "7200s"}`)
	_, weak := token(`{"displayName": "weak", "permissions": ["sites.pause"]}`)
	_, elsewhere := token(`{"displayName": "elsewhere", "permissions": ["*"], "sites": ["second.test"]}`)
	for who, secret := range map[string]string{"revoked": revoked, "expired": expired} {
		cp.Eventually(who+" token is refused", func() bool {
			return cp.REST(secret).Do(http.MethodGet, "/v1/me", "").Status == http.StatusUnauthorized
		})
	}

	is := func(want codes.Code) func(codes.Code) bool { return func(got codes.Code) bool { return got == want } }
	unauthenticated := func(r *authz.Rule) (func(codes.Code) bool, bool) {
		return is(codes.Unauthenticated), r.Scope != breakwaterv1.Access_PUBLIC
	}
	denied := func(scopes ...breakwaterv1.Access_Scope) func(*authz.Rule) (func(codes.Code) bool, bool) {
		scopes = append(scopes, breakwaterv1.Access_OPERATOR, breakwaterv1.Access_DEV)
		return func(r *authz.Rule) (func(codes.Code) bool, bool) {
			return is(codes.PermissionDenied), slices.Contains(scopes, r.Scope) && r.Permission != "sites.pause"
		}
	}
	// served is an answer of the RPC itself.
	served := func(r *authz.Rule) (func(codes.Code) bool, bool) {
		return func(got codes.Code) bool {
			switch got {
			case codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented, codes.Internal, codes.Unknown, codes.Unavailable:
				return false
			default:
				return true
			}
		}, r.Permission != "members.accept" // which takes the login of the member
	}
	const account, site = breakwaterv1.Access_ACCOUNT, breakwaterv1.Access_SITE
	strangers := []*stranger{
		{who: "nobody", expect: unauthenticated},
		{who: "a bad token", token: "bwt_0000000000000000_bad", expect: unauthenticated},
		{who: "an expired token", token: expired, expect: unauthenticated},
		{who: "a revoked token", token: revoked, expect: unauthenticated},
		{who: "another account", token: other.Token(), expect: denied(account, site)},
		{who: "a token without the permission", token: weak, expect: denied(account, site)},
		{who: "a token of another site", token: elsewhere, expect: denied(site)},
		{who: "another account, for what is not there", token: other.Token(), site: "absent.test", expect: denied(account, site)},
		{who: "the operator, for what is not there", token: cp.Operator, account: "nobody", try: true, expect: served},
	}
	for _, c := range strangers {
		c.conn = cp.As(c.token)
		c.account, c.site = cmp.Or(c.account, "acme"), cmp.Or(c.site, "shop.test")
	}
	return strangers
}

// fill puts names in the place of a pattern's stars.
func (c *stranger) fill(pattern string) string {
	segments := strings.Split(pattern, "/")
	for i := 1; i < len(segments); i++ {
		if segments[i] != "*" {
			continue
		}
		switch segments[i-1] {
		case "accounts":
			segments[i] = c.account
		case "sites":
			segments[i] = c.site
		default:
			segments[i] = "1"
		}
	}
	return strings.Join(segments, "/")
}

// request makes a request that names the resource and is otherwise empty.
func (c *stranger) request(t *testing.T, rule *authz.Rule) proto.Message {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(rule.Method.Input().FullName())
	if err != nil {
		t.Fatal(err)
	}
	m := kind.New()
	at := m
	for i, field := range rule.Resource {
		if i < len(rule.Resource)-1 {
			at = at.Mutable(field).Message()
			continue
		}
		at.Set(field, protoreflect.ValueOfString(c.fill(rule.Pattern)))
	}
	if f := m.Descriptor().Fields().ByName("validate_only"); f != nil && c.try {
		m.Set(f, protoreflect.ValueOfBool(true))
	}
	return m.Interface()
}

func (c *stranger) overGRPC(t *testing.T, rule *authz.Rule) codes.Code {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	answer, err := protoregistry.GlobalTypes.FindMessageByName(rule.Method.Output().FullName())
	if err != nil {
		t.Fatal(err)
	}
	if !rule.Method.IsStreamingServer() {
		return status.Code(c.conn.Invoke(ctx, rule.FullMethod, c.request(t, rule), answer.New().Interface()))
	}
	stream, err := c.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, rule.FullMethod)
	if err != nil {
		return status.Code(err)
	}
	if err := errors.Join(stream.SendMsg(c.request(t, rule)), stream.CloseSend()); err != nil {
		return status.Code(err)
	}
	if err := stream.RecvMsg(answer.New().Interface()); !errors.Is(err, io.EOF) {
		return status.Code(err)
	}
	return codes.OK
}

// binding is one route of an RPC.
type binding struct{ method, path, body string }

func bindings(m protoreflect.MethodDescriptor) []binding {
	rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	var out []binding
	for _, r := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
		b := binding{body: r.GetBody()}
		switch p := r.GetPattern().(type) {
		case *annotations.HttpRule_Get:
			b.method, b.path = http.MethodGet, p.Get
		case *annotations.HttpRule_Post:
			b.method, b.path = http.MethodPost, p.Post
		case *annotations.HttpRule_Patch:
			b.method, b.path = http.MethodPatch, p.Patch
		case *annotations.HttpRule_Delete:
			b.method, b.path = http.MethodDelete, p.Delete
		}
		out = append(out, b)
	}
	return out
}

// httpCodes are the codes that each status may stand for.
var httpCodes = map[int][]codes.Code{
	http.StatusOK:                 {codes.OK},
	http.StatusUnauthorized:       {codes.Unauthenticated},
	http.StatusForbidden:          {codes.PermissionDenied},
	http.StatusNotFound:           {codes.NotFound},
	http.StatusBadRequest:         {codes.InvalidArgument, codes.FailedPrecondition, codes.OutOfRange},
	http.StatusConflict:           {codes.AlreadyExists, codes.Aborted},
	http.StatusTooManyRequests:    {codes.ResourceExhausted},
	http.StatusServiceUnavailable: {codes.Unavailable},
}

func (c *stranger) overREST(t *testing.T, cp *controlplanetest.ControlPlane, rule *authz.Rule, b binding) (codes.Code, string) {
	t.Helper()
	if b.path == "" {
		t.Errorf("%s has no REST route", rule.FullMethod)
		return codes.Unknown, ""
	}
	path := b.path
	if open, end := strings.IndexByte(path, '{'), strings.IndexByte(path, '}'); open >= 0 {
		_, pattern, ok := strings.Cut(path[open+1:end], "=")
		if !ok {
			pattern = "*"
		}
		path = path[:open] + c.fill(pattern) + path[end+1:]
	}
	if c.try && rule.Mutates {
		path += "?validateOnly=true"
	}
	body := ""
	if b.body != "" {
		body = "{}"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	client := cp.REST(c.token)
	try := func() (controlplanetest.Response, error) { return client.Try(ctx, b.method, path, body) }
	if rule.Method.IsStreamingServer() {
		try = func() (controlplanetest.Response, error) { return client.TryStream(ctx, path) }
	}
	r, err := try()
	if err != nil {
		t.Fatal(err)
	}
	code := codes.Code(r.Body.Int("code"))
	if !slices.Contains(httpCodes[r.Status], code) || r.Status != http.StatusOK && r.Reason() == "" {
		t.Errorf("%s by %s %s: status %d with %s", c.who, b.method, path, r.Status, r.Raw)
	}
	if code == codes.PermissionDenied && r.Detail("ErrorInfo").Text("metadata.permission") != rule.Permission {
		t.Errorf("%s by %s %s: the refusal does not name %s: %s", c.who, b.method, path, rule.Permission, r.Raw)
	}
	return code, string(r.Raw)
}
