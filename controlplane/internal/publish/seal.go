package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/compile"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// seal writes a release: blobs, then manifest and head at once, on condition that the blobs
// are still there.
func (w *worker) seal(ctx context.Context, b batch) error {
	slices.SortFunc(b.changes, func(x, y change) int { return x.id.Compare(y.id) })
	blobs, err := w.putBlobs(ctx, b.changes)
	if err != nil {
		return err
	}
	number := w.nextNumber()
	m := &manifest{number: number, parent: w.head.GetRelease(), changes: b.changes, hash: w.books.hash}
	count := int64(len(w.books.docs))
	rec := &edgev1.Manifest{
		Channel: string(w.channel), Number: number, Parent: m.parent, Cause: b.cause,
		FromRevision: w.cursor(), CoveredRevision: b.covered,
		SealTime: timestamppb.New(w.cfg.Clock.Now()), CompilerVersion: compile.Version,
	}
	for _, c := range b.changes {
		m.hash = m.hash.Replace(w.channel, c.id, c.old, c.wanted)
		switch {
		case c.old.IsZero():
			count++
		case c.wanted.IsZero():
			count--
		}
		rec.Changes = append(rec.Changes, &edgev1.Manifest_Change{
			Kind: c.id.Kind, Id: c.id.ID, OldSha256: sumBytes(c.old), NewSha256: sumBytes(c.wanted),
		})
	}
	rec.StateHash, rec.Documents = m.hash[:], count
	signed, err := wire.Sign(w.cfg.Signer, wire.ContextManifest, rec)
	if err != nil {
		return err
	}
	m.signed = signed
	head := w.nextHead(number, number, b.covered)
	head.FromRevision = rec.GetFromRevision()
	if err := w.putHead(ctx, head, &sealed{wire.ReleaseKey(w.channel, number), signed, blobs}); err != nil {
		return err
	}
	if err := w.books.apply(w.channel, m); err != nil {
		w.books = nil // Put together anew from what was written.
		return err
	}
	for _, name := range b.units {
		w.forget(name)
	}
	if b.again {
		w.burst = min(w.burst*10, MaxChanges)
	}
	w.sealed++
	w.log.Info("sealed a release", "release", number, "cause", b.cause.String(), "changes", len(b.changes), "covered", b.covered)
	poke(w.owner.sealed)
	return nil
}

// sealed is a manifest that must not be stored yet, and the blobs, as they were found or
// made, on condition of which it is stored.
type sealed struct {
	key    string
	signed *edgev1.Signed
	blobs  []registry.Compare
}

// putHead writes the head in place of the one that was read, and with it a manifest, where
// given.
//
// Whatever the outcome, the next step decides on a view of control/ that shows it. Where a
// blob is gone that the manifest needs, the next step makes it anew.
func (w *worker) putHead(ctx context.Context, head *storev1.HeadRecord, with *sealed) error {
	key := headKey(w.channel)
	put, err := ledger.Put(key, head)
	if err != nil {
		return err
	}
	txn := registry.Txn{
		If:   []registry.Compare{{Key: key, ModRevision: w.headRevision}},
		Then: []registry.Op{put},
	}
	if with != nil {
		op, err := ledger.Put(with.key, with.signed)
		if err != nil {
			return err
		}
		txn.If = append(append(txn.If, registry.Compare{Key: with.key}), with.blobs...)
		txn.Then = append(txn.Then, op)
	}
	revision, err := ledger.Commit(ctx, w.cfg.Edge, w.term.Fence(), txn)
	var conflict *registry.ConflictError
	if with != nil && errors.As(err, &conflict) && conflict.Current[key].ModRevision == w.headRevision && !errors.Is(err, ledger.ErrDeposed) {
		if _, taken := conflict.Current[with.key]; taken {
			return w.skipNumber(ctx, head.GetLastNumber())
		}
	}
	if err != nil {
		return err
	}
	w.head, w.headRevision, w.restarted = head, revision, false
	w.atLeast = max(w.atLeast, revision)
	return nil
}

// skipNumber gives a number up under which a manifest is stored that no head names. Nobody
// writes one so; it is there after a part of the store was restored. Numbers are never used
// twice, so it is passed over.
func (w *worker) skipNumber(ctx context.Context, number int64) error {
	w.log.Error("a manifest is stored that no head ever named; its number is passed over", "release", number)
	if err := w.putHead(ctx, w.nextHead(w.head.GetRelease(), number, w.cursor()), nil); err != nil {
		return err
	}
	return errNumberTaken
}

