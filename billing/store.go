package billing

import (
	"context"
	"errors"
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

// Store keeps what is known of every account's payments, beside its sites.
type Store interface {
	// Update runs fn on an account and stores all that it decided, or nothing. When
	// something that fn read was changed meanwhile, fn runs again on what is there then, so
	// it must have no effects but on its Tx. An error of fn is returned as it is, and stores
	// nothing.
	Update(ctx context.Context, account string, fn func(Tx) error) error
	// Record returns the newest stored record of an account; an empty one, with the account
	// set, where it has none.
	Record(ctx context.Context, account string) (*storev1.BillingRecord, error)
	// Accounts returns the IDs of accounts that have a record, in order, after one of them,
	// at most limit.
	Accounts(ctx context.Context, after string, limit int) ([]string, error)
}

// ErrFull says that a transaction holds no more sites: what was decided before holds, and the
// site is for another transaction. The first site of a transaction never meets it.
var ErrFull = errors.New("billing: the transaction holds no more sites")

// Tx is one attempt at a change of one account. It belongs to the goroutine that runs the
// function.
type Tx interface {
	// Now is the time of the change.
	Now() time.Time
	// Principal is who makes the change, for [storev1.Move].
	Principal() string
	// Record is the account's record; what is changed in it is stored.
	Record() *storev1.BillingRecord
	// Site returns what the account has under a domain; ok is false where it has nothing.
	Site(domain string) (s SiteState, ok bool, err error)
	// Entitle gives a site another plan from now on, as a new version of the site in the
	// same change: what the plan does not have is switched off in it, and what a fall
	// switched off comes back where the plan has it. A site that has the plan already, or is
	// gone, is left as it is. At most 16 sites are entitled in one change, fewer where they are
	// large: then it fails with [ErrFull].
	Entitle(domain, plan, why string) error
	// Work asks for [Engine.Settle] of the account, soon, and again until it says that
	// there is nothing to do.
	Work()
	// Contact is where reminders go, and whom invoices are made out to where the account's
	// details do not say.
	Contact() (email, name string, err error)
	// Mail sends a letter once the change is stored; id tells letters of the account apart,
	// so that one is sent once.
	Mail(id, subject, text string) error
	// Audit writes to the account's audit log: what of it changed (a resource name below the
	// account, such as `billing` or `sites/example.com/subscription`) and a sentence.
	Audit(resource, summary string)
}

// SiteState is what payments need to know of a site.
type SiteState struct {
	// Plan is the ID of the plan whose entitlements it has now.
	Plan string
	// Deleted says that it is deleted, and not purged yet.
	Deleted bool
}
