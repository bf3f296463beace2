package internet

import (
	"net/netip"
)

// never are networks that no packet from the Internet comes from. Documentation networks
// are not among them: people try things out with them.
var never = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "stand for \"this network\" (RFC 791)"},
	{netip.MustParsePrefix("10.0.0.0/8"), "are private (RFC 1918)"},
	{netip.MustParsePrefix("100.64.0.0/10"), "are shared within one carrier (RFC 6598)"},
	{netip.MustParsePrefix("127.0.0.0/8"), "are loopback (RFC 1122)"},
	{netip.MustParsePrefix("169.254.0.0/16"), "are link-local (RFC 3927)"},
	{netip.MustParsePrefix("172.16.0.0/12"), "are private (RFC 1918)"},
	{netip.MustParsePrefix("192.168.0.0/16"), "are private (RFC 1918)"},
	{netip.MustParsePrefix("224.0.0.0/4"), "are multicast and never a source (RFC 1112)"},
	{netip.MustParsePrefix("240.0.0.0/4"), "are reserved (RFC 1112)"},
	{netip.MustParsePrefix("::/128"), "are unspecified (RFC 4291)"},
	{netip.MustParsePrefix("::1/128"), "are loopback (RFC 4291)"},
	{netip.MustParsePrefix("::ffff:0:0/96"), "are IPv4 addresses in disguise: write them as IPv4"},
	{netip.MustParsePrefix("fc00::/7"), "are private (RFC 4193)"},
	{netip.MustParsePrefix("fe80::/10"), "are link-local (RFC 4291)"},
	{netip.MustParsePrefix("ff00::/8"), "are multicast and never a source (RFC 4291)"},
}

// globalUnicast is all of IPv6 that is handed out.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// Source reads a network that visitors may come from, in canonical form. It fails with a
// [*Problem].
func Source(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
			return netip.Prefix{}, malformed("cidr", "must be a network: write %s/%d", a, a.BitLen())
		}
		return netip.Prefix{}, malformed("cidr", "must be a network, such as 192.0.2.0/24 or 2001:db8::/32")
	}
	if m := p.Masked(); m != p {
		return netip.Prefix{}, malformed("cidr", "has host bits set: the network is %s", m)
	}
	for _, n := range never {
		if inside(p, n.prefix) {
			return netip.Prefix{}, impossible("source", "no visitor comes from %s: its addresses %s", p, n.what)
		}
	}
	if !p.Addr().Is4() && !p.Overlaps(globalUnicast) {
		return netip.Prefix{}, impossible("source",
			"no visitor comes from %s: nothing outside %s is handed out (RFC 4291)", p, globalUnicast)
	}
	if text != p.String() {
		return netip.Prefix{}, malformed("cidr", "must be in canonical form: %s", p)
	}
	return p, nil
}

func inside(p, outer netip.Prefix) bool {
	return p.Bits() >= outer.Bits() && outer.Contains(p.Addr())
}

// ReservedASN says why an autonomous system's number is never seen on the Internet. Those for
// documentation (RFC 5398) are let through, as documentation networks are. It is empty for all others.
func ReservedASN(asn uint32) string {
	switch {
	case asn == 0:
		return "is reserved (RFC 7607)"
	case asn == 23_456:
		return "stands for numbers of four bytes and is no system's own (RFC 6793)"
	case asn == 65_535 || asn == 4_294_967_295:
		return "is reserved (RFC 7300)"
	case asn >= 64_512 && asn <= 65_534, asn >= 4_200_000_000:
		return "is private (RFC 6996)"
	}
	return ""
}
