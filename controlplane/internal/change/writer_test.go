package change_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

func reason(err error) rpcerr.Reason {
	if e, ok := errors.AsType[*rpcerr.Error](err); ok {
		return e.Reason
	}
	return ""
}

func TestOneTransaction(t *testing.T) {
	f := setUp(t)
	before, _ := f.store.Revision(t.Context())
	_, err := change.Do(t.Context(), f.writer, acme, func(tx *change.Tx) (*breakwaterv1.Member, error) {
		tx.Audit(&breakwaterv1.AuditEvent{Resource: "accounts/acme/members/counter", Summary: "set"})
		return set("a")(tx)
	})
	if err != nil {
		t.Fatal(err)
	}
	after, _ := f.store.Revision(t.Context())
	if after != before+1 {
		t.Errorf("%d transactions", after-before)
	}
	page, err := f.store.List(t.Context(), registry.ListRequest{Prefix: acme.AuditNewOf()})
	if err != nil || len(page.KVs) != 1 || page.KVs[0].ModRevision != after {
		t.Errorf("audit events %v, %v", page.KVs, err)
	}
	var e breakwaterv1.AuditEvent
	read(t, f, page.KVs[0].Key, &e)
	if e.GetPrincipal() != "system" || e.GetCreateTime() == nil || e.GetName() == "" {
		t.Errorf("event %v", &e)
	}
}

// TestStaleCache makes changes through a cache that stopped: every answer must be as if it
// were current.
func TestStaleCache(t *testing.T) {
	f := setUp(t)
	do := func(ctx context.Context, fn func(*change.Tx) (*breakwaterv1.Member, error)) error {
		_, err := change.Do(ctx, f.writer, acme, fn)
		return err
	}
	f.source.hold(t)
	if err := do(t.Context(), set("a")); err != nil {
		t.Fatal(err)
	}
	t.Run("the newest value is read", func(t *testing.T) {
		saw := ""
		err := do(t.Context(), func(tx *change.Tx) (*breakwaterv1.Member, error) {
			var rec storev1.MemberRecord
			if err := tx.Get(counter(), &rec); err != nil {
				return nil, err
			}
			saw = rec.GetMember().GetEmail()
			return rec.GetMember(), tx.Put(counter(), &rec)
		})
		if err != nil || saw != "a" {
			t.Errorf("saw %q, %v", saw, err)
		}
	})
	t.Run("a change that finds nothing to do looks again", func(t *testing.T) {
		f.source.hold(t)
		if err := do(t.Context(), set("b")); err != nil {
			t.Fatal(err)
		}
		// By the cache the value is still a, so there would be nothing to do.
		err := do(t.Context(), func(tx *change.Tx) (*breakwaterv1.Member, error) {
			var rec storev1.MemberRecord
			if err := tx.Get(counter(), &rec); err != nil {
				return nil, err
			}
			if rec.GetMember().GetEmail() == "a" {
				return rec.GetMember(), nil
			}
			return set("a")(tx)
		})
		if got := f.value(t); err != nil || got != "a" {
			t.Errorf("value %q, %v", got, err)
		}
	})
	t.Run("an error is checked", func(t *testing.T) {
		key := acme.Member("new")
		f.source.hold(t)
		if err := do(t.Context(), func(tx *change.Tx) (*breakwaterv1.Member, error) {
			return &breakwaterv1.Member{}, tx.PutNew(key, &storev1.MemberRecord{})
		}); err != nil {
			t.Fatal(err)
		}
		if err := do(t.Context(), func(tx *change.Tx) (*breakwaterv1.Member, error) {
			return &breakwaterv1.Member{}, tx.Get(key, &storev1.MemberRecord{})
		}); err != nil {
			t.Errorf("what was just made is not there: %v", err)
		}
	})
	t.Run("validateOnly sees it too", func(t *testing.T) {
		f.source.hold(t)
		if err := do(t.Context(), set("c")); err != nil {
			t.Fatal(err)
		}
		saw := ""
		err := do(as(t.Context(), func(i *call.Info) { i.ValidateOnly = true }), func(tx *change.Tx) (*breakwaterv1.Member, error) {
			var rec storev1.MemberRecord
			err := tx.Get(counter(), &rec)
			saw = rec.GetMember().GetEmail()
			return rec.GetMember(), err
		})
		if err != nil || saw != "c" {
			t.Errorf("saw %q, %v", saw, err)
		}
	})
}

