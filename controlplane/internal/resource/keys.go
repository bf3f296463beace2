package resource

import (
	"fmt"
	"net/url"
	"strings"
)

// The store's key space. Everything below [StatePrefix] is small, current and kept in
// every replica's cache; everything below [HistoryPrefix] grows with time, is read on
// demand and has retention. Within both, the tenant comes first.
const (
	StatePrefix   = "registry/state/"
	HistoryPrefix = "registry/history/"

	accountsPrefix = StatePrefix + "accounts/"
	indexPrefix    = StatePrefix + "index/"
)

// Tenant builds the keys of one account's data.
type Tenant struct{ account string }

// ForAccount returns the key builder of an account, by the account's ID. The ID must come
// from a parsed name, a principal or a stored record.
func ForAccount(account string) Tenant { return Tenant{account: account} }

// Account is the account's ID.
func (t Tenant) Account() string { return t.account }

func (t Tenant) state(parts ...string) string {
	return accountsPrefix + t.account + "/" + strings.Join(parts, "/")
}

func (t Tenant) history(parts ...string) string {
	return HistoryPrefix + "accounts/" + t.account + "/" + strings.Join(parts, "/")
}

// Record is the key of the account itself.
func (t Tenant) Record() string { return t.state("account") }

// Member is the key of a member.
func (t Tenant) Member(id string) string { return t.state("members", id) }

// Members is the prefix of the members.
func (t Tenant) Members() string { return t.state("members", "") }

// Token is the key of an API token.
func (t Tenant) Token(id string) string { return t.state("tokens", id) }

// Tokens is the prefix of the API tokens.
func (t Tenant) Tokens() string { return t.state("tokens", "") }

// Site is the key of a site's one value.
func (t Tenant) Site(domain string) string { return t.state("sites", domain) }

// Sites is the prefix of the sites.
func (t Tenant) Sites() string { return t.state("sites", "") }

// Zone is the key of a site's zone, or of the pointer to its chunks.
func (t Tenant) Zone(domain string) string { return t.state("zones", domain) }

// ZoneChunk is the key of one chunk of a large zone.
func (t Tenant) ZoneChunk(domain string, generation int64, chunk int) string {
	return t.state("zonechunks", domain, fmt.Sprintf("%016x", generation), fmt.Sprintf("%04x", chunk))
}

// Billing is the key of all that is known of how the account pays.
func (t Tenant) Billing() string { return t.state("billing", "record") }

// Version is the key of one numbered version of a site. Keys order as numbers do.
func (t Tenant) Version(domain string, number int64) string {
	return t.history("versions", domain, fmt.Sprintf("%016x", number))
}

// Versions is the prefix of a site's versions.
func (t Tenant) Versions(domain string) string { return t.history("versions", domain, "") }

// AuditNew is the key of an event that is not chained yet.
func (t Tenant) AuditNew(id string) string { return AuditNewPrefix + t.account + "/" + id }

// AuditNewOf is the prefix of the account's events that are not chained yet.
func (t Tenant) AuditNewOf() string { return AuditNewPrefix + t.account + "/" }

// AuditHead is the key of the end of the account's chain.
func (t Tenant) AuditHead() string { return t.history("audit", "head") }

// AuditSegment is the key of a run of chained events, by its first place.
func (t Tenant) AuditSegment(first int64) string {
	return t.history("audit", "segments", fmt.Sprintf("%016x", first))
}

// AuditSegments is the prefix of the chained events.
func (t Tenant) AuditSegments() string { return t.history("audit", "segments", "") }

// All returns the prefixes that hold all of the account's data, for the final purge.
func (t Tenant) All() []string {
	return []string{
		accountsPrefix + t.account + "/",
		HistoryPrefix + "accounts/" + t.account + "/",
		t.AuditNewOf(),
	}
}

// Keys that belong to no one account.
const (
	// HousekeeperKey says which replica does what time asks for of the registry.
	HousekeeperKey = "registry/housekeeper"
	// AccountsPrefix is the prefix of every account's current data, for the engine.
	AccountsPrefix = accountsPrefix
	// AuditNewPrefix is the prefix of all events that are not chained yet.
	AuditNewPrefix = StatePrefix + "audit/"
	// AppsPrefix is the prefix of the app catalogue.
	AppsPrefix = StatePrefix + "platform/apps/"
	// LimitsKey is the key of the limits of documents.
	LimitsKey = StatePrefix + "platform/limits"
	// QuarantineNotesPrefix is the prefix of what owners were told of quarantines.
	QuarantineNotesPrefix = StatePrefix + "notes/quarantines/"
	// OutboxPrefix is the prefix of what must happen outside.
	OutboxPrefix = StatePrefix + "outbox/"
	// AccountIndexPrefix is the prefix under which every account's ID is listed.
	AccountIndexPrefix = indexPrefix + "accounts/"
	// BillingIndexPrefix is the prefix under which the accounts with a billing record are
	// listed.
	BillingIndexPrefix = indexPrefix + "billing/"
	// IdempotencyPrefix is the prefix of kept answers.
	IdempotencyPrefix = HistoryPrefix + "idempotency/"
	// PlatformHistoryPrefix is the prefix of older versions of catalogue entries.
	PlatformHistoryPrefix = HistoryPrefix + "platform/apps/"
)

