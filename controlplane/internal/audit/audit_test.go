package audit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/audit"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

func seal(t *testing.T, s *audit.Sealer, fence registry.Compare) int {
	t.Helper()
	n, err := s.Seal(t.Context(), fence)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestSealsInOrderOfCommits(t *testing.T) {
	w := setUp(t)
	s := w.sealer(t, nil)
	want := numbers(150)
	for i, n := range want {
		w.happen(t, "acme", n)
		if i%40 == 0 {
			seal(t, s, w.fence)
		}
	}
	if got := w.summaries(t, "acme"); !slices.Equal(got, want) {
		t.Errorf("in part sealed: %q", got)
	}
	seal(t, s, w.fence)
	if got := w.summaries(t, "acme"); !slices.Equal(got, want) {
		t.Errorf("sealed: %q", got)
	}
	v := w.verify(t, "acme")
	if !v.GetValid() || v.GetCheckedEvents() != 150 || v.GetFirstSequence() != 1 || v.GetLastSequence() != 150 || v.GetPendingEvents() != 0 {
		t.Errorf("verified %v", v)
	}
	if page, _ := w.store.List(t.Context(), registry.ListRequest{Prefix: resource.AuditNewPrefix}); len(page.KVs) != 0 {
		t.Errorf("%d loose events are left", len(page.KVs))
	}
	if page, _ := w.store.List(t.Context(), registry.ListRequest{Prefix: resource.ForAccount("acme").AuditSegments()}); len(page.KVs) != 5 {
		t.Errorf("%d segments for 150 events", len(page.KVs))
	}
}

func TestEventsOfOneChangeStayTogether(t *testing.T) {
	w := setUp(t)
	w.happen(t, "acme", "a")
	w.happen(t, "acme", "b", "c", "d")
	w.happen(t, "acme", "e")
	got := w.summaries(t, "acme")
	seal(t, w.sealer(t, nil), w.fence)
	if sealed := w.summaries(t, "acme"); !slices.Equal(got, sealed) || got[0] != "a" || got[4] != "e" {
		t.Errorf("loose %q, sealed %q", got, sealed)
	}
}

func TestEmptyLog(t *testing.T) {
	w := setUp(t)
	if got := w.summaries(t, "acme"); len(got) != 0 {
		t.Errorf("%q", got)
	}
	if v := w.verify(t, "acme"); !v.GetValid() || v.GetCheckedEvents() != 0 {
		t.Errorf("%v", v)
	}
	if n := seal(t, w.sealer(t, nil), w.fence); n != 0 {
		t.Errorf("sealed %d", n)
	}
}

// TestBatchesGoAround gives one account far more events than a batch holds: others are
// sealed all the same.
func TestBatchesGoAround(t *testing.T) {
	w := setUp(t)
	s := w.sealer(t, func(c *audit.SealerConfig) { c.Batch = 10 })
	for i := range 100 {
		w.happen(t, "aaa", fmt.Sprint(i))
	}
	w.happen(t, "bbb", "x")
	w.happen(t, "ccc", "y")
	seal(t, s, w.fence)
	seal(t, s, w.fence)
	for _, account := range []string{"bbb", "ccc"} {
		if v := w.verify(t, account); v.GetPendingEvents() != 0 {
			t.Errorf("%s waits behind another account", account)
		}
	}
	for n := 1; n > 0; {
		n = seal(t, s, w.fence)
	}
	if v := w.verify(t, "aaa"); !v.GetValid() || v.GetCheckedEvents() != 100 {
		t.Errorf("%v", v)
	}
}

func TestBytesAreBounded(t *testing.T) {
	w := setUp(t)
	s := w.sealer(t, func(c *audit.SealerConfig) { c.BatchBytes = 100 })
	for i := range 10 {
		w.happen(t, "acme", fmt.Sprint(i))
	}
	if n := seal(t, s, w.fence); n == 0 || n >= 10 {
		t.Errorf("%d events in a batch of 100 bytes", n)
	}
}

func TestFence(t *testing.T) {
	w := setUp(t)
	s := w.sealer(t, nil)
	old := w.fence
	w.happen(t, "acme", "a")
	w.lead(t)
	if _, err := s.Seal(t.Context(), old); !errors.Is(err, audit.ErrFenced) {
		t.Errorf("error %v", err)
	}
	if v := w.verify(t, "acme"); v.GetPendingEvents() != 1 || v.GetCheckedEvents() != 0 {
		t.Errorf("%v", v)
	}
}

func TestTwoLeadersWithOldViews(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := setUp(t)
		views := []view{w.view(r), w.view(r)}
		var sealers []*audit.Sealer
		for i := range views {
			sealers = append(sealers, w.sealer(r, func(c *audit.SealerConfig) {
				c.View = func() audit.View { return views[i] }
				c.Batch = rapid.IntRange(1, 40).Draw(r, "batch")
			}))
		}
		var want []string
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			switch i := rapid.IntRange(0, 1).Draw(r, "who"); rapid.IntRange(0, 3).Draw(r, "what") {
			case 0, 1:
				s := fmt.Sprint(len(want))
				want = append(want, s)
				w.happen(r, "acme", s)
			case 2:
				views[i] = w.view(r)
			case 3:
				// Both hold the fence, as when one takes over from the other: the compares of
				// the head and of the events have to keep order alone.
				_, _ = sealers[i].Seal(context.Background(), w.fence)
			}
		}
		if got := w.summaries(r, "acme"); !slices.Equal(got, want) {
			r.Fatalf("log %q, want %q", got, want)
		}
		if v := w.verify(r, "acme"); !v.GetValid() {
			r.Fatalf("%v", v)
		}
	})
}

