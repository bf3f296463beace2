package intercept

import (
	"context"
	"net"
	"net/netip"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// inMemory is the network of the in-memory connection's addresses.
const inMemory = "bufconn"

// peer is the address that a call came from, and whether it came through the gateway of this
// process.
func (c *Chain) peer(ctx context.Context, md metadata.MD) (addr netip.Addr, within bool) {
	p, ok := peer.FromContext(ctx)
	switch {
	case !ok:
		return netip.Addr{}, false
	case p.Addr.Network() == inMemory:
		within = true
		if v := md.Get(call.MetadataPeer); len(v) == 1 {
			addr = parseAddr(v[0])
		}
	default:
		if tcp, ok := p.Addr.(*net.TCPAddr); ok {
			addr = tcp.AddrPort().Addr().Unmap()
		}
	}
	return Forwarded(addr, md.Get(call.MetadataForwardedFor), c.cfg.TrustedProxies), within
}

// Forwarded finds the client behind trusted proxies: each of them adds the address that it
// was called from at the end of x-forwarded-for, so the client is the last address that is
// not a trusted proxy's. What came before it is the client's own claim.
func Forwarded(peer netip.Addr, forwardedFor []string, trusted []netip.Prefix) netip.Addr {
	hops := strings.Split(strings.Join(forwardedFor, ","), ",")
	for i := len(hops) - 1; i >= 0 && contains(trusted, peer); i-- {
		next := parseAddr(strings.TrimSpace(hops[i]))
		if !next.IsValid() {
			break
		}
		peer = next
	}
	return peer
}

func contains(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// parseAddr takes an address with or without a port; the zero Addr if it is none.
func parseAddr(s string) netip.Addr {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// EdgeByCertificate finds out which edge server calls by the client certificate that the
// listener verified.
func EdgeByCertificate(ctx context.Context) (authn.Principal, error) {
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok && len(info.State.VerifiedChains) > 0 {
			return authn.FromCertificate(info.State.VerifiedChains[0][0])
		}
	}
	return authn.Principal{}, rpcerr.Unauthenticated("an edge server's client certificate is needed")
}
