package resource

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/domain"
)

// NameError says that a resource name is not one.
type NameError struct {
	// Name is what was given.
	Name string
	// Pattern is what a name looks like, such as `accounts/{account}/sites/{domain}`.
	Pattern string
	// Reason says what is wrong.
	Reason string
}

func (e *NameError) Error() string {
	return fmt.Sprintf("%q is not a name of the form %s: %s", e.Name, e.Pattern, e.Reason)
}

var (
	accountID = regexp.MustCompile(`^[a-z][a-z0-9-]{1,61}[a-z0-9]$`)
	plainID   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)
)

// ValidAccountID says whether id may be an account's ID: 3 to 63 lower-case letters,
// digits and hyphens, beginning with a letter and not ending with a hyphen.
func ValidAccountID(id string) bool { return accountID.MatchString(id) }

// Name is a parsed resource name below an account. Fields that the name does not have are
// empty.
type Name struct {
	// Account is the account's ID.
	Account string
	// Site is the domain, canonical.
	Site string
	// Collection is the last collection's or singleton's segment: `accounts`, `sites`,
	// `members`, `tokens`, `settings`, …
	Collection string
	// ID is the last segment where it is an ID, empty for a singleton.
	ID string
}

// Tenant is the key builder of the name's account.
func (n Name) Tenant() Tenant { return ForAccount(n.Account) }

// String is the canonical name.
func (n Name) String() string {
	var b strings.Builder
	b.WriteString("accounts/" + n.Account)
	if n.Site != "" {
		b.WriteString("/sites/" + n.Site)
	}
	switch {
	case n.Collection == "accounts" || n.Collection == "sites":
	case n.ID != "":
		b.WriteString("/" + n.Collection + "/" + n.ID)
	default:
		b.WriteString("/" + n.Collection)
	}
	return b.String()
}

// SiteName is the name of the site that the name is, or lies below.
func (n Name) SiteName() string { return SiteName(n.Account, n.Site) }

var errSegments = errors.New("wrong number of segments, or a segment is empty")

// ParseName parses any name that begins with an account: the account itself, what is
// directly below it, a site, or what is below a site. The domain is canonicalised.
func ParseName(name string) (Name, error) {
	n, err := parseName(name)
	if err != nil {
		return Name{}, &NameError{Name: name, Pattern: "accounts/{account}[/sites/{domain}][/…]", Reason: err.Error()}
	}
	return n, nil
}

func parseName(name string) (Name, error) {
	parts := strings.Split(name, "/")
	if slices.Contains(parts, "") {
		return Name{}, errSegments
	}
	if len(parts) < 2 || parts[0] != "accounts" {
		return Name{}, errSegments
	}
	if !ValidAccountID(parts[1]) {
		return Name{}, errors.New("an account's ID has 3 to 63 lower-case letters, digits and hyphens")
	}
	n := Name{Account: parts[1], Collection: "accounts", ID: parts[1]}
	parts = parts[2:]
	if len(parts) >= 2 && parts[0] == "sites" {
		d, err := domain.Parse(parts[1])
		if err != nil {
			return Name{}, err
		}
		n.Site, n.Collection, n.ID = d.String(), "sites", d.String()
		parts = parts[2:]
	}
	switch len(parts) {
	case 0:
		return n, nil
	case 1:
		n.Collection, n.ID = parts[0], ""
		return n, nil
	case 2:
		if !plainID.MatchString(parts[1]) {
			return Name{}, errors.New("an ID has 1 to 63 letters, digits, hyphens and underscores")
		}
		n.Collection, n.ID = parts[0], parts[1]
		return n, nil
	}
	return Name{}, errSegments
}

// AccountName is the name of an account.
func AccountName(account string) string { return "accounts/" + account }

// MemberName is the name of a member.
func MemberName(account, member string) string { return AccountName(account) + "/members/" + member }

// TokenName is the name of an API token.
func TokenName(account, token string) string { return AccountName(account) + "/tokens/" + token }

// SiteName is the name of a site.
func SiteName(account, domain string) string { return AccountName(account) + "/sites/" + domain }

// SettingsName is the name of a site's settings.
func SettingsName(account, domain string) string { return SiteName(account, domain) + "/settings" }

// ThreatSettingsName is the name of a site's threat settings.
func ThreatSettingsName(account, domain string) string {
	return SiteName(account, domain) + "/threatSettings"
}

// SiteAppName is the name of a site's switch for an app.
func SiteAppName(account, domain, app string) string {
	return SiteName(account, domain) + "/apps/" + app
}

// VersionName is the name of a version of a site.
func VersionName(account, domain string, number int64) string {
	return fmt.Sprintf("%s/versions/%d", SiteName(account, domain), number)
}

// PropagationName is the name of a site's propagation.
func PropagationName(account, domain string) string {
	return SiteName(account, domain) + "/propagation"
}

// SubscriptionName is the name of a site's subscription.
func SubscriptionName(account, domain string) string {
	return SiteName(account, domain) + "/subscription"
}

// BillingName is the name of how an account pays.
func BillingName(account string) string { return AccountName(account) + "/billing" }

// InvoiceName is the name of an invoice.
func InvoiceName(account, invoice string) string {
	return AccountName(account) + "/invoices/" + invoice
}
