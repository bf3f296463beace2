package retention_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/retention"
)

var now = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)

type view struct{ store registry.Store }

func (v view) Get(key string) (registry.KV, bool) {
	kv, err := v.store.Get(context.Background(), key)
	return kv, err == nil
}

func (v view) List(prefix, after string, limit int) ([]registry.KV, bool) {
	page, err := v.store.List(context.Background(), registry.ListRequest{Prefix: prefix, After: after, Limit: limit})
	return page.KVs, err == nil && page.More
}

// failing is a store that fails after some commits.
type failing struct {
	registry.Store
	left int
}

func (f *failing) Commit(ctx context.Context, txn registry.Txn) (int64, error) {
	if f.left--; f.left < 0 {
		return 0, registry.ErrUnavailable
	}
	return f.Store.Commit(ctx, txn)
}

func put(t *testing.T, s registry.Store, key string, m proto.Message) {
	t.Helper()
	var b []byte
	if m != nil {
		var err error
		if b, err = proto.Marshal(m); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Commit(t.Context(), registry.Txn{Then: []registry.Op{registry.Put(key, b)}}); err != nil {
		t.Fatal(err)
	}
}

// fill gives an account something of everything.
func fill(t *testing.T, s registry.Store, account string, deleted time.Time) {
	t.Helper()
	tenant := resource.ForAccount(account)
	a := &breakwaterv1.Account{Name: resource.AccountName(account)}
	if !deleted.IsZero() {
		a.DeleteTime, a.PurgeTime = timestamppb.New(deleted), timestamppb.New(deleted.Add(30*24*time.Hour))
	}
	put(t, s, tenant.Record(), &storev1.AccountRecord{Account: a})
	put(t, s, resource.AccountIndex(account), nil)
	for i := range 600 {
		id := fmt.Sprint("m", i)
		put(t, s, tenant.Member(id), &storev1.MemberRecord{Member: &breakwaterv1.Member{Email: id + "@x.test"}})
		put(t, s, resource.EmailIndex(id+"@x.test", account), nil)
		put(t, s, tenant.Version("shop.test", int64(i)), nil)
	}
	put(t, s, tenant.Token("t"), &storev1.TokenRecord{})
	put(t, s, resource.TokenIndex("t"+account), nil)
	put(t, s, tenant.Token("t"+account), &storev1.TokenRecord{})
	put(t, s, tenant.Site("shop.test"), &storev1.SiteRecord{})
	put(t, s, tenant.Site("orphan.test"), &storev1.SiteRecord{})
	put(t, s, tenant.Zone("shop.test"), &storev1.ZoneRecord{})
	put(t, s, tenant.Billing(), &storev1.BillingRecord{Account: account, Customer: "cus_" + account})
	put(t, s, resource.BillingIndex(account), nil)
	put(t, s, resource.CustomerIndex("cus_"+account), nil)
	for i := range int64(3) {
		put(t, s, resource.PaymentInvoice("cus_"+account, i), &storev1.LedgerInvoice{Number: i})
	}
	put(t, s, tenant.AuditHead(), &storev1.AuditHead{})
	put(t, s, tenant.AuditNew("e"), &breakwaterv1.AuditEvent{})
}

// left are the keys of one account that are still there.
func left(t *testing.T, s registry.Store, account string) (keys []string) {
	t.Helper()
	req := registry.ListRequest{Limit: 10_000}
	page, err := s.List(t.Context(), req)
	if err != nil || page.More {
		t.Fatal(err, page.More)
	}
	for _, kv := range page.KVs {
		if strings.Contains(kv.Key, account) && !strings.HasPrefix(kv.Key, strings.TrimSuffix(resource.PaymentArchive("", ""), "/")) {
			keys = append(keys, kv.Key)
		}
	}
	return keys
}

func setUp(t *testing.T) *memory.Store {
	t.Helper()
	s := memory.New(memory.Config{})
	t.Cleanup(s.Close)
	return s
}

func purger(s registry.Store) *retention.Purger {
	return retention.New(retention.Config{
		Store: s, View: func() retention.View { return view{s} }, Logger: slog.New(slog.DiscardHandler),
		NameServersRetired: 90 * 24 * time.Hour,
	})
}

func TestPurgeDue(t *testing.T) {
	s := setUp(t)
	fill(t, s, "due", now.Add(-30*24*time.Hour))
	fill(t, s, "notyet", now.Add(-29*24*time.Hour))
	fill(t, s, "alive", time.Time{})
	put(t, s, resource.DomainIndex("shop.test"), &storev1.DomainRecord{ActiveAccount: "due", Claims: []*storev1.DomainRecord_Claim{
		{Account: "due", NameServers: []string{"ns1", "ns2"}}, {Account: "alive", NameServers: []string{"ns3", "ns4"}},
	}})
	alive, notYet := len(left(t, s, "alive")), len(left(t, s, "notyet"))

	n, err := purger(s).PurgeDue(t.Context(), registry.Compare{}, now)
	if n != 1 || err != nil {
		t.Fatalf("%d accounts, %v", n, err)
	}
	if keys := left(t, s, "due"); len(keys) != 0 {
		t.Errorf("left: %v", keys)
	}
	if got := len(left(t, s, "alive")); got != alive {
		t.Errorf("an account that lives has %d keys of %d", got, alive)
	}
	if got := len(left(t, s, "notyet")); got != notYet {
		t.Errorf("an account that is not due has %d keys of %d", got, notYet)
	}
	books, err := s.List(t.Context(), registry.ListRequest{Prefix: strings.TrimSuffix(resource.PaymentArchive("", ""), "/")})
	if err != nil || len(books.KVs) != 3 {
		t.Errorf("%d of 3 invoices are archived: %v", len(books.KVs), err)
	}
	kv, err := s.Get(t.Context(), resource.DomainIndex("shop.test"))
	if err != nil {
		t.Fatal(err)
	}
	var d storev1.DomainRecord
	if err := proto.Unmarshal(kv.Value, &d); err != nil {
		t.Fatal(err)
	}
	if d.GetActiveAccount() != "" || len(d.GetClaims()) != 1 || d.GetClaims()[0].GetAccount() != "alive" ||
		len(d.GetRetired()) != 1 || d.GetRetired()[0].GetUntil().AsTime() != now.Add(90*24*time.Hour) {
		t.Errorf("the domain's record is %v", &d)
	}
}

// TestInterrupted stops a purge after every number of transactions: the next one finishes.
func TestInterrupted(t *testing.T) {
	for stop := range 8 {
		s := setUp(t)
		fill(t, s, "due", now.Add(-40*24*time.Hour))
		n, err := purger(&failing{Store: s, left: stop}).PurgeDue(t.Context(), registry.Compare{}, now)
		if err == nil || n != 0 {
			t.Fatalf("stopped after %d: %d accounts, %v", stop, n, err)
		}
		if _, err := s.Get(t.Context(), resource.ForAccount("due").Record()); err != nil {
			t.Errorf("stopped after %d: the record went before the rest", stop)
		}
		if n, err := purger(s).PurgeDue(t.Context(), registry.Compare{}, now); n != 1 || err != nil {
			t.Errorf("stopped after %d: then %d accounts, %v", stop, n, err)
		}
		if keys := left(t, s, "due"); len(keys) != 0 {
			t.Errorf("stopped after %d: left %v", stop, keys)
		}
	}
}

func TestFenced(t *testing.T) {
	s := setUp(t)
	fill(t, s, "due", now.Add(-40*24*time.Hour))
	before := len(left(t, s, "due"))
	n, err := purger(s).PurgeDue(t.Context(), registry.Compare{Key: "control/leader", ModRevision: 7}, now)
	if n != 0 || err == nil {
		t.Errorf("%d accounts, %v", n, err)
	}
	if got := len(left(t, s, "due")); got != before {
		t.Errorf("a server that does not lead removed %d keys", before-got)
	}
}
