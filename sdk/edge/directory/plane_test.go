package directory_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge"
	"github.com/breakwater-cdn/breakwater/sdk/edge/directory"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// generation is what an agent would hand over.
type generation struct {
	full    bool
	release int64
	changes []edge.Change
	err     error // ends the changes
}

func (g generation) Releases() map[wire.Channel]int64 {
	return map[wire.Channel]int64{wire.Routine: g.release}
}
func (g generation) Full() bool                               { return g.full }
func (g generation) InHand(wire.DocumentID)                   {}
func (g generation) Documents() iter.Seq2[edge.Change, error] { return g.Changes() }
func (g generation) Changes() iter.Seq2[edge.Change, error] {
	return func(yield func(edge.Change, error) bool) {
		for _, c := range g.changes {
			if !yield(c, nil) {
				return
			}
		}
		if g.err != nil {
			yield(edge.Change{}, g.err)
		}
	}
}

func site(t *testing.T, domain string, ttl int32) edge.Change {
	t.Helper()
	body, err := proto.Marshal(&edgev1.SiteDocument{Domain: domain, BrowserTtlSeconds: ttl})
	if err != nil {
		t.Fatal(err)
	}
	return edge.Change{Channel: wire.Routine, ID: wire.DocumentID{Kind: wire.KindSite, ID: domain}, Body: body, Sum: wire.SumOf(body)}
}

func gone(domain string) edge.Change {
	return edge.Change{Channel: wire.Routine, ID: wire.DocumentID{Kind: wire.KindSite, ID: domain}, Removed: true}
}

// serving reads what serves: the time of each site.
func serving(t *testing.T, dir string) map[string]int32 {
	t.Helper()
	out := map[string]int32{}
	files, err := filepath.Glob(filepath.Join(dir, "current", "site", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		var doc struct {
			Domain            string
			BrowserTTLSeconds int32 `json:"browserTtlSeconds"`
		}
		b, err := os.ReadFile(f)
		if err == nil {
			err = json.Unmarshal(b, &doc)
		}
		if err != nil {
			t.Fatal(err)
		}
		out[doc.Domain] = doc.BrowserTTLSeconds
	}
	return out
}

func same(t *testing.T, what string, got, want map[string]int32) {
	t.Helper()
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	if string(a) != string(b) {
		t.Errorf("%s: %s serves, not %s", what, a, b)
	}
}

func TestApply(t *testing.T) {
	dir := t.TempDir()
	p, err := directory.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	apply := func(g generation) {
		t.Helper()
		if err := p.Apply(ctx, g); err != nil {
			t.Fatal(err)
		}
		if err := p.Healthy(ctx); err != nil {
			t.Error(err)
		}
	}
	apply(generation{full: true, release: 1, changes: []edge.Change{site(t, "a.example", 1), site(t, "b.example", 1)}})
	same(t, "first", serving(t, dir), map[string]int32{"a.example": 1, "b.example": 1})
	before, err := filepath.EvalSymlinks(filepath.Join(dir, "current"))
	if err != nil {
		t.Fatal(err)
	}

	apply(generation{release: 2, changes: []edge.Change{site(t, "a.example", 2), gone("b.example"), site(t, "c.example", 2)}})
	same(t, "changed", serving(t, dir), map[string]int32{"a.example": 2, "c.example": 2})
	if b, err := os.ReadFile(filepath.Join(before, "site", "b.example.json")); err != nil || len(b) == 0 {
		t.Errorf("a reader of the generation before lost a file: %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "current", "releases.json")); err != nil || string(b) != "{\n  \"routine\": 2\n}\n" {
		t.Errorf("releases: %s, %v", b, err)
	}

	// A failure of any kind leaves what serves, and nothing else.
	bad := site(t, "d.example", 3)
	bad.Body = []byte{0xff}
	var rejected *edge.RejectError
	err = p.Apply(ctx, generation{release: 3, changes: []edge.Change{site(t, "a.example", 3), bad}})
	if !errors.As(err, &rejected) || rejected.Document != bad.ID {
		t.Errorf("a document that cannot be decoded: %v", err)
	}
	cut := errors.New("cut short")
	if err := p.Apply(ctx, generation{release: 3, changes: []edge.Change{site(t, "a.example", 3)}, err: cut}); !errors.Is(err, cut) {
		t.Errorf("changes that end early: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := p.Apply(ended, generation{release: 3, changes: []edge.Change{site(t, "a.example", 3)}}); !errors.Is(err, context.Canceled) {
		t.Errorf("out of time: %v", err)
	}
	same(t, "after failures", serving(t, dir), map[string]int32{"a.example": 2, "c.example": 2})

	apply(generation{full: true, release: 4, changes: []edge.Change{site(t, "z.example", 4)}})
	same(t, "full", serving(t, dir), map[string]int32{"z.example": 4})
	entries, err := os.ReadDir(filepath.Join(dir, "generations"))
	if err != nil || len(entries) != 2 {
		t.Errorf("%d generations are kept: %v", len(entries), err)
	}
}

// A start anew writes everything, whatever is there.
func TestStartAnew(t *testing.T) {
	dir := t.TempDir()
	for n := range int64(3) {
		p, err := directory.New(dir)
		if err != nil {
			t.Fatal(err)
		}
		g := generation{full: true, release: n + 1, changes: []edge.Change{site(t, "a.example", int32(n))}}
		if err := p.Apply(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		same(t, "start", serving(t, dir), map[string]int32{"a.example": int32(n)})
	}
}

func TestHealthy(t *testing.T) {
	dir := t.TempDir()
	p, err := directory.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Healthy(t.Context()); err != nil {
		t.Errorf("nothing serves yet: %v", err)
	}
	if err := p.Apply(t.Context(), generation{full: true, release: 1}); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "current")
	if err := errors.Join(os.Remove(link), os.Symlink("elsewhere", link)); err != nil {
		t.Fatal(err)
	}
	if p.Healthy(t.Context()) == nil {
		t.Error("it is healthy though `current` leads elsewhere")
	}
}
