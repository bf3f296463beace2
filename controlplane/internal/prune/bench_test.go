package prune

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"testing"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd/embedded"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// BenchmarkSweep looks at 50,000 documents of 1 kB in a real etcd, all of which are needed: what
// every sweep costs beside what it removes.
func BenchmarkSweep(b *testing.B) {
	const documents, chunk = 50_000, 2_000
	ctx, cancel := context.WithCancel(context.Background())
	server, err := embedded.Start(ctx, embedded.Config{Dir: b.TempDir(), Fast: true})
	if err != nil {
		b.Fatal(err)
	}
	store := etcd.New(server.Client(), etcd.Config{})
	control := watchcache.New(store, watchcache.Config{Prefix: ledger.ControlPrefix})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = control.Run(ctx)
	}()
	defer func() {
		cancel()
		<-done
		server.Close()
	}()
	commit := func(ops ...registry.Op) {
		if _, err := store.Commit(ctx, registry.Txn{Then: ops}); err != nil {
			b.Fatal(err)
		}
	}
	signer := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	base := &edgev1.Base{Channel: string(wire.Routine), Release: 1}
	for from := 0; from < documents; from += chunk {
		var list edgev1.BaseChunk
		var ops []registry.Op
		for i := from; i < from+chunk; i++ {
			body := append(bytes.Repeat([]byte{'x'}, 1000), fmt.Sprint(i)...)
			sum := wire.SumOf(body)
			ops = append(ops, registry.Put(wire.BlobKey(sum), body))
			list.Entries = append(list.Entries, &edgev1.BaseChunk_Entry{Kind: wire.KindSite, Id: fmt.Sprint(i), Sha256: sum[:]})
		}
		op, err := ledger.Put(wire.BaseChunkKey(wire.Routine, 1, len(base.GetChunkSha256())), &list)
		if err != nil {
			b.Fatal(err)
		}
		sum := wire.SumOf(op.Value)
		base.ChunkSha256 = append(base.ChunkSha256, sum[:])
		commit(append(ops, op)...)
	}
	signed, err := wire.Sign(signer, wire.ContextBase, base)
	if err != nil {
		b.Fatal(err)
	}
	op, err := ledger.Put(wire.BaseKey(wire.Routine), signed)
	if err != nil {
		b.Fatal(err)
	}
	head, err := ledger.Put(ledger.HeadKey(wire.Routine), &storev1.HeadRecord{Release: 1, LastNumber: 1})
	if err != nil {
		b.Fatal(err)
	}
	commit(op, head)
	public, _ := signer.Public().(ed25519.PublicKey)
	p, err := New(Config{Edge: store, Control: control, Trust: wire.NewTrust(public), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	t := &term{cfg: p.cfg, owner: p}
	b.ReportAllocs()
	for b.Loop() {
		if err := t.sweepAll(ctx); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	if n := p.Pruned()[kindBlob]; n != 0 {
		b.Errorf("%d needed documents were removed", n)
	}
}
