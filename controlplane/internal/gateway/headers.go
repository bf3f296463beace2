package gateway

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Names of HTTP headers.
const (
	headerRequestID      = "X-Request-Id"
	headerIdempotencyKey = "Idempotency-Key"
	headerIfMatch        = "If-Match"
	headerOnBehalfOf     = "Breakwater-On-Behalf-Of"
	headerForwardedFor   = "X-Forwarded-For"
	headerAuthorization  = "Authorization"

	validateOnlyKey = call.MetadataValidateOnly
)

const maxHeader = 255

type requestIDKey struct{}

// WithRequestID gives every request an ID, the client's own if that is sane, and every
// response the header X-Request-Id. [New] does so itself; a server wraps its other handlers.
func WithRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := r.Context().Value(requestIDKey{}).(string); ok {
			next.ServeHTTP(w, r)
			return
		}
		id := r.Header.Get(headerRequestID)
		if !call.SaneRequestID(id) {
			id = rand.Text()
		}
		w.Header().Set(headerRequestID, id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)))
	})
}

// RequestID returns the ID that [WithRequestID] gave, or nothing.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// metadataOf makes the metadata of a request's headers: of those that have a meaning here,
// and of no other.
func metadataOf(r *http.Request) (metadata.MD, []rpcerr.Violation) {
	md := metadata.Pairs(call.MetadataRequestID, RequestID(r.Context()))
	var violations []rpcerr.Violation
	for _, h := range []struct{ header, key string }{
		{headerIdempotencyKey, call.MetadataIdempotencyKey},
		{headerOnBehalfOf, call.MetadataOnBehalfOf},
		{headerIfMatch, call.MetadataIfMatch},
	} {
		values := r.Header.Values(h.header)
		if len(values) == 0 {
			continue
		}
		if len(values) > 1 || len(values[0]) == 0 || len(values[0]) > maxHeader || !printable(values[0]) {
			violations = append(violations, rpcerr.Violation{
				Field: h.header, Rule: "header", Message: "must be given once, with 1 to 255 printable ASCII characters",
			})
			continue
		}
		md.Set(h.key, values[0])
	}
	if tag := md.Get(call.MetadataIfMatch); len(tag) == 1 {
		etag, ok := entityTag(tag[0])
		if !ok {
			violations = append(violations, rpcerr.Violation{
				Field: headerIfMatch, Rule: "etag", Message: `must be one entity tag, as in "abc", or *`,
			})
		}
		md.Delete(call.MetadataIfMatch)
		if etag != "" {
			md.Set(call.MetadataIfMatch, etag)
		}
	}
	// Traces are a convenience: what is not well-formed is left out.
	if parents := r.Header.Values("Traceparent"); len(parents) == 1 && printable(parents[0]) && len(parents[0]) <= maxHeader {
		md.Set(call.MetadataTraceParent, parents[0])
		if state := strings.Join(r.Header.Values("Tracestate"), ","); state != "" && printable(state) && len(state) <= 2*maxHeader {
			md.Set(call.MetadataTraceState, state)
		}
	}
	md.Set(call.MetadataPeer, r.RemoteAddr)
	// The key is set in any case, so that the generated code adds nothing of its own.
	md[call.MetadataForwardedFor] = nil
	if forwarded := strings.Join(r.Header.Values(headerForwardedFor), ", "); forwarded != "" && printable(forwarded) {
		md.Set(call.MetadataForwardedFor, forwarded)
	}
	return md, violations
}

// entityTag takes the quotes off; `*` asks for nothing but that the resource exists.
func entityTag(text string) (etag string, ok bool) {
	text = strings.TrimSpace(text)
	if text == "*" {
		return "", true
	}
	text = strings.TrimPrefix(text, "W/")
	if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
		text = text[1 : len(text)-1]
	}
	return text, text != "" && !strings.ContainsAny(text, `",`)
}

func printable(text string) bool {
	for i := range len(text) {
		if text[i] < 0x20 || text[i] > 0x7e {
			return false
		}
	}
	return true
}

// outgoingHeader names the HTTP header of a response's metadata; most has none.
func outgoingHeader(key string) (string, bool) {
	switch key {
	case call.MetadataRateLimit:
		return "RateLimit-Limit", true
	case call.MetadataRateRemaining:
		return "RateLimit-Remaining", true
	case call.MetadataRateReset:
		return "RateLimit-Reset", true
	case call.MetadataRetryAfter:
		return "Retry-After", true
	}
	return "", false
}
