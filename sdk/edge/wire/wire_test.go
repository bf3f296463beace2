package wire_test

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func TestKeys(t *testing.T) {
	sum := wire.SumOf([]byte("x"))
	for key, want := range map[string]wire.EdgeKey{
		wire.BlobKey(sum):                    {Kind: wire.BlobKeyKind, Sum: sum},
		wire.ReleaseKey(wire.Routine, 300):   {Kind: wire.ReleaseKeyKind, Channel: wire.Routine, Release: 300},
		wire.AbandonedKey(wire.Urgent, 1):    {Kind: wire.AbandonedKeyKind, Channel: wire.Urgent, Release: 1},
		wire.TargetKey("SJC", wire.Platform): {Kind: wire.TargetKeyKind, Channel: wire.Platform, DataCenter: "SJC"},
		"edge/blobs/short":                   {},
		"edge/routine/releases/x":            {},
		"edge/routine/others/1":              {},
		"edge/future":                        {},
		"":                                   {},
	} {
		if got := wire.ParseEdgeKey(key); got != want {
			t.Errorf("%q is %+v, not %+v", key, got, want)
		}
		if want.Kind != wire.UnknownKey && !strings.HasPrefix(key, wire.EdgePrefix) {
			t.Errorf("%q is not watched", key)
		}
	}
	if wire.ReleaseKey(wire.Routine, 9) >= wire.ReleaseKey(wire.Routine, 10) {
		t.Error("keys do not order as numbers do")
	}
	if strings.HasPrefix(wire.BaseKey(wire.Routine), wire.EdgePrefix) {
		t.Error("bases are watched")
	}
}

func TestStateHash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.StringMatching(`[a-c]{1,2}`)
		docs := rapid.MapOfN(names, rapid.String(), 0, 6).Draw(t, "documents")
		var all, again wire.StateHash
		for name, body := range docs {
			all = all.Add(wire.Routine, wire.DocumentID{Kind: wire.KindSite, ID: name}, wire.SumOf([]byte(body)))
		}
		for name, body := range docs {
			id := wire.DocumentID{Kind: wire.KindSite, ID: name}
			again = again.Replace(wire.Routine, id, wire.Sum{}, wire.SumOf([]byte("before")))
			again = again.Replace(wire.Routine, id, wire.SumOf([]byte("before")), wire.SumOf([]byte(body)))
		}
		if all != again {
			t.Fatalf("%s, %s", all, again)
		}
		for name, body := range docs {
			again = again.Remove(wire.Routine, wire.DocumentID{Kind: wire.KindSite, ID: name}, wire.SumOf([]byte(body)))
		}
		if again != (wire.StateHash{}) {
			t.Fatalf("%s of nothing", again)
		}
	})
	// Names are length-prefixed: they do not run into each other.
	a := wire.StateHash{}.Add(wire.Routine, wire.DocumentID{Kind: "a", ID: "bc"}, wire.Sum{1})
	b := wire.StateHash{}.Add(wire.Routine, wire.DocumentID{Kind: "ab", ID: "c"}, wire.Sum{1})
	if a == b {
		t.Error("two documents are one")
	}
}

func TestSignature(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	other := ed25519.NewKeyFromSeed([]byte(strings.Repeat("x", ed25519.SeedSize)))
	public := key.Public().(ed25519.PublicKey) //nolint:forcetypeassert // Ed25519 keys have it
	m := &edgev1.Manifest{Channel: "routine", Number: 1}
	signed, err := wire.Sign(key, wire.ContextManifest, m)
	if err != nil {
		t.Fatal(err)
	}
	var got edgev1.Manifest
	trust := wire.NewTrust(public, other.Public().(ed25519.PublicKey)) //nolint:forcetypeassert // as above
	if err := trust.Open(signed, wire.ContextManifest, &got); err != nil || !proto.Equal(&got, m) {
		t.Errorf("%v: %v", &got, err)
	}
	for name, open := range map[string]func() error{
		"context":  func() error { return trust.Open(signed, wire.ContextBase, &got) },
		"nothing":  func() error { return trust.Open(nil, wire.ContextManifest, &got) },
		"stranger": func() error { return wire.NewTrust().Open(signed, wire.ContextManifest, &got) },
		"other key": func() error {
			forged, err := wire.Sign(other, wire.ContextManifest, m)
			if err != nil {
				return err
			}
			forged.KeyId = wire.KeyID(public)
			return trust.Open(forged, wire.ContextManifest, &got)
		},
	} {
		if err := open(); !errors.Is(err, wire.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(wire.TargetKey("SJC", wire.Routine))
	f.Add(wire.BlobKey(wire.Sum{}))
	f.Add("site/a")
	f.Fuzz(func(t *testing.T, s string) {
		switch k := wire.ParseEdgeKey(s); k.Kind {
		case wire.BlobKeyKind:
			if again := wire.ParseEdgeKey(wire.BlobKey(k.Sum)); again != k {
				t.Errorf("%+v becomes %+v", k, again)
			}
		case wire.TargetKeyKind:
			if again := wire.ParseEdgeKey(wire.TargetKey(k.DataCenter, k.Channel)); again != k {
				t.Errorf("%+v becomes %+v", k, again)
			}
		case wire.UnknownKey, wire.ReleaseKeyKind, wire.AbandonedKeyKind:
		}
		if id, err := wire.ParseDocumentID(s); err == nil && id.String() != s {
			t.Errorf("%q becomes %q", s, id)
		}
	})
}
