package change_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// create makes a member with an ID that is made up on every run.
func create(f *fixture, email string) func(tx *change.Tx) (*breakwaterv1.Member, error) {
	return func(tx *change.Tx) (*breakwaterv1.Member, error) {
		index := resource.EmailIndex(email, "acme")
		if ok, err := tx.Exists(index); err != nil || ok {
			return nil, rpcerr.AlreadyExists(email)
		}
		id := "m" + string(rune('a'+f.ids.Add(1)%26)) + email[:1]
		tx.PutRaw(index, []byte(id))
		m := &breakwaterv1.Member{Name: resource.MemberName("acme", id), Email: email}
		return m, tx.PutNew(acme.Member(id), &storev1.MemberRecord{Member: m})
	}
}

func TestRepeatGetsTheFirstAnswer(t *testing.T) {
	f := setUp(t)
	first, err := change.Do(keyed(t.Context(), "k", 1), f.writer, acme, create(f, "x@x.test"))
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]*change.Writer{"here": f.writer, "on another replica": f.replica()} {
		again, err := change.Do(keyed(t.Context(), "k", 1), w, acme, create(f, "x@x.test"))
		if err != nil || again.GetName() != first.GetName() {
			t.Errorf("%s: %v, %v, first was %v", name, again, err, first)
		}
		if _, err := change.Do(keyed(t.Context(), "k", 2), w, acme, create(f, "y@x.test")); reason(err) != rpcerr.ReasonIdempotencyKeyReused {
			t.Errorf("%s, another body: %v", name, err)
		}
		if _, err := change.Do(keyed(t.Context(), "k", 2), w, acme, create(f, "x@x.test")); reason(err) != rpcerr.ReasonIdempotencyKeyReused {
			t.Errorf("%s, another body that would fail: %v", name, err)
		}
		if _, err := change.Do(keyed(t.Context(), "other", 1), w, acme, create(f, "x@x.test")); reason(err) != rpcerr.ReasonAlreadyExists {
			t.Errorf("%s, another key: %v", name, err)
		}
	}
}

