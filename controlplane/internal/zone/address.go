package zone

import "net/netip"

// refusedRange is a range that the edge must never dial for a customer.
type refusedRange struct {
	prefix netip.Prefix
	why    string
}

// refusedRanges are IANA's special-purpose ranges that are not globally reachable, and the
// addresses at which clouds keep metadata. The documentation ranges (RFC 5737, 3849, 9637)
// are left out on purpose: they are harmless, and examples use them.
var refusedRanges = []refusedRange{
	{netip.MustParsePrefix("0.0.0.0/8"), "not an address of a host"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "private to a provider"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("168.63.129.16/32"), "a metadata address"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved for protocols"},
	{netip.MustParsePrefix("192.88.99.0/24"), "reserved"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "for benchmarks"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("::/127"), "loopback or no address"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "private"},
	{netip.MustParsePrefix("100::/64"), "discarded"},
	{netip.MustParsePrefix("2001::/32"), "a Teredo tunnel"},
	{netip.MustParsePrefix("5f00::/16"), "reserved for segment routing"},
	{netip.MustParsePrefix("fc00::/7"), "private"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("fec0::/10"), "private"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

// embedded are IPv6 ranges that carry an IPv4 address, and where in the 16 bytes it starts.
// What a translator or tunnel would dial is the inner address, so that is judged too.
var embedded = []struct {
	prefix netip.Prefix
	offset int
}{
	{netip.MustParsePrefix("::ffff:0:0/96"), 12},
	{netip.MustParsePrefix("::/96"), 12},
	{netip.MustParsePrefix("64:ff9b::/96"), 12},
	{netip.MustParsePrefix("2002::/16"), 2},
}

// Proxiable tells whether traffic may be proxied to addr, and if not, what the address is.
func Proxiable(addr netip.Addr) (why string, ok bool) {
	addr = addr.WithZone("")
	for _, r := range refusedRanges {
		if r.prefix.Contains(addr) {
			return r.why, false
		}
	}
	if addr.Is4() {
		return "", true
	}
	raw := addr.As16()
	for _, e := range embedded {
		// A mapped address is not within any IPv6 prefix for netip, hence the first test.
		if addr.Is4In6() && e.offset == 12 || e.prefix.Contains(addr) {
			return Proxiable(netip.AddrFrom4([4]byte(raw[e.offset : e.offset+4])))
		}
	}
	return "", true
}
