package service

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/zone"
)

// siteCanonicalOrigin is an origin without violations, every field said and in one
// spelling.
func siteCanonicalOrigin(in *breakwaterv1.Origin) *breakwaterv1.Origin {
	o, _ := proto.Clone(in).(*breakwaterv1.Origin)
	if addr, err := netip.ParseAddr(strings.Trim(o.GetAddress(), "[]")); err == nil {
		o.Address = addr.Unmap().String()
	} else if host, ok := siteHost(o.GetAddress()); ok {
		o.Address = host
	}
	if host, port, err := net.SplitHostPort(o.GetHostHeader()); err == nil {
		if h, ok := siteHost(host); ok {
			o.HostHeader = net.JoinHostPort(h, port)
		}
	} else if h, ok := siteHost(o.GetHostHeader()); ok {
		o.HostHeader = h
	}
	sitestate.CompleteOrigin(o)
	return o
}

// siteFollowScheme has an origin's port go with its new scheme, where it was the old scheme's
// default and the update says none. Stored origins say their port, so that it looks chosen.
func siteFollowScheme(o, before, in *breakwaterv1.Origin, mask *fieldmaskpb.FieldMask) {
	says := in.GetPort() != 0
	if mask != nil {
		says = slices.ContainsFunc(mask.GetPaths(), func(p string) bool { return p == "*" || p == "origin" || p == "origin.port" })
	}
	if !says && o.GetScheme() != before.GetScheme() && o.GetPort() == sitestate.DefaultPort(before.GetScheme()) {
		o.Port = 0
	}
}

// siteOriginViolations says what is wrong with an origin, by fields below `origin`.
func siteOriginViolations(o *breakwaterv1.Origin, site string) []rpcerr.Violation {
	var found []rpcerr.Violation
	add := func(field, rule, message string) {
		found = append(found, rpcerr.Violation{Field: "origin." + field, Rule: rule, Message: message})
	}
	if rule, message := siteAddressProblem(o.GetAddress(), site); rule != "" {
		add("address", rule, message)
	}
	if p := o.GetPort(); p < 0 || p > 65535 {
		add("port", "range", "is 1 to 65535, or left out")
	}
	if h := o.GetHostHeader(); h != "" && !siteHostHeader(h) {
		add("hostHeader", "host", "is not a host name, with a port or without")
	}
	return found
}

func siteAddressProblem(address, site string) (rule, message string) {
	if address == "" {
		return "required", "is needed: an IP address or a host name"
	}
	if addr, err := netip.ParseAddr(strings.Trim(address, "[]")); err == nil {
		if addr.Zone() != "" {
			return "address", "has a zone, which means something on one machine only"
		}
		if why, ok := zone.Proxiable(addr); !ok {
			return "public_address", "is " + why + ": the edge reaches public addresses only"
		}
		return "", ""
	}
	host, ok := siteHost(address)
	switch {
	case !ok:
		return "host", "is neither an IP address nor a host name"
	case !strings.Contains(host, "."):
		return "host", "has no dot: the edge resolves public names only"
	case siteNumeric(host[strings.LastIndexByte(host, '.')+1:]):
		return "host", "looks like an IP address and is none"
	case sitePrivateName(host):
		return "public_name", "is not a public name"
	case host == site:
		return "loop", "is the site itself: the edge would ask itself"
	}
	return "", ""
}

// sitePrivateName says whether a name never is in the public DNS.
func sitePrivateName(host string) bool {
	switch host[strings.LastIndexByte(host, '.')+1:] {
	case "localhost", "local", "invalid", "onion", "internal", "alt", "arpa", "lan", "home", "corp", "localdomain", "intranet":
		return true
	}
	return false
}

// siteHost is a host name in A-labels and lower case, without a final dot.
func siteHost(s string) (string, bool) {
	s = strings.TrimSuffix(s, ".")
	if s == "" || strings.ContainsAny(s, "/:@?#%\\ \t\r\n*") {
		return "", false
	}
	host, err := idna.Lookup.ToASCII(s)
	if err != nil {
		// An underscore is no host name, but some origins have one.
		host = strings.ToLower(s)
	}
	if len(host) > 253 {
		return "", false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", false
		}
		for i := range len(label) {
			c := label[i]
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
				return "", false
			}
		}
	}
	return host, true
}

func siteHostHeader(h string) bool {
	host := h
	if before, port, err := net.SplitHostPort(h); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return false
		}
		host = before
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	_, ok := siteHost(host)
	return ok
}

func siteNumeric(label string) bool {
	_, err := strconv.ParseUint(label, 0, 64)
	return err == nil
}
