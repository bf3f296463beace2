package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// route is one HTTP binding of one method.
type route struct {
	httpMethod string
	fullMethod string
	template   template
	input      protoreflect.MessageDescriptor
	// body is the field that the body fills, nil where bodyAll says that it is the whole
	// request, or where there is none.
	body    protoreflect.FieldDescriptor
	bodyAll bool
	streams bool
	// mutates says that the method changes something and so takes validateOnly.
	mutates bool
	// large says that the body may be a file or a long list.
	large bool
}

// largeBodies are the methods that take files and lists of thousands of entries.
var largeBodies = []string{
	"/breakwater.v1.DnsService/ImportDnsRecords",
	"/breakwater.v1.DnsService/BatchDnsRecords",
	"/breakwater.v1.SiteService/ConfigureSite",
	"/breakwater.v1.ThreatService/UpdateThreatSettings",
}

// resource is the name of what the request is about, which the path has in its first
// variable.
func (rt *route) resource(vars map[string]string) string {
	if len(rt.template.vars) == 0 {
		return ""
	}
	return vars[rt.template.vars[0].field]
}

// hasBody says whether the route reads a body at all.
func (rt *route) hasBody() bool { return rt.bodyAll || rt.body != nil }

// bound says whether a field of the request, by its proto path, comes from the path.
func (rt *route) bound(path string) bool {
	return slices.ContainsFunc(rt.template.vars, func(v variable) bool { return v.field == path })
}

// shape is what a path must have in common with a template before they are compared.
type shape struct {
	segments int
	verb     string
}

// table finds the route of a request. It is read-only once made.
type table struct{ byShape map[shape][]*route }

func newTable(services []protoreflect.ServiceDescriptor) (*table, error) {
	t := &table{byShape: map[shape][]*route{}}
	for _, s := range services {
		for i := range s.Methods().Len() {
			m := s.Methods().Get(i)
			rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
			if rule.GetPattern() == nil {
				continue
			}
			for _, r := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
				rt, err := newRoute(m, r)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", m.FullName(), err)
				}
				s := shape{len(rt.template.segments), rt.template.verb}
				t.byShape[s] = append(t.byShape[s], rt)
			}
		}
	}
	return t, nil
}

func newRoute(m protoreflect.MethodDescriptor, rule *annotations.HttpRule) (*route, error) {
	rt := &route{
		fullMethod: fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name()),
		input:      m.Input(),
		streams:    m.IsStreamingServer(),
	}
	rt.large = slices.Contains(largeBodies, rt.fullMethod)
	if access, ok := proto.GetExtension(m.Options(), breakwaterv1.E_Access).(*breakwaterv1.Access); ok {
		rt.mutates = access.GetMutates()
	}
	var path string
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		rt.httpMethod, path = http.MethodGet, p.Get
	case *annotations.HttpRule_Post:
		rt.httpMethod, path = http.MethodPost, p.Post
	case *annotations.HttpRule_Patch:
		rt.httpMethod, path = http.MethodPatch, p.Patch
	case *annotations.HttpRule_Put:
		rt.httpMethod, path = http.MethodPut, p.Put
	case *annotations.HttpRule_Delete:
		rt.httpMethod, path = http.MethodDelete, p.Delete
	default:
		return nil, fmt.Errorf("a rule of the kind %T is not served", p)
	}
	var err error
	if rt.template, err = parseTemplate(path); err != nil {
		return nil, err
	}
	switch body := rule.GetBody(); body {
	case "":
	case "*":
		rt.bodyAll = true
	default:
		if rt.body = rt.input.Fields().ByName(protoreflect.Name(body)); rt.body == nil || rt.body.Message() == nil {
			return nil, fmt.Errorf("the body %q is no message of the request", body)
		}
	}
	return rt, nil
}

// find returns the route of a request and the values of its path's variables. It sets Allow
// where only the method is wrong.
func (t *table) find(header http.Header, r *http.Request) (*route, map[string]string, error) {
	path := r.URL.Path
	// An encoded slash is none of the path's own, and nothing here has one in its ID.
	escaped := strings.ToLower(r.URL.RawPath)
	if !strings.HasPrefix(path, "/") || strings.Contains(escaped, "%2f") {
		return nil, nil, unknownRoute(r)
	}
	segments, verb := splitPath(path)
	var allowed []string
	for _, rt := range t.byShape[shape{len(segments), verb}] {
		if !rt.template.matches(segments) {
			continue
		}
		if rt.httpMethod == r.Method {
			return rt, rt.template.values(segments), nil
		}
		allowed = append(allowed, rt.httpMethod)
	}
	if len(allowed) == 0 {
		return nil, nil, unknownRoute(r)
	}
	return nil, nil, methodNotAllowed(header, r, allowed)
}

// methodNotAllowed is the error of a path that takes other methods, which it puts into the
// header too.
func methodNotAllowed(header http.Header, r *http.Request, allowed []string) error {
	allowed = slices.Clone(allowed)
	slices.Sort(allowed)
	allow := strings.Join(slices.Compact(allowed), ", ")
	header.Set("Allow", allow)
	return rpcerr.Failed(codes.Unimplemented, rpcerr.ReasonMethodNotAllowed,
		"%s is not possible here; possible: %s", r.Method, allow).WithMetadata("allow", allow)
}

func unknownRoute(r *http.Request) error {
	return rpcerr.Failed(codes.NotFound, rpcerr.ReasonNotFound, "there is no route %s", shorten(r.URL.Path)).
		WithMetadata("resource", shorten(r.URL.Path))
}

// shorten bounds what an error repeats of a request.
func shorten(text string) string {
	const most = 200
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
