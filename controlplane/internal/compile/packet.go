package compile

import (
	"fmt"
	"net/netip"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// The shortest headers, in bytes.
const (
	ipv4Header   = 20 // RFC 791
	ipv6Header   = 40 // RFC 8200
	tcpHeader    = 20 // RFC 9293
	udpHeader    = 8  // RFC 768
	icmpHeader   = 8  // RFC 792
	icmpv6Header = 4  // RFC 4443
)

// shortest is the length of the shortest packet of a protocol, in the family of source, or
// in either where it is not valid.
func shortest(protocol breakwaterv1.ThreatSettings_PacketRule_Protocol, source netip.Prefix) int {
	ip, icmp := ipv4Header, icmpHeader
	if source.IsValid() && !source.Addr().Is4() {
		ip, icmp = ipv6Header, icmpv6Header
	}
	switch protocol {
	case breakwaterv1.ThreatSettings_PacketRule_TCP:
		return ip + tcpHeader
	case breakwaterv1.ThreatSettings_PacketRule_UDP:
		return ip + udpHeader
	case breakwaterv1.ThreatSettings_PacketRule_ICMP:
		return ip + icmp
	default:
		return ip
	}
}

func checkPacketRules(c *collector, rules []*breakwaterv1.ThreatSettings_PacketRule, largest int) {
	const list = "packetRules"
	known := seen{}
	for i, r := range rules {
		if c.full() {
			return
		}
		before := len(c.problems)
		checkPacketRule(c, func(field string) string { return at(list, i, field) }, r, largest)
		if len(c.problems) > before {
			continue
		}
		key := fmt.Sprint(r.GetProtocol(), r.GetSourceCidr(), r.GetDestinationPort(), r.GetMinLength(), r.GetMaxLength())
		if first := known.first(key, i); first >= 0 {
			c.add(impossible(at(list, i, ""), "duplicate", "matches the same packets as %s", at(list, first, "")))
		}
	}
}

func checkPacketRule(c *collector, field func(string) string, r *breakwaterv1.ThreatSettings_PacketRule, largest int) {
	sound := len(c.problems)
	var source netip.Prefix
	if r.GetSourceCidr() != "" {
		p, err := parseSource(field("sourceCidr"), r.GetSourceCidr())
		c.add(err)
		source = p
	}
	switch port := r.GetDestinationPort(); {
	case port < 0 || port > 65_535:
		c.add(invalid(field("destinationPort"), "range", "must be 1 to 65,535, or 0 for any"))
	case port != 0 && r.GetProtocol() == breakwaterv1.ThreatSettings_PacketRule_ICMP:
		c.add(impossible(field("destinationPort"), "port", "ICMP has no ports"))
	case port != 0 && r.GetProtocol() == breakwaterv1.ThreatSettings_PacketRule_PROTOCOL_UNSPECIFIED:
		c.add(impossible(field("destinationPort"), "port", "only TCP and UDP have ports: name the protocol"))
	}
	lengths := len(c.problems)
	checkLength(c, field("minLength"), r.GetMinLength(), shortest(r.GetProtocol(), source), largest)
	checkLength(c, field("maxLength"), r.GetMaxLength(), shortest(r.GetProtocol(), source), largest)
	if r.GetMaxLength() > 0 && r.GetMinLength() > r.GetMaxLength() && len(c.problems) == lengths {
		c.add(impossible(field("minLength"), "packet_length",
			"no packet has at least %d and at most %d bytes", r.GetMinLength(), r.GetMaxLength()))
	}
	switch r.GetAction() {
	case breakwaterv1.ThreatSettings_BLOCK:
		if len(c.problems) == sound && matchesAll(r, source, largest) {
			what := "every packet"
			if source.IsValid() {
				what = "every packet from " + source.String()
			}
			c.add(impossible(field(""), "everything", "it would drop %s; to take the site off the edge, pause it", what))
		}
	case breakwaterv1.ThreatSettings_LOG:
	default:
		c.add(invalid(field("action"), "required", "must be BLOCK or LOG"))
	}
}

// matchesAll says whether a rule matches whatever comes in, of one family of addresses at
// least: lengths that every packet of the protocols has narrow nothing.
func matchesAll(r *breakwaterv1.ThreatSettings_PacketRule, source netip.Prefix, largest int) bool {
	anywhere := !source.IsValid() || source.Bits() == 0
	shortestOfAll := min(
		shortest(breakwaterv1.ThreatSettings_PacketRule_TCP, source),
		shortest(breakwaterv1.ThreatSettings_PacketRule_UDP, source),
		shortest(breakwaterv1.ThreatSettings_PacketRule_ICMP, source),
	)
	return r.GetProtocol() == breakwaterv1.ThreatSettings_PacketRule_PROTOCOL_UNSPECIFIED && anywhere &&
		int(r.GetMinLength()) <= shortestOfAll && (r.GetMaxLength() == 0 || int(r.GetMaxLength()) >= largest)
}

// checkLength refuses a length that no packet has. Zero is no length.
func checkLength(c *collector, field string, length int32, smallest, largest int) {
	n := int(length)
	switch {
	case n < 0:
		c.add(invalid(field, "range", "must not be negative"))
	case n == 0:
	case n > maxIPPacket:
		c.add(impossible(field, "packet_length", "no packet has %d bytes: IP carries at most %d", n, maxIPPacket))
	case n > largest:
		c.add(impossible(field, "packet_length", "no packet has %d bytes: this network carries at most %d", n, largest))
	case n < smallest:
		c.add(impossible(field, "packet_length", "no packet has %d bytes: the headers alone have %d", n, smallest))
	}
}
