// Command openapi joins the OpenAPI 3.1 parts that protoc-gen-openapiv3 writes,
// one for each proto file, into the one document that the server offers at
// /openapi.json, and writes a small Go file that embeds it.
//
// The parts describe routes and messages. What they cannot know comes from the
// protos' descriptors: the permission and scope that each RPC declares, and the
// protovalidate rules, which become JSON Schema keywords. What holds for all of
// the API is added here: the bearer credential, the shared error response, the
// Idempotency-Key and If-Match headers, validateOnly, and path parameters named
// after their collection (accounts/{account}, not accounts/{name}).
//
// The output is deterministic: equal protos give equal bytes. Two parts that
// disagree about a schema, a route or an operation ID are an error, and then
// nothing is written.
//
//	openapi IMAGE PARTS OUT
//
// IMAGE is a file of descriptors (`buf build -o`), PARTS the folder of parts,
// OUT the folder that receives openapi.json and openapi.go.
package main
