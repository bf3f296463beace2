// Package intercept is what every call passes before its handler, in one fixed order:
//
//  1. request ID: taken from x-request-id or made, and sent back as a header;
//  2. recover: a panic becomes an INTERNAL error and a log entry;
//  3. authenticate: who calls, from where;
//  4. rate limit: calls in the tenant's window, then a place to run;
//  5. authorise: what the RPC declares, with the resource's name made canonical;
//  6. options: idempotency key, validateOnly, If-Match;
//  7. validate: no unknown fields, the rules of the request's proto, and beside broken ones
//     those of its service ([Checker]);
//  8. the handler;
//  9. the error table: whatever was returned becomes one status, and is logged.
//
// A failing step ends the call, so a caller without a credential learns nothing of rules,
// and one without a permission nothing of validity. For a stream whose resource is in its
// first message, steps 5 to 7 run when that message is received.
//
// An open stream asks every second whether its caller may still have it, so that it ends
// when the credential does, or what the caller may do.
//
// A call by REST takes steps 3 and 4 in [Chain.Admit], before its body is read, and of step
// 5 what the name in its path decides. What is left of step 5, such as the site that a
// grant must name to make it, is told after the faults of the JSON itself.
//
// # Metadata
//
// Package call names the keys. x-forwarded-for counts only when the immediate peer is a
// trusted proxy. The gateway in this process calls over an in-memory connection (its peer
// address is of the network "bufconn") and tells the address of its own peer by
// call.MetadataPeer, and by call.MetadataAdmitted that the call was counted. Both count on
// that connection only: over the network anyone could send them.
package intercept
