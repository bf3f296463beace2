package accesstest

import (
	"net/http"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// variable is a part of a route that a field fills.
type variable struct{ field, pattern string }

// value fills the pattern with what the world has; anything else is `x`.
func (v variable) value(w World) string {
	parts := strings.Split(v.pattern, "/")
	for i, p := range parts {
		if p != "*" {
			continue
		}
		parts[i] = "x"
		if i == 0 {
			continue
		}
		switch parts[i-1] {
		case "accounts":
			parts[i] = w.Account
		case "sites":
			parts[i] = w.Site
		case "versions", "releases":
			parts[i] = "1"
		}
	}
	return strings.Join(parts, "/")
}

type parsedRoute struct {
	method, template, body string
	variables              []variable
}

// route takes the route of an RPC apart; it is empty where there is none.
func route(m protoreflect.MethodDescriptor) parsedRoute {
	rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	r := parsedRoute{body: rule.GetBody()}
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		r.method, r.template = http.MethodGet, p.Get
	case *annotations.HttpRule_Post:
		r.method, r.template = http.MethodPost, p.Post
	case *annotations.HttpRule_Patch:
		r.method, r.template = http.MethodPatch, p.Patch
	case *annotations.HttpRule_Put:
		r.method, r.template = http.MethodPut, p.Put
	case *annotations.HttpRule_Delete:
		r.method, r.template = http.MethodDelete, p.Delete
	}
	rest := r.template
	for {
		_, after, ok := strings.Cut(rest, "{")
		if !ok {
			return r
		}
		inside, tail, _ := strings.Cut(after, "}")
		field, pattern, given := strings.Cut(inside, "=")
		if !given {
			pattern = "*"
		}
		r.variables = append(r.variables, variable{field, pattern})
		rest = tail
	}
}

// HTTP is the case as a REST request: method, path with query, and body. ok is false for an
// RPC without a route.
func (c Case) HTTP(w World) (method, path string, body []byte, ok bool) {
	r := route(c.Rule.Method)
	if r.method == "" {
		return "", "", nil, false
	}
	path = r.template
	for _, v := range r.variables {
		for _, written := range []string{"{" + v.field + "}", "{" + v.field + "=" + v.pattern + "}"} {
			path = strings.ReplaceAll(path, written, v.value(w))
		}
	}
	if c.Rule.Mutates {
		path += "?validateOnly=true"
	}
	if r.body != "" {
		// What the path says is not said again, and an empty message is a body all the same.
		body = []byte("{}")
		if r.body != "*" {
			body = nested(c.Request, r.body)
		}
	}
	return r.method, path, body, true
}

// nested is the message in one field, in JSON, without what is only in the path.
func nested(m proto.Message, field string) []byte {
	at := m.ProtoReflect()
	fd := at.Descriptor().Fields().ByName(protoreflect.Name(field))
	b, err := protojson.Marshal(at.Get(fd).Message().Interface())
	if err != nil {
		return []byte("{}")
	}
	return b
}