// errNumberTaken says that a release was not sealed because its number was passed over; the
// next one has another.
var errNumberTaken = errors.New("publish: the release's number is taken")

// Blobs go in transactions of at most this many and so many bytes.
const (
	blobsPerTxn     = 2_000
	blobBytesPerTxn = 4 << 20
)

// putBlobs stores the documents of a release that are not stored yet. It returns the
// condition that all are as they were found or made: whoever prunes may take away what no
// manifest names yet.
func (w *worker) putBlobs(ctx context.Context, changes []change) ([]registry.Compare, error) {
	var blobs []registry.Compare
	var group []change
	size := 0
	flush := func() error {
		if len(group) == 0 {
			return nil
		}
		made, err := w.createBlobs(ctx, group)
		blobs, group, size = append(blobs, made...), group[:0], 0
		return err
	}
	known := map[wire.Sum]struct{}{}
	for _, c := range changes {
		if _, ok := known[c.wanted]; ok || c.wanted.IsZero() {
			continue
		}
		known[c.wanted] = struct{}{}
		if c.body == nil {
			found, err := w.blobExists(ctx, c)
			if err != nil {
				return nil, err
			}
			blobs = append(blobs, found)
			continue
		}
		if len(group) == blobsPerTxn || size+len(c.body) > blobBytesPerTxn {
			if err := flush(); err != nil {
				return nil, err
			}
		}
		group = append(group, c)
		size += len(c.body)
	}
	err := flush()
	return blobs, err
}

// blobExists checks that a version which was published before can still be served.
func (w *worker) blobExists(ctx context.Context, c change) (registry.Compare, error) {
	kv, err := w.cfg.Edge.Get(ctx, wire.BlobKey(c.wanted))
	if err == nil && wire.SumOf(kv.Value) != c.wanted {
		err = errors.New("it has another digest")
	}
	if err != nil {
		return registry.Compare{}, fmt.Errorf("publish: the good version %v of %v: %w", c.wanted, c.id, err)
	}
	return registry.Compare{Key: kv.Key, ModRevision: kv.ModRevision}, nil
}

// createBlobs creates the blobs that do not exist, in one transaction. Those that do are
// left alone, unless they are not what their key says. It returns all as they are then.
func (w *worker) createBlobs(ctx context.Context, group []change) ([]registry.Compare, error) {
	found := map[string]registry.Compare{}
	revisions := map[string]int64{}
	for {
		var txn registry.Txn
		for _, c := range group {
			key := wire.BlobKey(c.wanted)
			if _, ok := found[key]; ok {
				continue
			}
			txn.If = append(txn.If, registry.Compare{Key: key, ModRevision: revisions[key]})
			txn.Then = append(txn.Then, registry.Put(key, c.body))
		}
		made := int64(0)
		if len(txn.Then) > 0 {
			var err error
			made, err = ledger.Commit(ctx, w.cfg.Edge, w.term.Fence(), txn)
			var conflict *registry.ConflictError
			if errors.As(err, &conflict) && !errors.Is(err, ledger.ErrDeposed) {
				w.sort(conflict, group, found, revisions)
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		blobs := make([]registry.Compare, 0, len(group))
		for _, c := range group {
			blob, ok := found[wire.BlobKey(c.wanted)]
			if !ok {
				blob = registry.Compare{Key: wire.BlobKey(c.wanted), ModRevision: made}
			}
			blobs = append(blobs, blob)
		}
		return blobs, nil
	}
}

// sort takes from a conflict which blobs of a group are there, and at which revision the
// others are to be written.
func (w *worker) sort(conflict *registry.ConflictError, group []change, found map[string]registry.Compare, revisions map[string]int64) {
	for _, c := range group {
		key := wire.BlobKey(c.wanted)
		if _, ok := found[key]; ok {
			continue // It was not compared again.
		}
		switch kv, ok := conflict.Current[key]; {
		case !ok:
			revisions[key] = 0
		case wire.SumOf(kv.Value) == c.wanted:
			found[key] = registry.Compare{Key: key, ModRevision: kv.ModRevision}
		default:
			w.log.Error("a stored document is not what its key says; it is repaired", "sum", c.wanted.String())
			revisions[key] = kv.ModRevision
		}
	}
}

func sumBytes(s wire.Sum) []byte {
	if s.IsZero() {
		return nil
	}
	return s[:]
}
