package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/compile"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// seal writes a release: blobs, then manifest and head at once.
func (w *worker) seal(ctx context.Context, b batch) error {
	slices.SortFunc(b.changes, func(x, y change) int { return x.id.Compare(y.id) })
	if err := w.putBlobs(ctx, b.changes); err != nil {
		return err
	}
	number := w.head.GetLastNumber() + 1
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
	head := &storev1.HeadRecord{
		Release: number, LastNumber: number, Cursor: b.covered, RegistryCluster: w.cluster,
	}
	if err := w.putHead(ctx, head, wire.ReleaseKey(w.channel, number), signed); err != nil {
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

// putHead writes the head in place of the one that was read, and with it a manifest that
// must not exist yet, where given.
//
// Whatever the outcome, the next step decides on a view of control/ that shows it.
func (w *worker) putHead(ctx context.Context, head *storev1.HeadRecord, manifestKey string, signed *edgev1.Signed) error {
	key := headKey(w.channel)
	put, err := ledger.Put(key, head)
	if err != nil {
		return err
	}
	txn := registry.Txn{
		If:   []registry.Compare{{Key: key, ModRevision: w.headRevision}},
		Then: []registry.Op{put},
	}
	if manifestKey != "" {
		op, err := ledger.Put(manifestKey, signed)
		if err != nil {
			return err
		}
		txn.If = append(txn.If, registry.Compare{Key: manifestKey})
		txn.Then = append(txn.Then, op)
	}
	revision, err := ledger.Commit(ctx, w.cfg.Edge, w.term.Fence(), txn)
	var conflict *registry.ConflictError
	if manifestKey != "" && errors.As(err, &conflict) && conflict.Current[key].ModRevision == w.headRevision && !errors.Is(err, ledger.ErrDeposed) {
		if _, taken := conflict.Current[manifestKey]; taken {
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
	next, ok := proto.Clone(w.head).(*storev1.HeadRecord)
	if !ok {
		return errors.New("publish: head is no head")
	}
	next.LastNumber = number
	if err := w.putHead(ctx, next, "", nil); err != nil {
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

// putBlobs stores the documents of a release that are not stored yet.
func (w *worker) putBlobs(ctx context.Context, changes []change) error {
	var group []change
	size := 0
	flush := func() error {
		if len(group) == 0 {
			return nil
		}
		err := w.createBlobs(ctx, group)
		group, size = group[:0], 0
		return err
	}
	known := map[wire.Sum]struct{}{}
	for _, c := range changes {
		if _, ok := known[c.wanted]; ok || c.wanted.IsZero() {
			continue
		}
		known[c.wanted] = struct{}{}
		if c.body == nil {
			if err := w.blobExists(ctx, c); err != nil {
				return err
			}
			continue
		}
		if len(group) == blobsPerTxn || size+len(c.body) > blobBytesPerTxn {
			if err := flush(); err != nil {
				return err
			}
		}
		group = append(group, c)
		size += len(c.body)
	}
	return flush()
}

// blobExists checks that a version which was published before can still be served.
func (w *worker) blobExists(ctx context.Context, c change) error {
	kv, err := w.cfg.Edge.Get(ctx, wire.BlobKey(c.wanted))
	if err == nil && wire.SumOf(kv.Value) != c.wanted {
		err = errors.New("it has another digest")
	}
	if err != nil {
		return fmt.Errorf("publish: the good version %v of %v: %w", c.wanted, c.id, err)
	}
	return nil
}

// createBlobs creates the blobs that do not exist, in one transaction. Those that do are
// left alone, unless they are not what their key says.
func (w *worker) createBlobs(ctx context.Context, group []change) error {
	revisions := map[string]int64{}
	for {
		var txn registry.Txn
		for _, c := range group {
			key := wire.BlobKey(c.wanted)
			revision, skip := revisions[key]
			if skip && revision < 0 {
				continue
			}
			txn.If = append(txn.If, registry.Compare{Key: key, ModRevision: revision})
			txn.Then = append(txn.Then, registry.Put(key, c.body))
		}
		if len(txn.Then) == 0 {
			return nil
		}
		_, err := ledger.Commit(ctx, w.cfg.Edge, w.term.Fence(), txn)
		var conflict *registry.ConflictError
		if !errors.As(err, &conflict) || errors.Is(err, ledger.ErrDeposed) {
			return err
		}
		for _, c := range group {
			key := wire.BlobKey(c.wanted)
			switch kv, ok := conflict.Current[key]; {
			case !ok:
				revisions[key] = 0
			case wire.SumOf(kv.Value) == c.wanted:
				revisions[key] = -1
			default:
				w.log.Error("a stored document is not what its key says; it is repaired", "sum", c.wanted.String())
				revisions[key] = kv.ModRevision
			}
		}
	}
}

func sumBytes(s wire.Sum) []byte {
	if s.IsZero() {
		return nil
	}
	return s[:]
}