// TestTampering changes what is stored in every way there is.
func TestTampering(t *testing.T) {
	tenant := resource.ForAccount("acme")
	change := func(change func(s *storev1.AuditSegment)) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			t.Helper()
			key := tenant.AuditSegment(33)
			kv, err := w.store.Get(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			var s storev1.AuditSegment
			if err := proto.Unmarshal(kv.Value, &s); err != nil {
				t.Fatal(err)
			}
			change(&s)
			b, err := proto.Marshal(&s)
			if err != nil {
				t.Fatal(err)
			}
			w.commit(t, registry.Put(key, b))
		}
	}
	for name, tamper := range map[string]func(*testing.T, *world){
		"changed words":    change(func(s *storev1.AuditSegment) { s.Events[3].Summary = "nothing" }),
		"changed time":     change(func(s *storev1.AuditSegment) { s.Events[3].CreateTime.Nanos++ }),
		"changed person":   change(func(s *storev1.AuditSegment) { s.Events[3].Principal = "x" }),
		"moved text":       change(func(s *storev1.AuditSegment) { s.Events[3].ChangedFields = []string{"ab"} }),
		"removed":          change(func(s *storev1.AuditSegment) { s.Events = append(s.GetEvents()[:3], s.GetEvents()[4:]...) }),
		"removed the last": change(func(s *storev1.AuditSegment) { s.Events = s.GetEvents()[:len(s.GetEvents())-1] }),
		"swapped":          change(func(s *storev1.AuditSegment) { s.Events[3], s.Events[4] = s.GetEvents()[4], s.GetEvents()[3] }),
		"rehashed alone": change(func(s *storev1.AuditSegment) {
			s.Events[3].Summary = "nothing"
			s.Events[3].Hash = s.GetEvents()[4].GetHash()
		}),
		"removed a segment": func(t *testing.T, w *world) { t.Helper(); w.commit(t, registry.Delete(tenant.AuditSegment(1))) },
		"removed the head":  func(t *testing.T, w *world) { t.Helper(); w.commit(t, registry.Delete(tenant.AuditHead())) },
	} {
		t.Run(name, func(t *testing.T) {
			w := setUp(t)
			for _, n := range numbers(70) {
				w.happen(t, "acme", n)
			}
			seal(t, w.sealer(t, nil), w.fence)
			if v := w.verify(t, "acme"); !v.GetValid() {
				t.Fatalf("before: %v", v)
			}
			tamper(t, w)
			if v := w.verify(t, "acme"); v.GetValid() || v.GetProblem() == "" {
				t.Errorf("not seen: %v", v)
			}
		})
	}
}