// App is the key of an entry of the app catalogue.
func App(id string) string { return AppsPrefix + id }

// AppVersion is the key of an older version of a catalogue entry.
func AppVersion(id string, version int64) string {
	return PlatformHistoryPrefix + id + "/" + fmt.Sprintf("%016x", version)
}

// QuarantineNote is the key of what the owner was told of a quarantine, by its ID.
func QuarantineNote(id string) string { return QuarantineNotesPrefix + id }

// Outbox is the key of one outbox item.
func Outbox(id string) string { return OutboxPrefix + id }

// PaymentLedger is the key of what the built-in payment provider keeps of a customer.
func PaymentLedger(customer string) string { return HistoryPrefix + "ledgers/" + customer + "/ledger" }

// PaymentInvoice is the key of one of its invoices. Keys order as numbers do.
func PaymentInvoice(customer string, number int64) string {
	return HistoryPrefix + "ledgers/" + customer + "/invoices/" + fmt.Sprintf("%016x", number)
}

// PaymentLedgers is the prefix of all that the built-in payment provider keeps of a customer.
func PaymentLedgers(customer string) string { return HistoryPrefix + "ledgers/" + customer + "/" }

// PaymentArchive is where a key below [PaymentLedgers] is kept once its account is purged,
// out of the reach of whoever gets the account's ID next.
func PaymentArchive(accountUID, key string) string {
	return HistoryPrefix + "ledgers-archive/" + accountUID + "/" + strings.TrimPrefix(key, HistoryPrefix+"ledgers/")
}

// AccountIndex is the key that lists an account's ID.
func AccountIndex(account string) string { return AccountIndexPrefix + account }

// TokenIndex is the key that says which account a token belongs to.
func TokenIndex(tokenID string) string { return indexPrefix + "tokens/" + tokenID }

// EmailIndex is the key that says that an e-mail address is a member of an account; its
// value is the member's ID.
func EmailIndex(email, account string) string { return EmailIndexPrefix(email) + account }

// EmailIndexPrefix is the prefix of an e-mail address's memberships.
func EmailIndexPrefix(email string) string {
	return indexPrefix + "emails/" + url.PathEscape(strings.ToLower(email)) + "/"
}

// CustomerIndex is the key that says which account a customer of the payment provider
// is; its value is the account's ID.
func CustomerIndex(customer string) string {
	return indexPrefix + "customers/" + url.PathEscape(customer)
}

// BillingIndex is the key that lists an account that has a billing record.
func BillingIndex(account string) string { return BillingIndexPrefix + account }

// Login is the key of a development login.
func Login(id string) string { return indexPrefix + "logins/" + id }

// DomainIndex is the key of who claims a domain. Labels are reversed, so that a domain's
// descendants have the domain's own key as prefix.
func DomainIndex(domain string) string { return indexPrefix + "domains/" + reverseLabels(domain) + "." }

// DomainDescendants is the prefix of a domain's descendants; the domain's own key has it
// too.
func DomainDescendants(domain string) string { return DomainIndex(domain) }

// SeenEvent is the key that says that an event of the payment provider was taken.
func SeenEvent(id string) string { return HistoryPrefix + "events/" + url.PathEscape(id) }

// Idempotency is the key of a kept answer, by the digest of principal, method and key.
func Idempotency(digest string) string { return IdempotencyPrefix + digest }

func reverseLabels(domain string) string {
	labels := strings.Split(domain, ".")
	for i, j := 0, len(labels)-1; i < j; i, j = i+1, j-1 {
		labels[i], labels[j] = labels[j], labels[i]
	}
	return strings.Join(labels, ".")
}

// Kind is what a key of an account's current data holds.
type Kind string

// The kinds that [ParseStateKey] tells apart.
const (
	KindAccount   Kind = "account"
	KindMember    Kind = "members"
	KindToken     Kind = "tokens"
	KindSite      Kind = "sites"
	KindZone      Kind = "zones"
	KindZoneChunk Kind = "zonechunks"
	KindBilling   Kind = "billing"
)

// ParseStateKey takes a key below [AccountsPrefix] apart: whose it is, what it holds, and
// its ID within the kind (for a zone chunk, the domain). ok is false for any other key.
func ParseStateKey(key string) (tenant Tenant, kind Kind, id string, ok bool) {
	rest, found := strings.CutPrefix(key, accountsPrefix)
	if !found {
		return Tenant{}, "", "", false
	}
	parts := strings.SplitN(rest, "/", 4)
	switch {
	case len(parts) == 2 && parts[1] == string(KindAccount):
		return Tenant{parts[0]}, KindAccount, parts[0], true
	case len(parts) >= 3:
		return Tenant{parts[0]}, Kind(parts[1]), parts[2], true
	}
	return Tenant{}, "", "", false
}

// IdempotencyOf is the key that lists a kept answer, by its own key, under the resource
// whose secret it holds; with an empty answerKey, the prefix of them all.
func IdempotencyOf(resourceName, answerKey string) string {
	return HistoryPrefix + "idempotency-secrets/" + resourceName + "/" +
		strings.TrimPrefix(answerKey, IdempotencyPrefix)
}

// IdempotencyFromRef is the kept answer's key that a key made by [IdempotencyOf] lists.
func IdempotencyFromRef(ref string) string {
	return IdempotencyPrefix + ref[strings.LastIndexByte(ref, '/')+1:]
}
