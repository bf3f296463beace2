package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/compile"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func TestGenesis(t *testing.T) {
	h := memoryHarness(t, nil)
	h.putApp("minify", 1, false)
	h.settle()
	for c, want := range map[wire.Channel]string{wire.Platform: "app/minify limits/edge", wire.Routine: "", wire.Urgent: ""} {
		if got := ids(h.documents(c)); got != want {
			t.Errorf("%s has %q", c, got)
		}
		m := h.manifest(c, 1)
		if m.GetCause() != edgev1.Manifest_GENESIS || m.GetParent() != 0 || m.GetCompilerVersion() != compile.Version {
			t.Errorf("%s: %v", c, m)
		}
		if head := h.head(c); head.GetRelease() != 1 || head.GetCursor() < m.GetCoveredRevision() {
			t.Errorf("%s: %v", c, head)
		}
		if h.workers[c].base != 1 {
			t.Errorf("%s has no base", c)
		}
	}
}

// TestPlatformWaitsForLimits checks that nothing is good by definition before the registry
// is seeded.
func TestPlatformWaitsForLimits(t *testing.T) {
	reg, edge := memory.New(memory.Config{}), memory.New(memory.Config{})
	defer reg.Close()
	defer edge.Close()
	h := newHarness(t, reg, edge, nil)
	defer h.stop()
	h.settle()
	if h.head(wire.Platform).GetRelease() != 0 || h.head(wire.Routine).GetRelease() != 1 {
		t.Errorf("%v, %v", h.head(wire.Platform), h.head(wire.Routine))
	}
	h.putApp("minify", 1, false)
	h.putLimits(nil)
	h.settle()
	h.checkPublished(wire.Platform)
}

// TestChannels follows a site through its life.
func TestChannels(t *testing.T) {
	h := memoryHarness(t, nil)
	h.settle()
	s := active("acme", "shop.test", 1)
	step := func(what, routine, urgent string) {
		t.Helper()
		h.settle()
		for c, want := range map[wire.Channel]string{wire.Routine: routine, wire.Urgent: urgent} {
			if got := ids(h.documents(c)); got != want {
				t.Errorf("%s: %s has %q", what, c, got)
			}
			h.checkPublished(c)
			if got := h.head(c).GetCursor(); got != h.workers[c].seen {
				t.Errorf("%s: %s stands at %d, %d was seen", what, c, got, h.workers[c].seen)
			}
		}
	}
	s.state = breakwaterv1.Site_PENDING
	h.putSite(s)
	step("pending", "", "")
	if got := h.head(wire.Routine).GetRelease(); got != 1 {
		t.Errorf("a site that is not served made release %d", got)
	}
	s.state = breakwaterv1.Site_ACTIVE
	h.putSite(s)
	step("active", "site/shop.test", "shield/shop.test")
	s.full, s.records = true, []string{"192.0.2.7"}
	h.putSite(s)
	step("full", "dns/shop.test site/shop.test", "shield/shop.test")

	routine, urgent := h.head(wire.Routine).GetRelease(), h.head(wire.Urgent).GetRelease()
	s.ttl = 2
	h.putSite(s)
	step("settings", "dns/shop.test site/shop.test", "shield/shop.test")
	if h.head(wire.Routine).GetRelease() != routine+1 || h.head(wire.Urgent).GetRelease() != urgent {
		t.Error("settings made a release of the urgent channel, or none of the routine one")
	}
	s.attack = true
	h.putSite(s)
	step("attack", "dns/shop.test site/shop.test", "shield/shop.test")
	if h.head(wire.Routine).GetRelease() != routine+1 || h.head(wire.Urgent).GetRelease() != urgent+1 {
		t.Error("an attack made a release of the routine channel, or none of the urgent one")
	}
	s.label = "other"
	h.putSite(s)
	step("label", "dns/shop.test site/shop.test", "shield/shop.test")
	if h.head(wire.Routine).GetRelease() != routine+1 || h.head(wire.Urgent).GetRelease() != urgent+1 {
		t.Error("a label made a release")
	}
	h.putAccount("acme", true)
	step("account deleted", "", "")
	h.putAccount("acme", false)
	step("account back", "dns/shop.test site/shop.test", "shield/shop.test")
	h.purgeSite("acme", "shop.test")
	step("purged", "", "")
}

