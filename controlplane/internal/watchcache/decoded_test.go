package watchcache_test

import (
	"fmt"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

func TestDecoded(t *testing.T) {
	d := watchcache.NewDecoded[*wrapperspb.Int64Value](8)
	of := func(key string, revision int64) *wrapperspb.Int64Value {
		t.Helper()
		value, err := proto.Marshal(wrapperspb.Int64(revision))
		if err != nil {
			t.Fatal(err)
		}
		m, err := d.Of(registry.KV{Key: key, Value: value, ModRevision: revision})
		if err != nil || m.GetValue() != revision {
			t.Fatalf("%s at %d: %v, %v", key, revision, m, err)
		}
		return m
	}
	first := of("a", 1)
	if of("a", 1) != first {
		t.Error("decoded twice")
	}
	if of("a", 2) == first || of("a", 1) == first {
		t.Error("another revision has the same message")
	}
	// What is read again and again stays; what is not goes.
	kept, gone := of("kept", 1), of("gone", 1)
	for n := range int64(100) {
		of(fmt.Sprint("other", n), 1)
		of("kept", 1)
	}
	if of("kept", 1) != kept || of("gone", 1) == gone {
		t.Error("the wrong one was forgotten")
	}
	if _, err := d.Of(registry.KV{Key: "bad", Value: []byte{0xff}}); err == nil {
		t.Error("damage is decoded")
	}
	var wg sync.WaitGroup
	for n := range int64(8) {
		wg.Go(func() {
			for revision := range int64(100) {
				value, _ := proto.Marshal(wrapperspb.Int64(revision))
				m, err := d.Of(registry.KV{Key: fmt.Sprint("shared", n%2), Value: value, ModRevision: revision})
				if err != nil || m.GetValue() != revision {
					t.Errorf("revision %d: %v, %v", revision, m, err)
				}
			}
		})
	}
	wg.Wait()
}