func TestStaleList(t *testing.T) {
	f := setUp(t)
	put := func(id, email string) {
		t.Helper()
		_, err := change.Do(t.Context(), f.writer, acme, func(tx *change.Tx) (*breakwaterv1.Member, error) {
			if _, err := tx.Exists(acme.Member(id)); err != nil {
				return nil, err
			}
			if email == "" {
				tx.Delete(acme.Member(id))
				return &breakwaterv1.Member{}, nil
			}
			return &breakwaterv1.Member{}, tx.Put(acme.Member(id), &storev1.MemberRecord{Member: &breakwaterv1.Member{Email: email}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	put("a", "1")
	put("b", "1")
	put("c", "1")
	f.source.hold(t)
	put("a", "2")
	put("b", "")
	var last []registry.KV
	runs := 0
	_, err := change.Do(t.Context(), f.writer, acme, func(tx *change.Tx) (*breakwaterv1.Member, error) {
		runs++
		kvs, err := tx.List(acme.Members(), 0)
		last = kvs
		tx.PutRaw(acme.Member("z"), nil)
		return &breakwaterv1.Member{}, err
	})
	if err != nil || runs != 2 || len(last) != 2 || last[0].ModRevision < last[1].ModRevision {
		t.Errorf("%d runs, last saw %v, %v", runs, last, err)
	}
}

func TestContention(t *testing.T) {
	f := setUp(t)
	if _, err := change.Do(t.Context(), f.writer, acme, set("0")); err != nil {
		t.Fatal(err)
	}
	// Two replicas, each with many changes of the same value at once.
	replicas := []*change.Writer{f.writer, f.replica()}
	const each = 60
	var wg sync.WaitGroup
	for _, w := range replicas {
		for range each {
			wg.Go(func() {
				_, err := change.Do(t.Context(), w, acme, func(tx *change.Tx) (*breakwaterv1.Member, error) {
					var rec storev1.MemberRecord
					if err := tx.Get(counter(), &rec); err != nil {
						return nil, err
					}
					n, err := strconv.Atoi(rec.GetMember().GetEmail())
					if err != nil {
						return nil, err
					}
					rec.Member.Email = strconv.Itoa(n + 1)
					return rec.GetMember(), tx.Put(counter(), &rec)
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if got := f.value(t); got != strconv.Itoa(2*each) {
		t.Errorf("%s changes are stored, %d were acknowledged", got, 2*each)
	}
}

func TestContentionIsBounded(t *testing.T) {
	f := setUp(t)
	runs := 0
	_, err := change.Do(t.Context(), f.writer, acme, func(tx *change.Tx) (*breakwaterv1.Member, error) {
		runs++
		answer, err := set("mine")(tx)
		// Somebody else is always first.
		if _, err := f.store.Commit(tx.Context(), registry.Txn{Then: []registry.Op{registry.Put(counter(), nil)}}); err != nil {
			return nil, err
		}
		return answer, err
	})
	if reason(err) != rpcerr.ReasonConcurrentChange || runs > 64 {
		t.Errorf("%v after %d runs", err, runs)
	}
}

func TestValidateOnlyStoresNothing(t *testing.T) {
	f := setUp(t)
	before, _ := f.store.Revision(t.Context())
	ctx := as(t.Context(), func(i *call.Info) { i.ValidateOnly, i.IdempotencyKey = true, "k" })
	answer, err := change.Do(ctx, f.writer, acme, func(tx *change.Tx) (*breakwaterv1.Member, error) {
		tx.Audit(&breakwaterv1.AuditEvent{})
		return set("a")(tx)
	})
	if err != nil || answer.GetEmail() != "a" {
		t.Errorf("%v, %v", answer, err)
	}
	if after, _ := f.store.Revision(t.Context()); after != before {
		t.Errorf("%d transactions", after-before)
	}
	// The key was not used up either.
	if _, err := change.Do(keyed(t.Context(), "k", 9), f.writer, acme, set("b")); err != nil {
		t.Error(err)
	}
}

func TestAccountMustBeThere(t *testing.T) {
	f := setUp(t)
	ctx := caller(t.Context())
	if _, err := change.Do(ctx, f.writer, acme, set("a")); reason(err) != rpcerr.ReasonNotFound {
		t.Errorf("without an account: %v", err)
	}
	if _, err := change.Do(t.Context(), f.writer, acme, set("a")); err != nil {
		t.Errorf("the system, which knows what it does: %v", err)
	}
	f.putAccount(t, &breakwaterv1.Account{})
	if _, err := change.Do(ctx, f.writer, acme, set("a")); err != nil {
		t.Errorf("with an account: %v", err)
	}
	f.putAccount(t, &breakwaterv1.Account{DeleteTime: timestamppb.Now()})
	if _, err := change.Do(ctx, f.writer, acme, set("b")); reason(err) != rpcerr.ReasonInvalidState {
		t.Errorf("with a deleted account: %v", err)
	}
	if _, err := change.Do(ctx, f.writer, acme, func(tx *change.Tx) (*breakwaterv1.Member, error) {
		if err := tx.Get(acme.Record(), &storev1.AccountRecord{}); err != nil {
			return nil, err
		}
		return set("c")(tx)
	}); err != nil {
		t.Errorf("a change that decides about the account itself: %v", err)
	}
}

// TestAccountPurgedMeanwhile deletes the account between the decision and the commit.
func TestAccountPurgedMeanwhile(t *testing.T) {
	f := setUp(t)
	f.putAccount(t, &breakwaterv1.Account{})
	f.source.hold(t)
	if _, err := f.store.Commit(t.Context(), registry.Txn{Then: []registry.Op{registry.Delete(acme.Record())}}); err != nil {
		t.Fatal(err)
	}
	if _, err := change.Do(caller(t.Context()), f.writer, acme, set("orphan")); reason(err) != rpcerr.ReasonNotFound {
		t.Errorf("error %v", err)
	}
	if got := f.value(t); got != "" {
		t.Errorf("an orphan is stored: %q", got)
	}
}

func TestStoreDown(t *testing.T) {
	f := setUp(t)
	f.source.hold(t)
	f.store.SetUnavailable(true)
	if _, err := change.Do(t.Context(), f.writer, acme, set("a")); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	f.store.SetUnavailable(false)
	if got := f.value(t); got != "" {
		t.Errorf("value %q", got)
	}
}

// TestLostAnswerIsNotRepeated loses the answer to a commit that was stored: doing it again
// would do it twice.
func TestLostAnswerIsNotRepeated(t *testing.T) {
	f := setUp(t)
	f.store.LoseAnswers(1)
	runs := 0
	_, err := change.Do(t.Context(), f.writer, acme, func(tx *change.Tx) (*breakwaterv1.Member, error) {
		runs++
		return set("a")(tx)
	})
	if !errors.Is(err, registry.ErrUnknownOutcome) || runs != 1 {
		t.Errorf("%v after %d runs", err, runs)
	}
	f.store.LoseAnswers(1)
	answer, err := change.Do(keyed(t.Context(), "k", 1), f.writer, acme, set("b"))
	if err != nil || answer.GetEmail() != "b" {
		t.Errorf("with an idempotency key the answer is found: %v, %v", answer, err)
	}
}

func TestCancelled(t *testing.T) {
	f := setUp(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := change.Do(ctx, f.writer, acme, func(tx *change.Tx) (*breakwaterv1.Member, error) {
		cancel()
		return set("a")(tx)
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestTxSeesItsOwnWrites(t *testing.T) {
	f := setUp(t)
	_, err := change.Do(t.Context(), f.writer, acme, func(tx *change.Tx) (*breakwaterv1.Member, error) {
		if _, err := set("a")(tx); err != nil {
			return nil, err
		}
		var rec storev1.MemberRecord
		if err := tx.Get(counter(), &rec); err != nil || rec.GetMember().GetEmail() != "a" {
			t.Errorf("%v, %v", &rec, err)
		}
		tx.Delete(counter())
		if err := tx.Get(counter(), &rec); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("after delete: %v", err)
		}
		if ok, err := tx.Exists(counter()); ok || err != nil {
			t.Errorf("after delete: %v, %v", ok, err)
		}
		return set("b")(tx)
	})
	if got := f.value(t); err != nil || got != "b" {
		t.Errorf("value %q, %v", got, err)
	}
}

// TestPutNewGivesUp shows that a taken key ends the change and does not overwrite.
func TestPutNewGivesUp(t *testing.T) {
	f := setUp(t)
	f.source.hold(t)
	if _, err := change.Do(t.Context(), f.writer, acme, set("first")); err != nil {
		t.Fatal(err)
	}
	_, err := change.Do(t.Context(), f.writer, acme, func(tx *change.Tx) (*breakwaterv1.Member, error) {
		return &breakwaterv1.Member{}, tx.PutNew(counter(), &storev1.MemberRecord{})
	})
	if reason(err) != rpcerr.ReasonConcurrentChange || f.value(t) != "first" {
		t.Errorf("%v, value %q", err, f.value(t))
	}
}

func TestEventsAreFilledAndBounded(t *testing.T) {
	f := setUp(t)
	f.putAccount(t, &breakwaterv1.Account{})
	ctx := as(t.Context(), func(i *call.Info) {
		i.Principal.Kind, i.Principal.ID, i.Principal.OnBehalfOf, i.RequestID = 2, "accounts/acme/tokens/t", "m@x.test", "r"
	})
	fields := make([]string, 500)
	_, err := change.Do(ctx, f.writer, acme, func(tx *change.Tx) (*breakwaterv1.Member, error) {
		tx.Audit(&breakwaterv1.AuditEvent{Summary: string(make([]rune, 5000)), ChangedFields: fields})
		return set("a")(tx)
	})
	if err != nil {
		t.Fatal(err)
	}
	page, _ := f.store.List(t.Context(), registry.ListRequest{Prefix: acme.AuditNewOf()})
	var e breakwaterv1.AuditEvent
	read(t, f, page.KVs[0].Key, &e)
	if len([]rune(e.GetSummary())) != 1000 || len(e.GetChangedFields()) != 100 {
		t.Errorf("%d runes, %d fields", len([]rune(e.GetSummary())), len(e.GetChangedFields()))
	}
	if e.GetMethod() != "UpdateMember" || e.GetPrincipal() != "accounts/acme/tokens/t" || e.GetOnBehalfOf() != "m@x.test" || e.GetHttpRequestId() != "r" {
		t.Errorf("event %v", &e)
	}
}

func TestPlatformChangesHaveNoTenant(t *testing.T) {
	f := setUp(t)
	if _, err := change.Do(caller(t.Context()), f.writer, resource.Tenant{}, func(tx *change.Tx) (*breakwaterv1.Member, error) {
		tx.PutRaw(resource.LimitsKey, []byte("x"))
		return &breakwaterv1.Member{}, nil
	}); err != nil {
		t.Error(err)
	}
}
