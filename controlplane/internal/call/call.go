package call

import (
	"context"
	"net/netip"
	"strings"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
)

// Info is what one call brings with it. It is filled by the interceptors, in their order,
// and read-only afterwards.
type Info struct {
	// FullMethod is the gRPC method, `/package.Service/Method`.
	FullMethod string
	// RequestID identifies the call in logs, traces and X-Request-Id.
	RequestID string
	// Peer is the address that the call came from, after trusted proxies.
	Peer netip.Addr
	// Principal is who calls; the zero value for a public method without a credential.
	Principal authn.Principal
	// IdempotencyKey is the client's key, or empty.
	IdempotencyKey string
	// RequestDigest is SHA-256 of the request without its options, for the comparison of
	// repeats. It is set where IdempotencyKey is.
	RequestDigest [32]byte
	// ValidateOnly asks for every check and no effect.
	ValidateOnly bool
	// IfMatch is the entity tag of the If-Match header, or empty.
	IfMatch string
}

// Method is the method's last segment, such as `UpdateSettings`.
func (i Info) Method() string {
	for at := len(i.FullMethod) - 1; at >= 0; at-- {
		if i.FullMethod[at] == '/' {
			return i.FullMethod[at+1:]
		}
	}
	return i.FullMethod
}

// contradiction is met by nothing: no entity tag has a space.
const contradiction = "two tags"

// Etag is the entity tag that a change must meet: the one of the request and If-Match's. Who
// sends two different ones asks for what no resource can have, and is told what is told of
// a stale one. Empty where there is none and the last write wins.
func (i Info) Etag(fromRequest string) string {
	requested, header := EntityTag(fromRequest), EntityTag(i.IfMatch)
	switch {
	case requested == "":
		return header
	case header == "", header == requested:
		return requested
	default:
		return contradiction
	}
}

// EntityTag takes the quotes off a tag as RFC 9110 has it, and takes one without them too.
// `*` asks that the resource exists, which a change needs anyway: it is no tag.
func EntityTag(sent string) string {
	tag := strings.TrimPrefix(strings.TrimSpace(sent), "W/")
	if len(tag) >= 2 && tag[0] == '"' && tag[len(tag)-1] == '"' {
		tag = tag[1 : len(tag)-1]
	}
	if tag == "*" {
		return ""
	}
	return tag
}

type key struct{}

// With returns a context that carries info.
func With(ctx context.Context, info Info) context.Context {
	return context.WithValue(ctx, key{}, info)
}

// From returns what the context carries; the zero Info outside a call, as in background
// work, which then acts as the system.
func From(ctx context.Context) Info {
	info, _ := ctx.Value(key{}).(Info)
	return info
}