// TestHandover moves a domain from one account to another, and removes the old site.
func TestHandover(t *testing.T) {
	h := memoryHarness(t, nil)
	h.putSite(active("acme", "shop.test", 1))
	other := active("bolt", "shop.test", 2)
	other.state = breakwaterv1.Site_PENDING
	h.putSite(other)
	h.settle()
	first := h.documents(wire.Routine)["site/shop.test"]

	old := active("acme", "shop.test", 1)
	old.state = breakwaterv1.Site_MOVED
	h.putSite(old)
	other.state = breakwaterv1.Site_ACTIVE
	h.putSite(other)
	h.settle()
	second := h.documents(wire.Routine)["site/shop.test"]
	if second.IsZero() || second == first {
		t.Errorf("after the handover: %v", second)
	}
	h.restart() // Nothing may depend on what was remembered.
	h.purgeSite("acme", "shop.test")
	h.settle()
	if got := h.documents(wire.Routine)["site/shop.test"]; got != second {
		t.Errorf("after the old site was purged: %v", got)
	}
	h.checkPublished(wire.Routine)
}

// TestMissedRemoval purges a site while nobody publishes.
func TestMissedRemoval(t *testing.T) {
	h := memoryHarness(t, nil)
	h.putApp("minify", 1, false)
	h.putSite(active("acme", "shop.test", 1))
	h.putSite(active("acme", "stays.test", 1))
	h.settle()
	h.purgeSite("acme", "shop.test")
	h.put(registry.Delete(resource.App("minify")))
	h.restart()
	h.settle()
	if got := ids(h.documents(wire.Routine)); got != "site/stays.test" {
		t.Errorf("%q", got)
	}
	if got := ids(h.documents(wire.Platform)); got != "limits/edge" {
		t.Errorf("%q", got)
	}
}

// TestBounds seals more than fits, in the registry's order.
func TestBounds(t *testing.T) {
	h := memoryHarness(t, func(c *Config) { c.MaxChanges = 3 })
	h.settle()
	h.gate.set(wire.Routine, false)
	var revisions []int64
	for i := range 8 {
		// Names order against the revisions, so that one is told from the other.
		revisions = append(revisions, h.putSite(active("acme", fmt.Sprintf("s%d.test", 9-i), 1)))
	}
	h.settle()
	if got := h.head(wire.Routine); got.GetRelease() != 1 || got.GetCursor() != revisions[0]-1 {
		t.Errorf("with the gate closed: %v", got)
	}
	h.gate.set(wire.Routine, true)
	h.settle()
	want := []struct {
		changes string
		covered int64
	}{
		{"s7.test s8.test s9.test", revisions[3] - 1},
		{"s4.test s5.test s6.test", revisions[6] - 1},
		{"s2.test s3.test", revisions[7]},
	}
	for i, w := range want {
		m := h.manifest(wire.Routine, int64(i)+2)
		var names []string
		for _, c := range m.GetChanges() {
			names = append(names, c.GetId())
		}
		if strings.Join(names, " ") != w.changes || m.GetCoveredRevision() != w.covered {
			t.Errorf("release %d covers %d with %v", m.GetNumber(), m.GetCoveredRevision(), names)
		}
		if m.GetFromRevision() != h.manifest(wire.Routine, m.GetParent()).GetCoveredRevision() && i > 0 {
			t.Errorf("release %d begins at %d", m.GetNumber(), m.GetFromRevision())
		}
	}
	h.checkPublished(wire.Routine)
}

