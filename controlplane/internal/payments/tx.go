package payments

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/mail"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/outbox"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// Kind is the kind of outbox items that settle an account.
const Kind = "billing"

// item is the ID of the account's one outbox item.
func item(account string) string { return "billing-" + account }

// transaction is a decision within one change.
type transaction struct {
	payments *Payments
	tx       *change.Tx
	tenant   resource.Tenant
	// audit is where the account's events go.
	audit func(*breakwaterv1.AuditEvent)

	before, record *storev1.BillingRecord
	work           bool
	// entitled counts the sites that got another plan, and entitledBytes what they take.
	entitled, entitledBytes int
}

var _ billing.Tx = (*transaction)(nil)

func (t *transaction) open() error {
	t.before = &storev1.BillingRecord{}
	if _, err := get(t.tx, t.tenant.Billing(), t.before); err != nil {
		return err
	}
	t.before.Account = t.tenant.Account()
	t.record = proto.CloneOf(t.before)
	return nil
}

// store puts what was decided, where anything was.
func (t *transaction) store() error {
	if t.work {
		if err := outbox.Put(t.tx, item(t.tenant.Account()), Kind, t.tenant.Account(), nil); err != nil {
			return err
		}
	}
	if proto.Equal(t.before, t.record) {
		return nil
	}
	if was, is := t.before.GetCustomer(), t.record.GetCustomer(); was != is {
		if was != "" {
			t.tx.Delete(resource.CustomerIndex(was))
		}
		if is != "" {
			t.tx.PutRaw(resource.CustomerIndex(is), []byte(t.tenant.Account()))
		}
	}
	t.tx.PutRaw(resource.BillingIndex(t.tenant.Account()), nil)
	return t.tx.Put(t.tenant.Billing(), t.record)
}

// Now implements [billing.Tx].
func (t *transaction) Now() time.Time { return t.tx.Now() }

// Principal implements [billing.Tx].
func (t *transaction) Principal() string {
	if p := t.tx.Call().Principal; p.Kind != authn.Anonymous {
		return p.ID
	}
	return "system"
}

// Record implements [billing.Tx].
func (t *transaction) Record() *storev1.BillingRecord { return t.record }

// Site implements [billing.Tx].
func (t *transaction) Site(domain string) (billing.SiteState, bool, error) {
	rec := &storev1.SiteRecord{}
	ok, err := get(t.tx, t.tenant.Site(domain), rec)
	if err != nil || !ok {
		return billing.SiteState{}, false, err
	}
	return SiteState(rec, t.payments.cfg.Plans.Cheapest()), true, nil
}

// SiteState is what billing needs to know of a site. A site without a plan has the cheapest.
func SiteState(rec *storev1.SiteRecord, cheapest string) billing.SiteState {
	s := billing.SiteState{
		Plan:    rec.GetSite().GetPlan(),
		Deleted: rec.GetSite().GetState() == breakwaterv1.Site_DELETED,
	}
	if s.Plan == "" {
		s.Plan = cheapest
	}
	return s
}

// Work implements [billing.Tx].
func (t *transaction) Work() { t.work = true }

// Contact implements [billing.Tx]: what the account set, its first owner where it set none.
func (t *transaction) Contact() (email, name string, err error) {
	details := t.record.GetDetails()
	email, name = details.GetEmail(), details.GetLegalName()
	if name == "" {
		if name, err = t.displayName(); err != nil {
			return "", "", err
		}
	}
	if email == "" {
		email, err = t.owner()
	}
	return email, name, err
}

// displayName is the account's. It only peeks: a change that reads the record itself decides
// what becomes of deleted accounts.
func (t *transaction) displayName() (string, error) {
	kvs, _ := t.tx.Peek(t.tenant.Record(), 1)
	rec := &storev1.AccountRecord{}
	if len(kvs) > 0 && kvs[0].Key == t.tenant.Record() {
		if err := proto.Unmarshal(kvs[0].Value, rec); err != nil {
			return "", fmt.Errorf("payments: %s: %w", kvs[0].Key, err)
		}
	}
	return rec.GetAccount().GetDisplayName(), nil
}

// maxMembers is more members than an account may have.
const maxMembers = 10_000

// owner is the address of the owner who is in the account for longest; of one who is
// invited where nobody accepted yet.
func (t *transaction) owner() (string, error) {
	kvs, _ := t.tx.Peek(t.tenant.Members(), maxMembers)
	var found *breakwaterv1.Member
	for _, kv := range kvs {
		rec := &storev1.MemberRecord{}
		if err := proto.Unmarshal(kv.Value, rec); err != nil {
			return "", fmt.Errorf("payments: %s: %w", kv.Key, err)
		}
		if m := rec.GetMember(); m.GetRole() == breakwaterv1.Member_OWNER && (found == nil || before(m, found)) {
			found = m
		}
	}
	return found.GetEmail(), nil
}

// before says whether one owner is asked rather than another.
func before(a, b *breakwaterv1.Member) bool {
	if active := a.GetState() == breakwaterv1.Member_ACTIVE; active != (b.GetState() == breakwaterv1.Member_ACTIVE) {
		return active
	}
	return a.GetCreateTime().AsTime().Before(b.GetCreateTime().AsTime())
}

// Mail implements [billing.Tx]. An account without any address gets no letter.
func (t *transaction) Mail(id, subject, text string) error {
	email, _, err := t.Contact()
	if err != nil || email == "" {
		return err
	}
	return mail.Put(t.tx, t.tenant.Account(), id, &storev1.Mail{To: []string{email}, Subject: subject, Text: text})
}

// Audit implements [billing.Tx].
func (t *transaction) Audit(name, summary string) {
	t.audit(&breakwaterv1.AuditEvent{
		Resource: resource.AccountName(t.tenant.Account()) + "/" + name, Summary: summary,
	})
}

// Bounds of the sites of one change, below those of a transaction of the registry: a fall
// drops up to a hundred older versions of each, and each is stored twice, as the value and as
// a version. One site always fits.
const (
	maxEntitled      = 32
	maxEntitledBytes = 4 << 20
)
