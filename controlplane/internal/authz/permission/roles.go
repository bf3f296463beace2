package permission

import (
	"slices"
	"strings"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// siteCollections are the collections and singletons of a site, the site itself among them,
// but not the subscription.
var siteCollections = []string{
	"sites", "versions", "propagation", "settings", "dnsRecords", "apps", "threatSettings",
	"threatEvents", "analytics",
}

// accountCollections are those directly under an account that are no one's secret.
var accountCollections = []string{
	"accounts", "members", "alertTypes", "alertPolicies", "alertDestinations",
	"alertSilences", "alerts", "billing", "invoices", "subscription",
}

// guardedCollections are read by fewer.
var guardedCollections = []string{"tokens", "auditEvents"}

// readVerbs change nothing: the standard ones and the custom methods that are GET.
var readVerbs = []string{"get", "list", "diff", "wait", "watch", "export", "verify"}

// roles is what each role may do. An owner's wildcard covers whatever is added; every other
// role is a list, so that a new collection is closed until somebody decides.
//
// An admin has no `accounts.*` and no `members.*`, because those cover accounts.delete and
// [ManageOwners]. An editor works on sites and sees the account's own record, in order to
// find them; who may not delete a site may not bring one back either.
var roles = map[breakwaterv1.Member_Role][]string{
	breakwaterv1.Member_OWNER: {All},
	breakwaterv1.Member_ADMIN: concat(
		of([]string{"accounts"}, "get", "list", "update", "undelete"),
		of([]string{"members"}, "create", "get", "list", "update", "delete", "accept"),
		whole(without(accountCollections, "accounts", "members")),
		whole(guardedCollections),
		whole(siteCollections),
	),
	breakwaterv1.Member_EDITOR: concat(
		of([]string{"accounts"}, "get", "list"),
		of([]string{"sites"}, "get", "list", "watch", "update", "checkActivation", "pause",
			"resume", "purgeCache", "configure", "rollback"),
		whole(without(siteCollections, "sites")),
	),
	breakwaterv1.Member_BILLING: concat(
		whole([]string{"billing", "subscription", "invoices"}),
		of(without(accountCollections, "billing", "subscription", "invoices"), readVerbs...),
		of(siteCollections, readVerbs...),
		of(guardedCollections, readVerbs...),
	),
	breakwaterv1.Member_VIEWER: concat(
		of(accountCollections, readVerbs...),
		of(siteCollections, readVerbs...),
	),
}

// OfRole returns the patterns that a role has, sorted; none for a role that is not one. The
// caller must not modify the result.
func OfRole(role breakwaterv1.Member_Role) []string { return roles[role] }

// KnownCollection says whether there is such a collection or singleton below accounts, so
// that a permission on it can be given to a token. What only operators have is none.
func KnownCollection(name string) bool {
	return slices.Contains(siteCollections, name) || slices.Contains(accountCollections, name) ||
		slices.Contains(guardedCollections, name)
}

// LimitedRole says whether members with the role may be limited to named sites.
func LimitedRole(role breakwaterv1.Member_Role) bool {
	return role == breakwaterv1.Member_EDITOR || role == breakwaterv1.Member_VIEWER
}

// ReadOnly says whether a permission is for reading only, by its verb.
func ReadOnly(p string) bool {
	_, verb, _ := strings.Cut(p, ".")
	return slices.Contains(readVerbs, verb)
}

func of(collections []string, verbs ...string) []string {
	var out []string
	for _, c := range collections {
		for _, v := range verbs {
			out = append(out, c+"."+v)
		}
	}
	return out
}

func whole(collections []string) []string { return of(collections, "*") }

func without(collections []string, not ...string) []string {
	return slices.DeleteFunc(slices.Clone(collections), func(c string) bool { return slices.Contains(not, c) })
}

func concat(lists ...[]string) []string {
	out := slices.Concat(lists...)
	slices.Sort(out)
	return out
}
