package edgetest

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Documents are bodies by name; a nil body removes one.
type Documents map[wire.DocumentID][]byte

// Doc makes documents of one kind, from IDs and bodies in turn; the body "-" removes.
func Doc(kind string, idsAndBodies ...string) Documents {
	d := Documents{}
	for i := 0; i+1 < len(idsAndBodies); i += 2 {
		id := wire.DocumentID{Kind: kind, ID: idsAndBodies[i]}
		if d[id] = []byte(idsAndBodies[i+1]); idsAndBodies[i+1] == "-" {
			d[id] = nil
		}
	}
	return d
}

// Publisher seals releases and writes targets, as a control plane does. It may be used by
// several goroutines.
type Publisher struct {
	tb     testing.TB
	client *clientv3.Client
	key    ed25519.PrivateKey

	mu        sync.Mutex
	last      map[wire.Channel]int64
	states    map[wire.Channel]map[int64]Documents // by release
	sequences map[string]int64
}

// NewPublisher returns a publisher with a key of its own.
func NewPublisher(tb testing.TB, client *clientv3.Client) *Publisher {
	tb.Helper()
	seed := sha256.Sum256([]byte(tb.Name()))
	return &Publisher{
		tb: tb, client: client, key: ed25519.NewKeyFromSeed(seed[:]),
		last: map[wire.Channel]int64{}, states: map[wire.Channel]map[int64]Documents{}, sequences: map[string]int64{},
	}
}

// Trust is what its agents must believe.
func (p *Publisher) Trust() wire.Trust {
	return wire.NewTrust(p.key.Public().(ed25519.PublicKey)) //nolint:forcetypeassert // Ed25519 keys have it
}

// Key signs; tests forge with it what no publisher would sign.
func (p *Publisher) Key() ed25519.PrivateKey { return p.key }

// State returns all documents of a release.
func (p *Publisher) State(c wire.Channel, n int64) Documents {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.states[c][n])
}

// StateHash returns the state hash of a release.
func (p *Publisher) StateHash(c wire.Channel, n int64) wire.StateHash {
	return hashOf(c, p.State(c, n))
}

func hashOf(c wire.Channel, docs Documents) wire.StateHash {
	var h wire.StateHash
	for id, body := range docs {
		h = h.Add(c, id, wire.SumOf(body))
	}
	return h
}

// Tamper changes a manifest before it is signed.
type Tamper func(m *edgev1.Manifest)

// Release seals a release on the newest one of the channel and returns its number.
func (p *Publisher) Release(c wire.Channel, docs Documents, tamper ...Tamper) int64 {
	p.tb.Helper()
	p.mu.Lock()
	parent := p.last[c]
	p.mu.Unlock()
	return p.ReleaseOn(c, parent, docs, tamper...)
}

// ReleaseOn seals a release on a given parent.
func (p *Publisher) ReleaseOn(c wire.Channel, parent int64, docs Documents, tamper ...Tamper) int64 {
	p.tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[c]++
	n := p.last[c]
	state := maps.Clone(p.states[c][parent])
	if state == nil {
		state = Documents{}
	}
	m := &edgev1.Manifest{Channel: string(c), Number: n, Parent: parent, Cause: edgev1.Manifest_CHANGES}
	for _, id := range slices.SortedFunc(maps.Keys(docs), wire.DocumentID.Compare) {
		change := &edgev1.Manifest_Change{Kind: id.Kind, Id: id.ID}
		if old, ok := state[id]; ok {
			sum := wire.SumOf(old)
			change.OldSha256 = sum[:]
		}
		if body := docs[id]; body == nil {
			delete(state, id)
		} else {
			sum := wire.SumOf(body)
			change.NewSha256 = sum[:]
			state[id] = body
			p.put(wire.BlobKey(sum), body)
		}
		m.Changes = append(m.Changes, change)
	}
	hash := hashOf(c, state)
	m.StateHash, m.Documents = hash[:], int64(len(state))
	for _, f := range tamper {
		f(m)
	}
	p.put(wire.ReleaseKey(c, n), p.sign(wire.ContextManifest, m))
	if p.states[c] == nil {
		p.states[c] = map[int64]Documents{}
	}
	p.states[c][n] = state
	return n
}

