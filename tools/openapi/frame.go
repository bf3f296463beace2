package main

const (
	statusSchema  = "google.rpc.Status"
	errorResponse = "#/components/responses/Error"
)

// frame puts what holds for all of the API around routes and schemas.
func frame(paths, schemas object, tags map[string]object) object {
	tagList := []any{}
	for _, name := range sortedKeys(tags) {
		tagList = append(tagList, tags[name])
	}
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title":   "Breakwater API",
			"version": "v1",
			"license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
			"description": "The control plane of a content delivery network. Every route is an RPC of the same name; " +
				"bodies are the JSON mapping of proto3. Unknown fields and parameters are refused. Every response " +
				"carries X-Request-Id.",
		},
		"servers":  []any{object{"url": "/"}},
		"security": []any{object{"bearer": []any{}}},
		"tags":     tagList,
		"paths":    paths,
		"components": object{
			"schemas":    schemas,
			"parameters": sharedParameters(),
			"responses": object{"Error": object{
				"description": "The call failed. The details always hold a google.rpc.ErrorInfo with the domain breakwater " +
					"and a reason in upper case, and where they apply BadRequest, PreconditionFailure, QuotaFailure, " +
					"RetryInfo and Help.",
				"content": object{"application/json": object{
					"schema": object{"$ref": "#/components/schemas/" + statusSchema},
				}},
			}},
			"securitySchemes": object{"bearer": object{
				"type":        "http",
				"scheme":      "bearer",
				"description": "An API token, `bwt_…`, or the secret of a login.",
			}},
		},
	}
}

// sharedParameters are the ones that mutating routes refer to.
func sharedParameters() object {
	return object{
		"IdempotencyKey": object{
			"name": "Idempotency-Key",
			"in":   "header",
			"description": "Makes the call safe to repeat for 24 hours: a repeat with the same key and body gets the first " +
				"success again.",
			"schema": object{"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
		},
		"IfMatch": object{
			"name":        "If-Match",
			"in":          "header",
			"description": "The etag that the resource must still have, instead of the one in the body or the query.",
			"schema":      object{"type": "string"},
		},
		"ValidateOnly": object{
			"name":        "validateOnly",
			"in":          "query",
			"description": "Makes all checks and answers as if the call had been made, but stores nothing.",
			"schema":      object{"type": "boolean"},
		},
	}
}
