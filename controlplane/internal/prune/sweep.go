package prune

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/publish"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// blobsPerPage is how many keys of documents are looked at at a time.
const blobsPerPage = 2_000

// errAsked says that a rollback waits whose documents are not known yet.
var errAsked = errors.New("prune: an operator's rollback waits to be looked at")

// sweep is one pass over all documents.
type sweep struct {
	*term
	marks marks
	// marked is the newest manifest of each channel that was read.
	marked map[wire.Channel]int64
}

// sweepAll removes every document that nothing needs.
func (t *term) sweepAll(ctx context.Context) error {
	s := &sweep{term: t, marks: marks{}, marked: map[wire.Channel]int64{}}
	for _, c := range wire.Channels() {
		if err := s.markBase(ctx, c); err != nil {
			return err
		}
		if err := s.markManifests(ctx, c); err != nil {
			return err
		}
	}
	after := ""
	for {
		page, err := t.cfg.Edge.List(ctx, registry.ListRequest{
			Prefix: wire.BlobPrefix, After: after, Limit: blobsPerPage, KeysOnly: true,
		})
		if err != nil {
			return err
		}
		loose, err := s.loose(ctx, page.KVs)
		if err != nil {
			return err
		}
		for len(loose) > 0 {
			n := min(len(loose), keysPerTxn)
			if err := t.retry(ctx, func() error { return s.remove(ctx, loose[:n]) }); err != nil {
				return err
			}
			loose = loose[n:]
			if err := t.pause(ctx, t.cfg.Pace); err != nil {
				return err
			}
		}
		if !page.More {
			return nil
		}
		after = page.KVs[len(page.KVs)-1].Key
	}
}

// markBase marks what the stored base lists.
func (s *sweep) markBase(ctx context.Context, c wire.Channel) error {
	base, _, err := s.base(ctx, c)
	if err != nil {
		return err
	}
	for i, want := range base.GetChunkSha256() {
		kv, err := s.cfg.Edge.Get(ctx, wire.BaseChunkKey(c, base.GetRelease(), i))
		if err != nil {
			return fmt.Errorf("prune: base of %s, chunk %d: %w", c, i, err)
		}
		if got := wire.SumOf(kv.Value); string(got[:]) != string(want) {
			return fmt.Errorf("prune: base of %s, chunk %d has another digest", c, i)
		}
		var chunk edgev1.BaseChunk
		if err := proto.Unmarshal(kv.Value, &chunk); err != nil {
			return fmt.Errorf("prune: base of %s, chunk %d: %w", c, i, err)
		}
		if err := s.marks.chunk(chunk.GetEntries()); err != nil {
			return fmt.Errorf("prune: base of %s, chunk %d: %w", c, i, err)
		}
	}
	return nil
}

// markManifests marks what the manifests name that were not read yet.
func (s *sweep) markManifests(ctx context.Context, c wire.Channel) error {
	for {
		page, err := s.cfg.Edge.List(ctx, registry.ListRequest{
			Prefix: wire.ReleasePrefix(c), After: wire.ReleaseKey(c, s.marked[c]), Limit: manifestsPerTxn,
		})
		if err != nil {
			return err
		}
		for _, kv := range page.KVs {
			m, err := s.open(kv)
			if err == nil {
				err = s.marks.manifest(m.GetChanges())
			}
			if err != nil {
				// Nothing goes that it may name.
				return fmt.Errorf("prune: manifest %s: %w", kv.Key, err)
			}
			s.marked[c] = max(s.marked[c], wire.ParseEdgeKey(kv.Key).Release)
		}
		if !page.More {
			return nil
		}
	}
}

func (s *sweep) open(kv registry.KV) (*edgev1.Manifest, error) {
	var signed edgev1.Signed
	if err := proto.Unmarshal(kv.Value, &signed); err != nil {
		return nil, err
	}
	m := &edgev1.Manifest{}
	return m, s.cfg.Trust.Open(&signed, wire.ContextManifest, m)
}

// catchUp marks what came since the sweep began, and returns the condition that nothing
// more did: the heads.
func (s *sweep) catchUp(ctx context.Context) ([]registry.Compare, error) {
	view, err := s.cfg.Control.Read(ctx)
	if err != nil {
		return nil, err
	}
	var stamps []registry.Compare
	for _, c := range wire.Channels() {
		var head storev1.HeadRecord
		stamp, err := read(view, ledger.HeadKey(c), &head)
		if err != nil {
			return nil, err
		}
		stamps = append(stamps, stamp)
		if head.GetLastNumber() > s.marked[c] {
			if err := s.markManifests(ctx, c); err != nil {
				return nil, err
			}
		}
		held, err := publish.HeldIn(view, c)
		if err != nil {
			return nil, err
		}
		s.marks.add(held.Good...)
		asked, err := rollbacks(view, c)
		if err != nil {
			return nil, err
		}
		if len(asked) > 0 {
			return nil, errAsked
		}
	}
	return stamps, nil
}

// blob is a document that seems to be nobody's.
type blob struct {
	key  string
	sum  wire.Sum
	size int64
}

// loose are those of a page's documents that nothing needs, with their sizes.
func (s *sweep) loose(ctx context.Context, page []registry.KV) ([]blob, error) {
	var out []blob
	for _, kv := range page {
		key := wire.ParseEdgeKey(kv.Key)
		if key.Kind != wire.BlobKeyKind || s.marks.has(key.Sum) {
			continue
		}
		whole, err := s.cfg.Edge.Get(ctx, kv.Key)
		if errors.Is(err, registry.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, blob{kv.Key, key.Sum, int64(len(whole.Value))})
	}
	return out, nil
}

// remove removes documents that still are nobody's, on condition that no release was sealed
// since that was found.
func (s *sweep) remove(ctx context.Context, loose []blob) error {
	stamps, err := s.catchUp(ctx)
	if err != nil {
		return err
	}
	var ops []registry.Op
	size := int64(0)
	for _, b := range loose {
		if !s.marks.has(b.sum) {
			ops = append(ops, registry.Delete(b.key))
			size += b.size
		}
	}
	if len(ops) == 0 {
		return nil
	}
	if _, err := ledger.Commit(ctx, s.cfg.Edge, s.fence, registry.Txn{If: stamps, Then: ops}); err != nil {
		return err
	}
	s.owner.count(kindBlob, len(ops), size)
	return nil
}
