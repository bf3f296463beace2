package permission

import (
	"slices"
	"strings"
)

// All is the pattern that covers every permission that may be covered by a wildcard.
const All = "*"

// Permissions that no RPC declares, or that are treated apart.
const (
	// Impersonate allows Breakwater-On-Behalf-Of. No wildcard covers it.
	Impersonate = "members.impersonate"
	// ManageOwners allows to make, change and remove members with the role OWNER. It is
	// asked in addition to the permission of the call.
	ManageOwners = "members.manageOwners"
)

// Covers says whether pattern covers p, which may be a permission or a pattern itself.
func Covers(pattern, p string) bool {
	if pattern == p {
		return true
	}
	if p == Impersonate {
		return false
	}
	if pattern == All {
		return true
	}
	collection, ok := strings.CutSuffix(pattern, ".*")
	return ok && strings.HasPrefix(p, collection+".")
}

// Granted says whether any of the patterns covers p.
func Granted(patterns []string, p string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return Covers(pattern, p) })
}

// Missing returns the wanted permissions or patterns that have does not cover.
func Missing(have, want []string) []string {
	var missing []string
	for _, p := range want {
		if !Granted(have, p) {
			missing = append(missing, p)
		}
	}
	return missing
}

// Intersect returns patterns that cover exactly what both a and b cover, sorted and without
// repetition.
func Intersect(a, b []string) []string {
	var both []string
	for _, p := range a {
		if Granted(b, p) {
			both = append(both, p)
		}
	}
	for _, p := range b {
		if Granted(a, p) {
			both = append(both, p)
		}
	}
	slices.Sort(both)
	return slices.Compact(both)
}

// SitesWithin says whether a limit to the sites of inner stays within outer. An empty limit
// means all sites.
func SitesWithin(inner, outer []string) bool {
	if len(outer) == 0 {
		return true
	}
	if len(inner) == 0 {
		return false
	}
	for _, s := range inner {
		if !slices.Contains(outer, s) {
			return false
		}
	}
	return true
}

// IntersectSites returns the limit that both limits leave. ok is false when they leave no
// site at all, which an empty limit could not say.
func IntersectSites(a, b []string) (sites []string, ok bool) {
	switch {
	case len(a) == 0:
		return b, true
	case len(b) == 0:
		return a, true
	}
	for _, s := range a {
		if slices.Contains(b, s) {
			sites = append(sites, s)
		}
	}
	return sites, len(sites) > 0
}
