package controlplanetest

import (
	"context"
	"crypto/ed25519"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/pki"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd/embedded"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Aftermath is what a control plane that stopped, or was killed, left in its store.
type Aftermath struct {
	t     testing.TB
	store registry.Store
	trust wire.Trust
}

// Examine opens the store in a data directory, lets visit look into it, and closes it. No
// control plane may run there.
func Examine(t testing.TB, dataDir string, visit func(*Aftermath)) {
	t.Helper()
	signer, err := pki.OpenSigner(filepath.Join(dataDir, "keys", "manifest.key"))
	if err != nil {
		t.Fatalf("signing key: %v", err)
	}
	public, ok := signer.Public().(ed25519.PublicKey)
	if !ok {
		t.Fatal("signing key has no public half")
	}
	ctx, cancel := context.WithTimeout(context.Background(), StartTimeout)
	defer cancel()
	server, err := embedded.Start(ctx, embedded.Config{Dir: filepath.Join(dataDir, "etcd"), Fast: true})
	if err != nil {
		t.Fatalf("store: %v", err)
	}
	defer server.Close()
	visit(&Aftermath{t: t, store: etcd.New(server.Client(), etcd.Config{}), trust: wire.NewTrust(public)})
}

func (a *Aftermath) list(prefix string) []registry.KV {
	a.t.Helper()
	var out []registry.KV
	for after := ""; ; {
		page, err := a.store.List(context.Background(), registry.ListRequest{Prefix: prefix, After: after, Limit: 500})
		if err != nil {
			a.t.Fatalf("list %s: %v", prefix, err)
		}
		out = append(out, page.KVs...)
		if !page.More {
			return out
		}
		after = out[len(out)-1].Key
	}
}

// Targets returns which data centers were ever told to serve a release, by its number, as
// the store's history has it.
func (a *Aftermath) Targets(channel wire.Channel) map[int64][]string {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	last, err := a.store.Revision(ctx)
	if err != nil {
		a.t.Fatalf("revision: %v", err)
	}
	out := map[int64][]string{}
	watch := a.store.Watch(ctx, wire.EdgePrefix+"targets/", 0)
	progress, _ := watch.(registry.ProgressRequester)
	if progress != nil {
		progress.RequestProgress()
	}
	for batch := range watch.C() {
		for _, e := range batch.Events {
			var target edgev1.Target
			if err := proto.Unmarshal(e.Value, &target); err != nil {
				a.t.Fatalf("target %s: %v", e.Key, err)
			}
			n, dc := target.GetRelease(), target.GetDataCenter()
			if target.GetChannel() == string(channel) && !slices.Contains(out[n], dc) {
				out[n] = append(out[n], dc)
			}
		}
		if batch.Revision >= last {
			return out
		}
	}
	a.t.Fatalf("history of targets ended: %v", watch.Err())
	return nil
}

// Releases returns the numbers of a channel's stored manifests, oldest first.
func (a *Aftermath) Releases(c wire.Channel) []int64 {
	a.t.Helper()
	var out []int64
	for _, kv := range a.list(wire.ReleasePrefix(c)) {
		out = append(out, wire.ParseEdgeKey(kv.Key).Release)
	}
	return out
}

// CheckReleases fails the test unless every stored release of every channel is whole: it is
// signed, its number is not above what the head says was given, its parent is there, every
// document it names is there and has its digest, what it changes is what its parent has,
// and the state hash follows from that; and every target names a release that is there and
// not abandoned. What was pruned before the base is not missed. It returns how many releases
// there are.
func (a *Aftermath) CheckReleases() int {
	a.t.Helper()
	blobs := map[wire.Sum]bool{}
	for _, kv := range a.list(wire.BlobPrefix) {
		sum, err := wire.ParseSum(kv.Key[len(wire.BlobPrefix):])
		if err != nil || wire.SumOf(kv.Value) != sum {
			a.t.Errorf("blob %s does not have its digest: %v", kv.Key, err)
		}
		blobs[sum] = true
	}
	releases := 0
	live := map[wire.Channel]map[int64]bool{}
	for _, c := range wire.Channels() {
		live[c] = a.checkChannel(c, blobs)
		releases += len(live[c])
	}
	for _, kv := range a.list(wire.EdgePrefix + "targets/") {
		var target edgev1.Target
		if err := proto.Unmarshal(kv.Value, &target); err != nil {
			a.t.Fatalf("target %s: %v", kv.Key, err)
		}
		if n := target.GetRelease(); n != 0 && !live[wire.Channel(target.GetChannel())][n] {
			a.t.Errorf("target %s names release %d, which is not there or abandoned", kv.Key, n)
		}
	}
	return releases
}

// checkChannel returns the releases that are not abandoned.
func (a *Aftermath) checkChannel(c wire.Channel, blobs map[wire.Sum]bool) map[int64]bool {
	a.t.Helper()
	var head storev1.HeadRecord
	if _, err := ledger.Load(context.Background(), a.store, ledger.HeadKey(c), &head); err != nil {
		a.t.Fatalf("head of %s: %v", c, err)
	}
	states := map[int64]*state{0: {docs: map[wire.DocumentID]wire.Sum{}}}
	first, base := a.base(c, blobs)
	if base != nil {
		states[first] = base
	}
	live := map[int64]bool{}
	for _, kv := range a.list(wire.ReleasePrefix(c)) {
		var signed edgev1.Signed
		var m edgev1.Manifest
		if err := proto.Unmarshal(kv.Value, &signed); err != nil {
			a.t.Fatalf("manifest %s: %v", kv.Key, err)
		}
		if err := a.trust.Open(&signed, wire.ContextManifest, &m); err != nil {
			a.t.Fatalf("manifest %s: %v", kv.Key, err)
		}
		n := m.GetNumber()
		if kv.Key != wire.ReleaseKey(c, n) || m.GetChannel() != string(c) {
			a.t.Errorf("manifest %s says it is release %d of %s", kv.Key, n, m.GetChannel())
		}
		if n > head.GetLastNumber() {
			a.t.Errorf("%s: release %d is above the last number given, %d", c, n, head.GetLastNumber())
		}
		live[n] = true
		parent := states[m.GetParent()]
		if n == first || parent == nil && n < first {
			a.documents(c, &m, blobs) // The base says what came of it.
			continue
		}
		if parent == nil || m.GetParent() >= n {
			a.t.Errorf("%s: release %d has the parent %d, which is not there", c, n, m.GetParent())
			continue
		}
		states[n] = a.follow(c, parent, &m, blobs)
	}
	if states[head.GetRelease()] == nil {
		a.t.Errorf("%s: the head %d is not there", c, head.GetRelease())
	}
	for _, kv := range a.list(wire.AbandonedPrefix(c)) {
		delete(live, wire.ParseEdgeKey(kv.Key).Release)
	}
	if n := head.GetRelease(); n != 0 && !live[n] {
		a.t.Errorf("%s: the head %d is abandoned", c, n)
	}
	return live
}

// base returns the release of a channel's base and the state that it lists, or nil.
func (a *Aftermath) base(c wire.Channel, blobs map[wire.Sum]bool) (int64, *state) {
	a.t.Helper()
	var signed edgev1.Signed
	var rec edgev1.Base
	switch revision, err := ledger.Load(context.Background(), a.store, wire.BaseKey(c), &signed); {
	case err != nil:
		a.t.Fatalf("base of %s: %v", c, err)
	case revision == 0:
		return 0, nil
	}
	if err := a.trust.Open(&signed, wire.ContextBase, &rec); err != nil {
		a.t.Fatalf("base of %s: %v", c, err)
	}
	out := &state{docs: map[wire.DocumentID]wire.Sum{}}
	for i := range rec.GetChunkSha256() {
		var chunk edgev1.BaseChunk
		if revision, err := ledger.Load(context.Background(), a.store, wire.BaseChunkKey(c, rec.GetRelease(), i), &chunk); err != nil || revision == 0 {
			a.t.Fatalf("chunk %d of the base of %s: revision %d, %v", i, c, revision, err)
		}
		for _, e := range chunk.GetEntries() {
			id, sum := wire.DocumentID{Kind: e.GetKind(), ID: e.GetId()}, a.sum(e.GetSha256())
			out.docs[id], out.hash = sum, out.hash.Add(c, id, sum)
			if !blobs[sum] {
				a.t.Errorf("%s: the base names document %v of %v, which is not there", c, sum, id)
			}
		}
	}
	if string(out.hash[:]) != string(rec.GetStateHash()) {
		a.t.Errorf("%s: the base says state hash %x, its documents give %v", c, rec.GetStateHash(), out.hash)
	}
	return rec.GetRelease(), out
}

// documents checks that all is there that a release brought or replaced.
func (a *Aftermath) documents(c wire.Channel, m *edgev1.Manifest, blobs map[wire.Sum]bool) {
	a.t.Helper()
	for _, change := range m.GetChanges() {
		for _, b := range [][]byte{change.GetOldSha256(), change.GetNewSha256()} {
			if sum := a.sum(b); !sum.IsZero() && !blobs[sum] {
				a.t.Errorf("%s: release %d names document %v of %s/%s, which is not there", c, m.GetNumber(), sum, change.GetKind(), change.GetId())
			}
		}
	}
}

// state is the documents of a channel after a release.
type state struct {
	docs map[wire.DocumentID]wire.Sum
	hash wire.StateHash
}

// follow returns the state after a manifest, and checks it on the way.
func (a *Aftermath) follow(c wire.Channel, parent *state, m *edgev1.Manifest, blobs map[wire.Sum]bool) *state {
	a.t.Helper()
	after := &state{docs: maps.Clone(parent.docs), hash: parent.hash}
	for _, change := range m.GetChanges() {
		id := wire.DocumentID{Kind: change.GetKind(), ID: change.GetId()}
		before, now := a.sum(change.GetOldSha256()), a.sum(change.GetNewSha256())
		if before != after.docs[id] {
			a.t.Errorf("%s: release %d changes %v from %v, its parent has %v", c, m.GetNumber(), id, before, after.docs[id])
		}
		after.hash = after.hash.Replace(c, id, before, now)
		if now.IsZero() {
			delete(after.docs, id)
			continue
		}
		after.docs[id] = now
		if !blobs[now] {
			a.t.Errorf("%s: release %d names document %v of %v, which is not there", c, m.GetNumber(), now, id)
		}
	}
	if string(after.hash[:]) != string(m.GetStateHash()) {
		a.t.Errorf("%s: release %d says state hash %x, its changes give %v", c, m.GetNumber(), m.GetStateHash(), after.hash)
	}
	if int64(len(after.docs)) != m.GetDocuments() {
		a.t.Errorf("%s: release %d says %d documents, its changes give %d", c, m.GetNumber(), m.GetDocuments(), len(after.docs))
	}
	return after
}

func (a *Aftermath) sum(b []byte) wire.Sum {
	a.t.Helper()
	if len(b) == 0 {
		return wire.Sum{}
	}
	sum, err := wire.SumFromBytes(b)
	if err != nil {
		a.t.Fatal(err)
	}
	return sum
}