// Target tells a data center what to serve, and returns the target's sequence.
func (p *Publisher) Target(dc string, c wire.Channel, n int64, bake time.Duration) int64 {
	p.tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	key := wire.TargetKey(dc, c)
	p.sequences[key]++
	p.put(key, p.marshal(&edgev1.Target{
		DataCenter: dc, Channel: string(c), Release: n, Term: 1, Sequence: p.sequences[key],
		Bake: durationpb.New(bake),
	}))
	return p.sequences[key]
}

// Abandon marks a release as dead.
func (p *Publisher) Abandon(c wire.Channel, n int64) {
	p.tb.Helper()
	p.put(wire.AbandonedKey(c, n), nil)
}

// Rewind makes the publisher forget the releases after n, as a restored backup does.
func (p *Publisher) Rewind(c wire.Channel, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[c] = n
}

// Base writes the list of all documents at a release, in chunks of the given size.
func (p *Publisher) Base(c wire.Channel, n int64, size int, tamper ...func(*edgev1.Base)) {
	p.tb.Helper()
	state := p.State(c, n)
	hash := hashOf(c, state)
	b := &edgev1.Base{Channel: string(c), Release: n, StateHash: hash[:], Manifest: p.Manifest(c, n)}
	ids := slices.SortedFunc(maps.Keys(state), wire.DocumentID.Compare)
	for chunk := range slices.Chunk(ids, size) {
		var entries edgev1.BaseChunk
		for _, id := range chunk {
			sum := wire.SumOf(state[id])
			entries.Entries = append(entries.Entries, &edgev1.BaseChunk_Entry{Kind: id.Kind, Id: id.ID, Sha256: sum[:]})
		}
		raw := p.marshal(&entries)
		sum := wire.SumOf(raw)
		p.put(wire.BaseChunkKey(c, n, len(b.GetChunkSha256())), raw)
		b.ChunkSha256 = append(b.ChunkSha256, sum[:])
	}
	for _, f := range tamper {
		f(b)
	}
	p.put(wire.BaseKey(c), p.sign(wire.ContextBase, b))
}

// Manifest reads a signed manifest back.
func (p *Publisher) Manifest(c wire.Channel, n int64) *edgev1.Signed {
	p.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	resp, err := p.client.Get(ctx, wire.ReleaseKey(c, n))
	if err != nil || len(resp.Kvs) != 1 {
		p.tb.Fatalf("manifest %s/%d: %v", c, n, err)
	}
	var signed edgev1.Signed
	if err := proto.Unmarshal(resp.Kvs[0].GetValue(), &signed); err != nil {
		p.tb.Fatal(err)
	}
	return &signed
}

// Put writes anything anywhere.
func (p *Publisher) Put(key string, value []byte) { p.put(key, value) }

// Delete removes a key.
func (p *Publisher) Delete(key string, opts ...clientv3.OpOption) {
	p.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := p.client.Delete(ctx, key, opts...); err != nil {
		p.tb.Fatal(err)
	}
}

func (p *Publisher) put(key string, value []byte) {
	p.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := p.client.Put(ctx, key, string(value)); err != nil {
		p.tb.Fatal(err)
	}
}

func (p *Publisher) sign(signContext string, m proto.Message) []byte {
	p.tb.Helper()
	signed, err := wire.Sign(p.key, signContext, m)
	if err != nil {
		p.tb.Fatal(err)
	}
	return p.marshal(signed)
}

func (p *Publisher) marshal(m proto.Message) []byte {
	p.tb.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		p.tb.Fatal(err)
	}
	return b
}