func TestKeysBelongToPrincipalAndMethod(t *testing.T) {
	f := setUp(t)
	f.putAccount(t, &breakwaterv1.Account{})
	key := func(change func(*call.Info)) context.Context {
		return as(caller(t.Context()), func(i *call.Info) {
			i.IdempotencyKey = "k"
			i.Principal.Kind, i.Principal.ID = 2, "accounts/acme/tokens/a"
			change(i)
		})
	}
	for name, c := range map[string]func(*call.Info){
		"a":                  func(*call.Info) {},
		"b, another token":   func(i *call.Info) { i.Principal.ID = "accounts/acme/tokens/b" },
		"c, another method":  func(i *call.Info) { i.FullMethod = "/x/Y" },
		"d, for a member":    func(i *call.Info) { i.Principal.OnBehalfOf = "m@x.test" },
		"e, for another one": func(i *call.Info) { i.Principal.OnBehalfOf = "n@x.test" },
	} {
		if got, err := change.Do(key(c), f.writer, acme, create(f, name[:1]+"@x.test")); err != nil || got.GetEmail()[:1] != name[:1] {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestFailuresAreNotKept(t *testing.T) {
	f := setUp(t)
	ctx := keyed(t.Context(), "k", 1)
	_, err := change.Do(ctx, f.writer, acme, func(*change.Tx) (*breakwaterv1.Member, error) {
		return nil, rpcerr.NotFound("x")
	})
	if reason(err) != rpcerr.ReasonNotFound {
		t.Fatal(err)
	}
	if _, err := change.Do(ctx, f.writer, acme, set("a")); err != nil {
		t.Errorf("after a failure: %v", err)
	}
}

func TestNothingToDoIsKeptToo(t *testing.T) {
	f := setUp(t)
	nothing := func(answer string) func(*change.Tx) (*breakwaterv1.Member, error) {
		return func(*change.Tx) (*breakwaterv1.Member, error) { return &breakwaterv1.Member{Email: answer}, nil }
	}
	ctx := keyed(t.Context(), "k", 1)
	if _, err := change.Do(ctx, f.writer, acme, nothing("first")); err != nil {
		t.Fatal(err)
	}
	if got, err := change.Do(ctx, f.writer, acme, nothing("second")); err != nil || got.GetEmail() != "first" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestInFlight(t *testing.T) {
	f := setUp(t)
	ctx := keyed(t.Context(), "k", 1)
	_, err := change.Do(ctx, f.writer, acme, func(tx *change.Tx) (*breakwaterv1.Member, error) {
		if _, err := change.Do(ctx, f.writer, acme, set("b")); reason(err) != rpcerr.ReasonIdempotencyInProgress {
			t.Errorf("meanwhile: %v", err)
		}
		return set("a")(tx)
	})
	if err != nil {
		t.Error(err)
	}
}

// TestReplicasRace runs the same key on many replicas at once: one change is made, and all
// get its answer.
func TestReplicasRace(t *testing.T) {
	for range 20 {
		f := setUp(t)
		var (
			wg    sync.WaitGroup
			mu    sync.Mutex
			names = map[string]int{}
		)
		for range 6 {
			w := f.replica()
			wg.Go(func() {
				got, err := change.Do(keyed(t.Context(), "k", 1), w, acme, create(f, "x@x.test"))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				names[got.GetName()]++
			})
		}
		wg.Wait()
		page, err := f.store.List(t.Context(), registry.ListRequest{Prefix: acme.Members()})
		if err != nil || len(page.KVs) != 1 || len(names) != 1 {
			t.Fatalf("%d members, answers %v, %v", len(page.KVs), names, err)
		}
	}
}

// TestReplicaWithAnotherBodyRaces lets two different requests race with one key.
func TestReplicaWithAnotherBodyRaces(t *testing.T) {
	f := setUp(t)
	second := f.replica()
	_, err := change.Do(keyed(t.Context(), "k", 1), f.writer, acme, func(tx *change.Tx) (*breakwaterv1.Member, error) {
		if _, err := change.Do(keyed(t.Context(), "k", 2), second, acme, create(f, "y@x.test")); err != nil && reason(err) != rpcerr.ReasonIdempotencyKeyReused {
			t.Error(err)
		}
		return create(f, "x@x.test")(tx)
	})
	if reason(err) != rpcerr.ReasonIdempotencyKeyReused {
		t.Errorf("error %v", err)
	}
	if page, _ := f.store.List(t.Context(), registry.ListRequest{Prefix: acme.Members()}); len(page.KVs) != 1 {
		t.Errorf("%d members", len(page.KVs))
	}
}

func TestKeptForADay(t *testing.T) {
	f := setUp(t)
	ctx := keyed(t.Context(), "k", 1)
	if _, err := change.Do(ctx, f.writer, acme, create(f, "x@x.test")); err != nil {
		t.Fatal(err)
	}
	f.clock.Advance(24*time.Hour - time.Second)
	if _, err := change.Do(ctx, f.writer, acme, create(f, "x@x.test")); err != nil {
		t.Errorf("within a day: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	watch := f.store.Watch(ended, resource.IdempotencyPrefix, 0)
	f.clock.Advance(time.Hour)
	for batch := range watch.C() {
		for _, e := range batch.Events {
			if e.Deleted {
				cancel()
			}
		}
	}
	cancel()
	if _, err := change.Do(ctx, f.writer, acme, create(f, "x@x.test")); reason(err) != rpcerr.ReasonAlreadyExists {
		t.Errorf("after more than a day: %v", err)
	}
}

// TestLeaseEndedEarly loses the lease of the bucket under a running server.
func TestLeaseEndedEarly(t *testing.T) {
	f := setUp(t)
	if _, err := change.Do(keyed(t.Context(), "k1", 1), f.writer, acme, set("a")); err != nil {
		t.Fatal(err)
	}
	page, err := f.store.List(t.Context(), registry.ListRequest{Prefix: resource.IdempotencyPrefix})
	if err != nil || len(page.KVs) != 1 || page.KVs[0].Lease == 0 {
		t.Fatalf("%v, %v", page.KVs, err)
	}
	if err := f.store.Revoke(t.Context(), page.KVs[0].Lease); err != nil {
		t.Fatal(err)
	}
	if _, err := change.Do(keyed(t.Context(), "k2", 1), f.writer, acme, set("b")); err != nil || f.value(t) != "b" {
		t.Errorf("%v, value %q", err, f.value(t))
	}
}

func withSecret(secret string, erase bool) func(tx *change.Tx) (*breakwaterv1.CreateTokenResponse, error) {
	return func(tx *change.Tx) (*breakwaterv1.CreateTokenResponse, error) {
		name := resource.TokenName("acme", "t")
		if _, err := tx.Exists(acme.Token("t")); err != nil {
			return nil, err
		}
		if erase {
			if err := tx.EraseAnswers(name); err != nil {
				return nil, err
			}
		}
		tx.SecretIn(name)
		return &breakwaterv1.CreateTokenResponse{Secret: secret}, tx.Put(acme.Token("t"), &storev1.TokenRecord{})
	}
}

func TestSecretsAreSealedAndErased(t *testing.T) {
	f := setUp(t)
	made := keyed(t.Context(), "create", 1)
	if _, err := change.Do(made, f.writer, acme, withSecret("first-secret", false)); err != nil {
		t.Fatal(err)
	}
	assertNowhere(t, f, "first-secret")
	if got, err := change.Do(made, f.replica(), acme, withSecret("another", false)); err != nil || got.GetSecret() != "first-secret" {
		t.Errorf("a repeat: %v, %v", got, err)
	}

	rolled := keyed(t.Context(), "roll", 1)
	if _, err := change.Do(rolled, f.writer, acme, withSecret("second-secret", true)); err != nil {
		t.Fatal(err)
	}
	if _, err := change.Do(made, f.writer, acme, withSecret("another", false)); reason(err) != rpcerr.ReasonInvalidState {
		t.Errorf("a repeat after the roll: %v", err)
	}
	if got, err := change.Do(rolled, f.writer, acme, withSecret("another", true)); err != nil || got.GetSecret() != "second-secret" {
		t.Errorf("a repeat of the roll: %v, %v", got, err)
	}
	if _, err := change.Do(t.Context(), f.writer, acme, func(tx *change.Tx) (*breakwaterv1.Member, error) {
		tx.Delete(acme.Token("t"))
		return &breakwaterv1.Member{}, tx.EraseAnswers(resource.TokenName("acme", "t"))
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := change.Do(rolled, f.writer, acme, withSecret("another", true)); reason(err) != rpcerr.ReasonInvalidState {
		t.Errorf("a repeat of the roll after the revocation: %v", err)
	}
	page, err := f.store.List(t.Context(), registry.ListRequest{Prefix: resource.IdempotencyPrefix})
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range page.KVs {
		var rec storev1.IdempotencyRecord
		read(t, f, kv.Key, &rec)
		if len(rec.GetResponse()) > 0 {
			t.Errorf("a secret is left: %v", &rec)
		}
	}
}

func assertNowhere(t *testing.T, f *fixture, secret string) {
	t.Helper()
	page, err := f.store.List(t.Context(), registry.ListRequest{Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range page.KVs {
		if strings.Contains(string(kv.Value), secret) {
			t.Errorf("%s holds the secret in clear", kv.Key)
		}
	}
}