func TestBytesBound(t *testing.T) {
	h := memoryHarness(t, func(c *Config) { c.MaxBytes = 10 })
	h.settle()
	for i := range 3 {
		h.putSite(active("acme", fmt.Sprintf("s%d.test", i), 1))
	}
	h.settle()
	if got := h.head(wire.Routine).GetRelease(); got != 4 {
		t.Errorf("three large documents made %d releases", got-1)
	}
	h.checkPublished(wire.Routine)
}

// TestRevertedBeforeSealed checks that what came and went needs no release, and moves only
// the head's cursor.
func TestRevertedBeforeSealed(t *testing.T) {
	h := memoryHarness(t, nil)
	h.settle()
	h.putSite(active("acme", "shop.test", 1))
	h.settle()
	before := h.head(wire.Routine).GetRelease()
	h.gate.set(wire.Routine, false)
	h.putSite(active("acme", "shop.test", 2))
	h.settle()
	h.putSite(active("acme", "shop.test", 1))
	h.settle()
	h.gate.set(wire.Routine, true)
	h.settle()
	head := h.head(wire.Routine)
	if from := h.manifest(wire.Routine, before).GetFromRevision(); before < 2 || from == 0 || head.GetFromRevision() != from {
		t.Errorf("release %d begins after %d, the head says after %d", before, from, head.GetFromRevision())
	}
	if head.GetRelease() != before || head.GetCursor() != h.workers[wire.Routine].seen {
		t.Errorf("%v", head)
	}
}