// TestPagesWhileSealing reads a log page by page while its events are being sealed and new
// ones happen: each event that was there at the beginning is seen once.
func TestPagesWhileSealing(t *testing.T) {
	w := setUp(t)
	s := w.sealer(t, func(c *audit.SealerConfig) { c.Batch = 7 })
	want := numbers(90)
	for _, n := range want {
		w.happen(t, "acme", n)
	}
	var got []string
	for before := int64(0); ; {
		n := 0
		if err := w.open(t, "acme").Descend(t.Context(), before, func(at int64, e *breakwaterv1.AuditEvent) bool {
			before = at
			got = append(got, e.GetSummary())
			n++
			return n < 5
		}); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		w.happen(t, "acme", "later")
		seal(t, s, w.fence)
	}
	slices.Reverse(got)
	if !slices.Equal(got, want) {
		t.Errorf("pages hold %q", got)
	}
}

func TestRetention(t *testing.T) {
	w := setUp(t)
	w.commit(t, registry.Put(resource.AccountIndex("acme"), nil), registry.Put(resource.AccountIndex("beta"), nil))
	s := w.sealer(t, func(c *audit.SealerConfig) { c.Retention = 30 * day })
	for i := range 100 {
		w.happen(t, "acme", fmt.Sprint(i))
		w.clock.Advance(day)
	}
	seal(t, s, w.fence)
	if err := s.Retain(t.Context(), w.fence); err != nil {
		t.Fatal(err)
	}
	// 70 events are old enough, which are two whole segments.
	v := w.verify(t, "acme")
	if !v.GetValid() || v.GetFirstSequence() != 65 || v.GetLastSequence() != 100 || v.GetCheckedEvents() != 36 {
		t.Errorf("%v", v)
	}
	if got := w.summaries(t, "acme"); len(got) != 36 || got[0] != "64" {
		t.Errorf("%q", got)
	}
	w.happen(t, "acme", "100")
	seal(t, s, w.fence)
	if v := w.verify(t, "acme"); !v.GetValid() || v.GetLastSequence() != 101 {
		t.Errorf("after more: %v", v)
	}
	old := w.fence
	w.lead(t)
	w.clock.Advance(100 * day)
	if err := s.Retain(t.Context(), old); !errors.Is(err, audit.ErrFenced) {
		t.Errorf("an old leader drops segments: %v", err)
	}
}

func TestRun(t *testing.T) {
	w := setUp(t)
	s := w.sealer(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, w.fence) }()
	w.happen(t, "acme", "a")
	watch := w.store.Watch(ctx, resource.ForAccount("acme").AuditHead(), 0)
	if err := w.clock.BlockUntilContext(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(200_000_000)
	for batch := range watch.C() {
		if len(batch.Events) > 0 {
			break
		}
	}
	if v := w.verify(t, "acme"); !v.GetValid() || v.GetCheckedEvents() != 1 {
		t.Errorf("%v", v)
	}
	w.happen(t, "acme", "b")
	w.lead(t)
	w.clock.Advance(200_000_000)
	if err := <-done; !errors.Is(err, audit.ErrFenced) {
		t.Errorf("Run ended with %v", err)
	}
	cancel()
	for range watch.C() { // Until the watch is done.
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := w.sealer(t, nil).Run(stopped, w.fence); err != nil {
		t.Errorf("stopped: %v", err)
	}
}

// TestHashIsStable pins the canonical form: whoever verifies an export depends on it.
func TestHashIsStable(t *testing.T) {
	e := &breakwaterv1.AuditEvent{
		Name: "accounts/acme/auditEvents/1", Principal: "operator", Method: "UpdateSettings",
		Resource: "accounts/acme/sites/shop.test/settings", Version: 7, ChangedFields: []string{"cacheLevel"}, Sequence: 3,
	}
	const want = "2e3a4a3fe9bc295c1ac1770246451fe9554fa51976a6ea8cf47c64a08dfbf077"
	if got := fmt.Sprintf("%x", audit.Hash(make([]byte, 32), e)); got != want {
		t.Errorf("hash %s", got)
	}
}
