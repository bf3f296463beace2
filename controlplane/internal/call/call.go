package call

import (
	"context"
	"net/netip"

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

// Etag is the entity tag that a change must meet: the one of the request where it has one,
// else If-Match's; empty where there is none and the last write wins.
func (i Info) Etag(fromRequest string) string {
	if fromRequest != "" {
		return fromRequest
	}
	return i.IfMatch
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