// TestWaitsForIngestion checks that nothing is sealed on a head that the rollout does not
// know, whatever the gate says.
func TestWaitsForIngestion(t *testing.T) {
	h := memoryHarness(t, nil)
	h.caughtUp()
	w := h.workers[wire.Routine]
	for i := range 5 {
		h.putSite(active("acme", "shop.test", int32(i)))
		h.caughtUp()
		if _, err := w.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.head(wire.Routine).GetRelease(); got != 1 {
		t.Errorf("release %d was sealed", got)
	}
	h.ingest(wire.Routine)
	h.settle()
	if got := h.head(wire.Routine).GetRelease(); got != 2 {
		t.Errorf("release %d", got)
	}
}

func TestAbandon(t *testing.T) {
	h := memoryHarness(t, nil)
	h.putSite(active("acme", "good.test", 1))
	h.putSite(active("acme", "bad.test", 1))
	h.settle()
	good := h.documents(wire.Routine)
	bad := h.putSite(active("acme", "bad.test", 2))
	h.settle()
	h.putSite(active("acme", "good.test", 2))
	h.settle()
	if h.head(wire.Routine).GetRelease() != 4 {
		// Release 1 is empty or has both; what counts is that two were sealed since.
		t.Logf("head %v", h.head(wire.Routine))
	}
	last := h.head(wire.Routine).GetRelease()
	h.abandon(wire.Routine, last-1, true)
	h.settle()
	docs := h.documents(wire.Routine)
	if docs["site/bad.test"] != good["site/bad.test"] || docs["site/good.test"] == good["site/good.test"] {
		t.Errorf("the suspect was published again, or the other site was not")
	}
	head := h.head(wire.Routine)
	if head.GetRelease() != last+1 || head.GetLastNumber() != last+1 || h.manifest(wire.Routine, head.GetRelease()).GetParent() != last-2 {
		t.Errorf("the new head is %v", head)
	}
	if head.GetCursor() < bad {
		t.Errorf("the cursor waits for a held document: %v", head)
	}
	h.checkPublished(wire.Routine)

	// Its owner stores another version, which is no suspect.
	h.putSite(active("acme", "bad.test", 3))
	h.settle()
	if h.documents(wire.Routine)["site/bad.test"] == good["site/bad.test"] {
		t.Error("a new version of a suspect is held too")
	}
	// The suspicion ends, and the older one of another document is published after all.
	rec := h.rollout(wire.Routine)
	rec.Suspects = nil
	h.putEdge(record(t, ledger.RolloutKey(wire.Routine), rec))
	h.settle()
	h.checkPublished(wire.Routine)
}

func TestQuarantine(t *testing.T) {
	h := memoryHarness(t, nil)
	for _, d := range []string{"a.test", "b.test", "c.test"} {
		h.putSite(active("acme", d, 1))
	}
	h.settle()
	good := h.documents(wire.Routine)["site/b.test"]
	h.putSite(active("acme", "b.test", 2))
	h.settle()
	n := h.head(wire.Routine).GetRelease()
	bad := h.documents(wire.Routine)["site/b.test"]
	q := &storev1.QuarantineRecord{
		Kind: wire.KindSite, Id: "b.test", Channel: string(wire.Routine), Release: n, BadSha256: bad[:], GoodSha256: good[:],
	}
	key := ledger.QuarantineKey(ledger.QuarantineID(wire.DocumentID{Kind: q.GetKind(), ID: q.GetId()}))
	h.putEdge(record(t, key, q))
	h.abandon(wire.Routine, n, false)
	h.settle()
	if got := h.documents(wire.Routine)["site/b.test"]; got != good {
		t.Errorf("quarantined: %v", got)
	}
	h.checkPublished(wire.Routine)

	// It is tried again: alone, while others wait.
	h.gate.set(wire.Routine, false)
	q.Trying = true
	h.putEdge(record(t, key, q))
	h.putSite(active("acme", "a.test", 2))
	h.putSite(active("acme", "c.test", 2))
	h.settle()
	h.gate.set(wire.Routine, true)
	h.settle()
	retry, rest := h.manifest(wire.Routine, n+1), h.manifest(wire.Routine, n+2)
	if retry.GetCause() != edgev1.Manifest_RETRY || len(retry.GetChanges()) != 1 || retry.GetChanges()[0].GetId() != "b.test" {
		t.Errorf("%v", retry)
	}
	if rest.GetCause() != edgev1.Manifest_CHANGES || len(rest.GetChanges()) != 2 {
		t.Errorf("%v", rest)
	}
	// Its owner's next version goes alone too, but the others are not kept waiting by it.
	h.gate.set(wire.Routine, false)
	h.putSite(active("acme", "b.test", 3))
	h.putSite(active("acme", "a.test", 3))
	h.settle()
	h.workers[wire.Routine].turn = classes - 1
	h.gate.set(wire.Routine, true)
	h.settle()
	first, second := h.manifest(wire.Routine, n+3), h.manifest(wire.Routine, n+4)
	if first.GetChanges()[0].GetId() != "a.test" || second.GetChanges()[0].GetId() != "b.test" || len(first.GetChanges()) != 1 {
		t.Errorf("%v\n%v", first, second)
	}
	h.checkPublished(wire.Routine)
	// While its owner's versions rest, the good one stays, and the newest goes afterwards.
	q.Trying, q.Resting = false, true
	h.putEdge(record(t, key, q))
	h.putSite(active("acme", "b.test", 4))
	h.settle()
	if got := h.documents(wire.Routine)["site/b.test"]; got != good {
		t.Errorf("a version did not rest: %v", got)
	}
	q.Resting = false
	h.putEdge(record(t, key, q))
	h.settle()
	if got := h.documents(wire.Routine)["site/b.test"]; got == good || got == bad {
		t.Errorf("the newest version did not go: %v", got)
	}
	h.checkPublished(wire.Routine)
}

func TestRevert(t *testing.T) {
	h := memoryHarness(t, nil)
	h.putSite(active("acme", "shop.test", 1))
	h.settle()
	good := h.documents(wire.Routine)["site/shop.test"]
	h.putSite(active("acme", "shop.test", 2))
	h.settle()
	bad := h.documents(wire.Routine)["site/shop.test"]
	rec := h.rollout(wire.Routine)
	rec.Suspects = []*storev1.Suspect{{
		Kind: wire.KindSite, Id: "shop.test", BadSha256: bad[:], GoodSha256: good[:], Origin: storev1.Suspect_REVERT,
	}}
	h.putEdge(record(t, ledger.RolloutKey(wire.Routine), rec))
	h.settle()
	head := h.head(wire.Routine)
	if got := h.documents(wire.Routine)["site/shop.test"]; got != good {
		t.Errorf("after the revert: %v", got)
	}
	if got := h.manifest(wire.Routine, head.GetRelease()).GetCause(); got != edgev1.Manifest_REVERT {
		t.Errorf("the cause is %v", got)
	}
}

func TestTrial(t *testing.T) {
	h := memoryHarness(t, nil)
	domains := []string{"a.test", "b.test", "c.test", "d.test"}
	for _, d := range domains {
		h.putSite(active("acme", d, 1))
	}
	h.settle()
	h.gate.set(wire.Routine, false)
	for _, d := range domains {
		h.putSite(active("acme", d, 2))
	}
	h.settle()
	h.gate.set(wire.Routine, true)
	h.settle()
	n := h.head(wire.Routine).GetRelease()
	h.abandon(wire.Routine, n, true)
	h.settle()
	held := h.head(wire.Routine)

	search := func(trial, release int64, size int32) {
		t.Helper()
		rec := h.rollout(wire.Routine)
		rec.Bisection = &storev1.Bisection{Trial: trial, Release: release, Groups: []*storev1.Bisection_Group{{Size: size}, {Size: 4 - size}}}
		h.putEdge(record(t, ledger.RolloutKey(wire.Routine), rec))
	}
	search(1, 0, 2)
	h.putSite(active("acme", "b.test", 3)) // The registry moves on: only a.test can be tried.
	h.gate.trials[wire.Routine] = 7        // The stored state does not know this one yet.
	h.settle()
	if got := h.head(wire.Routine).GetRelease(); got != held.GetRelease() {
		t.Errorf("an unknown trial made release %d", got)
	}
	h.gate.trials[wire.Routine] = 1
	h.caughtUp()
	if _, err := h.workers[wire.Routine].step(t.Context()); err != nil {
		t.Fatal(err)
	}
	head := h.head(wire.Routine)
	m := h.manifest(wire.Routine, head.GetRelease())
	if m.GetCause() != edgev1.Manifest_TRIAL || len(m.GetChanges()) != 1 || m.GetChanges()[0].GetId() != "a.test" {
		t.Fatalf("%v", m)
	}
	if m.GetNumber() != n+1 || m.GetFromRevision() != m.GetCoveredRevision() {
		t.Errorf("the trial covers something: %v", m)
	}
	// While it is under way the suspects stay suspects, and nothing else is sealed.
	search(1, m.GetNumber(), 2)
	h.settle()
	if got := h.head(wire.Routine).GetRelease(); got != m.GetNumber() {
		t.Errorf("release %d was sealed beside the trial", got)
	}
	// Nothing of the next group is wanted any more.
	h.putSite(active("acme", "c.test", 4))
	h.putSite(active("acme", "d.test", 4))
	rec := h.rollout(wire.Routine)
	rec.Suspects = rec.GetSuspects()[2:]
	rec.Bisection = &storev1.Bisection{Trial: 2, Groups: []*storev1.Bisection_Group{{Size: 2}}}
	h.putEdge(record(t, ledger.RolloutKey(wire.Routine), rec))
	h.gate.trials[wire.Routine] = 2
	h.settle()
	if h.gate.empty[wire.Routine] != 2 {
		t.Errorf("trial %d is empty", h.gate.empty[wire.Routine])
	}
	rec = h.rollout(wire.Routine)
	rec.Suspects, rec.Bisection = nil, nil
	h.putEdge(record(t, ledger.RolloutKey(wire.Routine), rec))
	h.gate.trials[wire.Routine] = 0
	h.settle()
	h.checkPublished(wire.Routine)
}

// TestDoesNotCompile checks that a site that can't be compiled any more keeps its version
// and stops nobody else.
func TestDoesNotCompile(t *testing.T) {
	h := memoryHarness(t, nil)
	h.putSite(active("acme", "shop.test", 1))
	h.settle()
	before := h.documents(wire.Routine)
	h.putLimits(&storev1.LimitsRecord{Limits: &opsv1.Limits{MaxDocumentBytes: 30, Version: 2}})
	h.putSite(active("acme", "shop.test", 2))
	h.settle()
	w := h.workers[wire.Routine]
	if got := h.documents(wire.Routine); got["site/shop.test"] != before["site/shop.test"] {
		t.Error("a document that does not compile was changed")
	}
	if why := h.pub.Status()[wire.Routine].Problems["shop.test"]; !strings.Contains(why, "at most 30") {
		t.Errorf("the problem is not told: %q", why)
	}
	if h.head(wire.Routine).GetCursor() != w.seen {
		t.Error("the cursor waits for a document that does not compile")
	}
	h.putLimits(nil)
	h.putSite(active("acme", "shop.test", 2))
	h.settle()
	if len(w.problems) != 0 {
		t.Errorf("%v", w.problems)
	}
	h.checkPublished(wire.Routine)
}

// smallStore says that it is nearly full.
type smallStore struct {
	registry.Store
	size int64
}

func (s *smallStore) Status(context.Context) (registry.Status, error) {
	return registry.Status{Cluster: 1, SizeBytes: s.size, QuotaBytes: 1000}, nil
}

func TestQuotaStop(t *testing.T) {
	small := &smallStore{size: 100}
	h := memoryHarness(t, func(c *Config) {
		small.Store = c.Edge
		c.Edge = small
	})
	h.settle()
	small.size = 700
	h.clock.Advance(quotaInterval)
	h.putSite(active("acme", "shop.test", 1))
	h.settle()
	if h.head(wire.Routine).GetRelease() != 1 || !strings.Contains(h.pub.Stopped(), "70%") {
		t.Errorf("head %v, stopped %q", h.head(wire.Routine), h.pub.Stopped())
	}
	small.size = 699
	h.clock.Advance(quotaInterval)
	h.settle()
	if h.head(wire.Routine).GetRelease() != 2 || h.pub.Stopped() != "" {
		t.Errorf("head %v, stopped %q", h.head(wire.Routine), h.pub.Stopped())
	}
}

// TestRegistryRestored puts an older backup in the registry's place.
func TestRegistryRestored(t *testing.T) {
	reg, edge := memory.New(memory.Config{}), memory.New(memory.Config{})
	defer reg.Close()
	defer edge.Close()
	h := newHarness(t, reg, edge, nil)
	defer h.stop()
	h.putLimits(nil)
	h.putSite(active("acme", "old.test", 1))
	backup := reg.Backup()
	h.putSite(active("acme", "old.test", 2))
	h.putSite(active("acme", "new.test", 1))
	h.settle()
	reg.Restore(backup)
	h.putSite(active("acme", "later.test", 1))
	for { // The cache notices the reset in its own time.
		view, err := h.regCache.Read(t.Context())
		if _, ok := view.Get(resource.ForAccount("acme").Site("later.test")); err == nil && ok {
			break
		}
	}
	h.settle()
	h.checkPublished(wire.Routine)
	if got := ids(h.documents(wire.Routine)); got != "site/later.test site/old.test" {
		t.Errorf("%q", got)
	}
	status, _ := reg.Status(t.Context())
	if head := h.head(wire.Routine); head.GetRegistryCluster() != status.Cluster || head.GetCursor() != h.workers[wire.Routine].seen {
		t.Errorf("%v", head)
	}
}

// TestForgery checks that what is not signed is not believed.
func TestForgery(t *testing.T) {
	h := memoryHarness(t, nil)
	h.putSite(active("acme", "shop.test", 1))
	h.settle()
	n := h.head(wire.Routine).GetRelease()
	kv, err := h.edge.Get(t.Context(), wire.ReleaseKey(wire.Routine, n))
	if err != nil {
		t.Fatal(err)
	}
	var signed edgev1.Signed
	if err := proto.Unmarshal(kv.Value, &signed); err != nil {
		t.Fatal(err)
	}
	signed.Payload[len(signed.GetPayload())-1] ^= 1
	h.putEdge(record(t, kv.Key, &signed), registry.Delete(wire.BaseKey(wire.Routine)))
	h.restart()
	h.caughtUp()
	if _, err := h.workers[wire.Routine].step(t.Context()); !errors.Is(err, wire.ErrSignature) {
		t.Errorf("%v", err)
	}
}

func TestBase(t *testing.T) {
	h := memoryHarness(t, func(c *Config) { c.BaseEvery = 3 })
	h.settle()
	for i := range 10 {
		h.putSite(active("acme", fmt.Sprintf("s%d.test", i), 1))
		h.settle()
	}
	w := h.workers[wire.Routine]
	if w.base != 1 {
		t.Fatalf("the base is of release %d though only the genesis release is good", w.base)
	}
	good := func(n int64) {
		t.Helper()
		rec := h.rollout(wire.Routine)
		rec.LastKnownGood = n
		h.putEdge(record(t, ledger.RolloutKey(wire.Routine), rec))
		h.settle()
	}
	good(3)
	if w.base != 1 {
		t.Errorf("the base moved to %d too early", w.base)
	}
	good(6)
	if w.base != 6 {
		t.Errorf("the base is of release %d", w.base)
	}
	good(10)
	good(11)
	// A new leader begins from the base, also when what is before it is gone.
	for n := range int64(9) {
		h.putEdge(registry.Delete(wire.ReleaseKey(wire.Routine, n+1)))
	}
	h.restart()
	h.putSite(active("acme", "last.test", 1))
	h.settle()
	if got := len(h.workers[wire.Routine].books.docs); got != 11 {
		t.Errorf("%d documents", got)
	}
	page, err := h.edge.List(t.Context(), registry.ListRequest{Prefix: wire.BaseChunkPrefix(wire.Routine)})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, kv := range page.KVs {
		keys = append(keys, kv.Key)
	}
	if want := []string{wire.BaseChunkKey(wire.Routine, 6, 0), wire.BaseChunkKey(wire.Routine, 10, 0)}; !slices.Equal(keys, want) {
		t.Errorf("chunks %q", keys)
	}
}

// TestOrphanManifest checks that a number under which something lies is never used again.
func TestOrphanManifest(t *testing.T) {
	h := memoryHarness(t, nil)
	h.settle()
	h.putEdge(registry.Put(wire.ReleaseKey(wire.Routine, 2), []byte("from a backup")))
	h.putSite(active("acme", "shop.test", 1))
	h.settle()
	if head := h.head(wire.Routine); head.GetRelease() != 3 || head.GetLastNumber() != 3 {
		t.Errorf("%v", head)
	}
	h.checkPublished(wire.Routine)
}

// TestBrokenBlob checks that a stored document which is not what its key says is repaired.
func TestBrokenBlob(t *testing.T) {
	h := memoryHarness(t, nil)
	h.settle()
	h.putSite(active("acme", "shop.test", 1))
	h.caughtUp()
	docs, err := sourceOf(wire.Routine).compile(h.regCache.Cached(), "shop.test")
	if err != nil {
		t.Fatal(err)
	}
	h.putEdge(registry.Put(wire.BlobKey(docs[0].Sum), []byte("rotten")))
	h.settle()
	h.checkPublished(wire.Routine)
}
