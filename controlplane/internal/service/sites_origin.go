package service

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/internet"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// siteCanonicalOrigin is an origin without violations, every field said and in one
// spelling.
func siteCanonicalOrigin(in *breakwaterv1.Origin) *breakwaterv1.Origin {
	o, _ := proto.Clone(in).(*breakwaterv1.Origin)
	if addr, err := netip.ParseAddr(strings.Trim(o.GetAddress(), "[]")); err == nil {
		o.Address = addr.Unmap().String()
	} else if host, ok := internet.HostName(o.GetAddress()); ok {
		o.Address = host
	}
	if host, port, err := net.SplitHostPort(o.GetHostHeader()); err == nil {
		if h, ok := internet.HostName(host); ok {
			o.HostHeader = net.JoinHostPort(h, port)
		}
	} else if h, ok := internet.HostName(o.GetHostHeader()); ok {
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
	if problem, ok := errors.AsType[*internet.Problem](internet.CheckDestination(address)); ok {
		return problem.Rule, problem.Reason
	}
	if host, ok := internet.HostName(address); ok && host == site {
		return "loop", "is the site itself: the edge would ask itself"
	}
	return "", ""
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
	_, ok := internet.HostName(host)
	return ok
}
