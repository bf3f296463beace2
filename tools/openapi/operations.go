package main

import (
	"fmt"
	"maps"
	"strings"
)

// annotate completes every operation of one part with what its RPC declares.
func (p *protos) annotate(part part) error {
	for path, item := range child(part.doc, "paths") {
		for verb, operation := range item.(object) {
			operation := operation.(object)
			method, err := p.method(part.proto, operation["operationId"].(string))
			if err != nil {
				return err
			}
			access, err := p.accessOf(method)
			if err != nil {
				return err
			}
			p.constrainOperation(operation, method.Input())
			describeAccess(operation, access)
			child(operation, "responses")["default"] = object{"$ref": errorResponse}
			hideTransport(operation)
			if access.mutates {
				addMutationParameters(operation, path, verb)
			}
			shortenTags(operation)
		}
	}
	for _, tag := range list(part.doc, "tags") {
		tag := tag.(object)
		tag["name"] = shortTag(tag["name"].(string))
	}
	return nil
}

// describeAccess says in words, and for programs in x-permission, who may call. A permission
// is named where one is asked for: neither of public routes, nor where any credential will do.
func describeAccess(operation object, access access) {
	var note []string
	switch access.scope {
	case "PUBLIC":
		operation["security"] = []any{}
		note = append(note, "Public: needs no credential.")
		access.permission = ""
	case "AUTHENTICATED":
		note = append(note, "Any credential will do: no permission is asked for.")
		access.permission = ""
	case "OPERATOR":
		note = append(note, "Operators only.")
	case "DEV":
		note = append(note, "Operators only, in a development server only.")
	}
	if access.permission != "" {
		operation["x-permission"] = access.permission
		note = append(note, "Needs the permission `"+access.permission+"`.")
	}
	if len(note) == 0 {
		return
	}
	text := strings.Join(note, " ")
	if description, _ := operation["description"].(string); description != "" {
		text = description + "\n\n" + text
	}
	operation["description"] = text
}

// hideTransport takes the fields out that REST carries elsewhere: the key of a
// repeat is a header there, and validateOnly is always in the query.
func hideTransport(operation object) {
	if parameters := list(operation, "parameters"); parameters != nil {
		kept := []any{}
		for _, entry := range parameters {
			name := entry.(object)["name"]
			if name != "requestId" && name != "validateOnly" {
				kept = append(kept, entry)
			}
		}
		operation["parameters"] = kept
	}
	if body := inlineBody(operation); body != nil {
		properties := child(body, "properties")
		maps.DeleteFunc(properties, func(name string, _ any) bool {
			return name == "requestId" || name == "validateOnly"
		})
		if len(properties) == 0 {
			delete(body, "properties")
			child(operation, "requestBody")["required"] = false
		}
	}
}

// inlineBody returns the schema of a body that is the whole request, nil for
// one that is a resource or is not there.
func inlineBody(operation object) object {
	content := child(child(operation, "requestBody"), "content")
	schema, ok := child(content, "application/json")["schema"].(object)
	if !ok || schema["$ref"] != nil {
		return nil
	}
	return schema
}

// addMutationParameters adds what every mutating route takes. If-Match makes
// sense only where the resource exists already.
func addMutationParameters(operation object, path, verb string) {
	names := []string{"IdempotencyKey", "ValidateOnly"}
	if verb != "post" || strings.Contains(path, "}:") {
		names = append(names, "IfMatch")
	}
	parameters := list(operation, "parameters")
	for _, name := range names {
		parameters = append(parameters, object{"$ref": "#/components/parameters/" + name})
	}
	operation["parameters"] = parameters
}

func shortenTags(operation object) {
	tags := list(operation, "tags")
	for i, tag := range tags {
		tags[i] = shortTag(tag.(string))
	}
}

// shortTag names a group of routes: Site, not SiteService.
func shortTag(service string) string {
	return strings.TrimSuffix(service, "Service")
}

// shortenOperationIDs leaves only the RPC's name, which reads well in generated
// clients. Names that two services share would make them ambiguous, so they
// are refused and the RPC must be renamed.
func shortenOperationIDs(doc object) error {
	seen := map[string]string{}
	for path, item := range child(doc, "paths") {
		for _, operation := range item.(object) {
			operation := operation.(object)
			id := operation["operationId"].(string)
			_, short, _ := strings.Cut(id, "_")
			if other, taken := seen[short]; taken {
				return fmt.Errorf("two operations are called %s: %s and %s", short, other, path)
			}
			seen[short] = path
			operation["operationId"] = short
		}
	}
	return nil
}
