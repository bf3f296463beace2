package main

import (
	"bytes"
	"maps"
	"strings"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/getkin/kin-openapi/openapi3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// testProtos describes breakwater/v1/sites.proto with one service of three RPCs,
// the way a compiler would.
func testProtos(t *testing.T) *protos {
	t.Helper()
	str, enum, boolean := descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_TYPE_ENUM,
		descriptorpb.FieldDescriptorProto_TYPE_BOOL
	field := func(number int32, name string, kind descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{
			Name: new(name), Number: new(number), Type: &kind,
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}
	}
	domain := field(2, "domain", str)
	domain.Options = &descriptorpb.FieldOptions{}
	proto.SetExtension(domain.GetOptions(), validate.E_Field, &validate.FieldRules{
		Type: &validate.FieldRules_String_{String_: &validate.StringRules{
			MinLen: proto.Uint64(1), MaxLen: proto.Uint64(253), Pattern: new("^[a-z.]+$"),
		}},
	})
	scope := field(1, "scope", enum)
	scope.TypeName = new(".breakwater.v1.Access.Scope")
	method := func(name, permission string, scope uint64, mutates bool) *descriptorpb.MethodDescriptorProto {
		var value []byte
		value = protowire.AppendVarint(protowire.AppendTag(value, 1, protowire.VarintType), scope)
		value = protowire.AppendString(protowire.AppendTag(value, 2, protowire.BytesType), permission)
		value = protowire.AppendVarint(protowire.AppendTag(value, 4, protowire.VarintType), protowire.EncodeBool(mutates))
		options := &descriptorpb.MethodOptions{}
		options.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 82613, protowire.BytesType), value))
		return &descriptorpb.MethodDescriptorProto{
			Name: new(name), Options: options,
			InputType: new(".breakwater.v1.Site"), OutputType: new(".breakwater.v1.Site"),
		}
	}
	message := descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	set := &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{
		protodesc.ToFileDescriptorProto(descriptorpb.File_google_protobuf_descriptor_proto),
		{
			Name: new("breakwater/v1/sites.proto"), Package: new("breakwater.v1"),
			Syntax: new("proto3"), Dependency: []string{"google/protobuf/descriptor.proto"},
			MessageType: []*descriptorpb.DescriptorProto{
				{
					Name: new("Access"),
					Field: []*descriptorpb.FieldDescriptorProto{
						scope, field(2, "permission", str), field(4, "mutates", boolean),
					},
					EnumType: []*descriptorpb.EnumDescriptorProto{{
						Name: new("Scope"),
						Value: []*descriptorpb.EnumValueDescriptorProto{
							{Name: new("SCOPE_UNSPECIFIED"), Number: proto.Int32(0)},
							{Name: new("PUBLIC"), Number: proto.Int32(1)},
							{Name: new("SITE"), Number: proto.Int32(4)},
						},
					}},
				},
				{Name: new("Site"), Field: []*descriptorpb.FieldDescriptorProto{
					field(1, "name", str), domain, field(3, "request_id", str), field(4, "validate_only", boolean),
				}},
			},
			Extension: []*descriptorpb.FieldDescriptorProto{{
				Name: new("access"), Number: proto.Int32(82613), Type: &message,
				TypeName: new(".breakwater.v1.Access"), Extendee: new(".google.protobuf.MethodOptions"),
				Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			}},
			Service: []*descriptorpb.ServiceDescriptorProto{{
				Name: new("SiteService"),
				Method: []*descriptorpb.MethodDescriptorProto{
					method("GetSite", "sites.get", 1, false), method("UpdateSite", "sites.update", 4, true),
					method("CreateSite", "sites.create", 4, true),
					{
						Name: new("Undeclared"), InputType: new(".breakwater.v1.Site"),
						OutputType: new(".breakwater.v1.Site"),
					},
				},
			}},
		},
	}}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	return &protos{files: files, types: dynamicpb.NewTypes(files)}
}

func ref(name string) object { return object{"$ref": "#/components/schemas/" + name} }

func content(schema object) object {
	return object{"content": object{"application/json": object{"schema": schema}}}
}

func pathParameter(name string) object {
	return object{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}}
}

func operation(id string, more object) object {
	op := object{
		"operationId": id, "tags": []any{"SiteService"}, "summary": "Does it.",
		"responses": object{"200": content(ref("breakwater.v1.Site")), "default": content(ref(statusSchema))},
	}
	maps.Copy(op, more)
	if op["responses"] != nil {
		for _, response := range child(op, "responses") {
			response.(object)["description"] = "An answer."
		}
	}
	return op
}

// testPart has the shape that the generator writes.
func testPart() part {
	status := object{"type": "object", "properties": object{"code": object{"type": "integer"}}}
	site := object{"type": "object", "properties": object{
		"name": object{"type": "string"}, "domain": object{"type": "string"},
	}}
	create := object{"type": "object", "properties": object{
		"domain": object{"type": "string"}, "requestId": object{"type": "string"}, "validateOnly": object{"type": "boolean"},
	}}
	return part{proto: "breakwater/v1/sites.proto", doc: object{
		"paths": object{
			"/v1/accounts/{name}/sites/{name_1}": object{"get": operation("SiteService_GetSite", object{
				"parameters": []any{pathParameter("name"), pathParameter("name_1")},
			})},
			"/v1/accounts/{site.name}/sites/{site.name_1}": object{"patch": operation("SiteService_UpdateSite", object{
				"parameters": []any{
					pathParameter("site.name"), pathParameter("site.name_1"),
					object{"name": "requestId", "in": "query", "schema": object{"type": "string"}},
				},
				"requestBody": content(ref("breakwater.v1.Site")),
			})},
			"/v1/accounts/{parent}/sites": object{"post": operation("SiteService_CreateSite", object{
				"parameters": []any{pathParameter("parent")}, "requestBody": content(create),
			})},
		},
		"components": object{"schemas": object{"breakwater.v1.Site": site, statusSchema: status}},
		"tags":       []any{object{"name": "SiteService"}},
	}}
}

