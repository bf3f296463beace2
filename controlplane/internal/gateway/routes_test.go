package gateway

import (
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// Every RPC with a route is reached by it: the table here and the generated code agree, and
// no service was forgotten.
func TestEveryRoute(t *testing.T) {
	a, h := start(t, Config{Dev: true})
	routes, err := newTable(services(true))
	if err != nil {
		t.Fatal(err)
	}
	reached := map[string]bool{}
	for _, all := range routes.byShape {
		for _, rt := range all {
			segments := make([]string, len(rt.template.segments))
			for i, s := range rt.template.segments {
				if segments[i] = s; s == "" {
					segments[i] = "x1"
				}
			}
			target := "/" + strings.Join(segments, "/")
			if rt.template.verb != "" {
				target += ":" + rt.template.verb
			}
			a.reset(nil)
			got := do(t, h, rt.httpMethod, target, "")
			method, req, _ := a.last()
			if got.code != 200 || method != rt.fullMethod {
				t.Errorf("%s %s: got %d, reached %q, want %q: %s", rt.httpMethod, target, got.code, method, rt.fullMethod, got.body)
				continue
			}
			for field, value := range rt.template.values(segments) {
				m := req.ProtoReflect()
				for name := range strings.SplitSeq(field, ".") {
					v := m.Get(m.Descriptor().Fields().ByName(protoreflect.Name(name)))
					if inner, ok := v.Interface().(protoreflect.Message); ok {
						m = inner
					} else if v.String() != value {
						t.Errorf("%s: %s is %q, want %q", target, field, v, value)
					}
				}
			}
			reached[method] = true
		}
	}
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if !strings.HasPrefix(string(file.Package()), "breakwater.") {
			return true
		}
		for i := range file.Services().Len() {
			s := file.Services().Get(i)
			for j := range s.Methods().Len() {
				m := s.Methods().Get(j)
				full := "/" + string(s.FullName()) + "/" + string(m.Name())
				if proto.HasExtension(m.Options(), annotations.E_Http) && !reached[full] {
					t.Errorf("%s has a route that is not served", full)
				}
			}
		}
		return true
	})
}

func TestTemplates(t *testing.T) {
	for _, path := range []string{"v1/x", "/v1/{name", "/v1/{name=**}", "/v1/{name}x", "/v1/x}"} {
		if _, err := parseTemplate(path); err == nil {
			t.Errorf("%q was taken", path)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	_, h := start(b, Config{})
	for b.Loop() {
		if got := do(b, h, "PATCH", site+"/settings", `{"tlsMode":"FULL","hsts":{"enabled":true}}`, "Authorization", "Bearer x"); got.code != 200 {
			b.Fatal(got)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	_, h := start(b, Config{})
	for b.Loop() {
		if got := do(b, h, "GET", site, "", "Authorization", "Bearer x"); got.code != 200 {
			b.Fatal(got)
		}
	}
}

// BenchmarkCall is the same call without the gateway.
func BenchmarkCall(b *testing.B) {
	conn, _ := dial(b)
	client := breakwaterv1.NewSiteServiceClient(conn)
	for b.Loop() {
		if _, err := client.GetSite(b.Context(), &breakwaterv1.GetSiteRequest{Name: "accounts/acme/sites/shop.test"}); err != nil {
			b.Fatal(err)
		}
	}
}
