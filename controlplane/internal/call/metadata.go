package call

// The keys of the gRPC metadata that calls carry beside their messages. Those that are
// marked as reserved say what the gateway found out about an HTTP request. They are believed
// on the in-process connection only, and ignored where a network peer sends them.
const (
	// MetadataAuthorization is `Bearer` and a secret.
	MetadataAuthorization = "authorization"
	// MetadataRequestID identifies the call; made up where the client sends none.
	MetadataRequestID = "x-request-id"
	// MetadataIdempotencyKey is the key of a repeatable call, instead of request_id.
	MetadataIdempotencyKey = "idempotency-key"
	// MetadataIfMatch is the entity tag that a change must meet, without quotes.
	MetadataIfMatch = "if-match"
	// MetadataOnBehalfOf is the e-mail address of the member that a program acts for.
	MetadataOnBehalfOf = "breakwater-on-behalf-of"
	// MetadataValidateOnly is `true` where every check and no effect is asked for, instead
	// of validate_only.
	MetadataValidateOnly = "breakwater-validate-only"
	// MetadataTraceParent and MetadataTraceState are the W3C trace context.
	MetadataTraceParent = "traceparent"
	MetadataTraceState  = "tracestate"

	// MetadataPeer is the address and port of the HTTP client's socket. Reserved.
	MetadataPeer = "breakwater-gateway-peer"
	// MetadataForwardedFor is the HTTP request's X-Forwarded-For, its values joined by
	// commas. Reserved.
	MetadataForwardedFor = "x-forwarded-for"
	// MetadataAdmitted is `true` where the gateway counted the call and has a place for it to
	// run, so that neither is done twice. Reserved.
	MetadataAdmitted = "breakwater-gateway-admitted"
)

// The keys of the header metadata that responses carry. The gateway makes HTTP headers of
// them. All values are whole numbers; times are seconds from now.
const (
	// MetadataRateLimit is how many calls the window allows.
	MetadataRateLimit = "ratelimit-limit"
	// MetadataRateRemaining is how many are left of them.
	MetadataRateRemaining = "ratelimit-remaining"
	// MetadataRateReset is when more are allowed.
	MetadataRateReset = "ratelimit-reset"
	// MetadataRetryAfter is when to try again.
	MetadataRetryAfter = "retry-after"
)