func mustBuild(t *testing.T) object {
	t.Helper()
	doc, err := build(testProtos(t), []part{testPart()})
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestBuildIsDeterministic(t *testing.T) {
	first, err := encode(mustBuild(t))
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		again, err := encode(mustBuild(t))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, again) {
			t.Fatal("two runs differ")
		}
	}
	checkDocument(t, first)
}

func TestBuildJoinsMethodsOfOnePath(t *testing.T) {
	item := child(child(mustBuild(t), "paths"), "/v1/accounts/{account}/sites/{site}")
	get, patch := child(item, "get"), child(item, "patch")
	if get["operationId"] != "GetSite" || patch["operationId"] != "UpdateSite" {
		t.Fatalf("get is %v, patch is %v", get["operationId"], patch["operationId"])
	}
	if security, ok := get["security"].([]any); !ok || len(security) != 0 {
		t.Errorf("a public operation has the security %v", get["security"])
	}
	if words, _ := get["description"].(string); get["x-permission"] != nil || strings.Contains(words, "permission") {
		t.Errorf("a public operation asks for the permission %v: %s", get["x-permission"], words)
	}
	if patch["x-permission"] != "sites.update" {
		t.Errorf("the permission is %v", patch["x-permission"])
	}
	var names []string
	for _, entry := range list(patch, "parameters") {
		entry := entry.(object)
		name, _ := entry["name"].(string)
		ref, _ := entry["$ref"].(string)
		names = append(names, name+strings.TrimPrefix(ref, "#/components/parameters/"))
	}
	if got, want := strings.Join(names, " "), "account site IdempotencyKey ValidateOnly IfMatch"; got != want {
		t.Errorf("parameters are %q, want %q", got, want)
	}
}

func TestBuildWritesRules(t *testing.T) {
	doc := mustBuild(t)
	body := inlineBody(child(child(child(doc, "paths"), "/v1/accounts/{account}/sites"), "post"))
	if len(child(body, "properties")) != 1 {
		t.Errorf("the body shows what REST carries elsewhere: %v", body)
	}
	domain := child(child(body, "properties"), "domain")
	if domain["pattern"] != "^[a-z.]+$" || domain["minLength"] != uint64(1) || domain["maxLength"] != uint64(253) {
		t.Errorf("in a request the domain is %v", domain)
	}
	site := child(child(child(doc, "components"), "schemas"), "breakwater.v1.Site")
	domain = child(child(site, "properties"), "domain")
	if domain["pattern"] != "^$|^[a-z.]+$" || domain["minLength"] != nil {
		t.Errorf("in an answer, which may show it empty, the domain is %v", domain)
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*part)
		want   string
	}{
		"an RPC without access": {func(p *part) {
			child(child(child(p.doc, "paths"), "/v1/accounts/{parent}/sites"), "post")["operationId"] = "SiteService_Undeclared"
		}, "declares no access"},
		"an operation without RPC": {func(p *part) {
			child(child(child(p.doc, "paths"), "/v1/accounts/{parent}/sites"), "post")["operationId"] = "SiteService_Nothing"
		}, "no RPC"},
		"one name twice": {func(p *part) {
			child(child(child(p.doc, "paths"), "/v1/accounts/{parent}/sites"), "post")["operationId"] = "SiteService_GetSite"
		}, "two operations"},
		"one route twice": {func(p *part) {
			child(p.doc, "paths")["/v1/accounts/{other}/sites"] = object{"post": operation("SiteService_CreateSite", nil)}
		}, "described twice"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := testPart()
			test.change(&changed)
			_, err := build(testProtos(t), []part{changed})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want an error that says %q", err, test.want)
			}
		})
	}
}

func TestMergeRefusesTwoShapesOfOneSchema(t *testing.T) {
	one, two := testPart(), testPart()
	two.doc["paths"] = object{}
	if _, err := merge([]part{one, two}); err != nil {
		t.Fatalf("equal schemas: %v", err)
	}
	child(child(two.doc, "components"), "schemas")[statusSchema] = object{"type": "string"}
	one = testPart()
	if _, err := merge([]part{one, two}); err == nil {
		t.Fatal("different schemas are merged")
	}
}

func TestNameParameters(t *testing.T) {
	for path, want := range map[string]string{
		"/v1/accounts/{name}":                     "/v1/accounts/{account}",
		"/v1/accounts/{name}/alertPolicies/{n_1}": "/v1/accounts/{account}/alertPolicies/{alertPolicy}",
		"/v1/sites/{name}:undelete":               "/v1/sites/{site}:undelete",
		"/v1/sites/{name}/sites/{name_1}":         "/v1/sites/{site}/sites/{name_1}",
		"/v1/accounts/{parent}/sites:watch":       "/v1/accounts/{account}/sites:watch",
		"/v1/dataCenters/{data_center}/servers":   "/v1/dataCenters/{dataCenter}/servers",
	} {
		if got, _ := nameParameters(path, object{}); got != want {
			t.Errorf("%s became %s, want %s", path, got, want)
		}
	}
}

func checkDocument(t *testing.T, text []byte) {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context(), openapi3.IsOpenAPI31OrLater()); err != nil {
		t.Fatal(err)
	}
}
