package feed

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func TestStaging(t *testing.T) {
	s := newStaging(1000)
	sum := func(i int) wire.Sum { return wire.SumOf(fmt.Append(nil, i)) }
	for i := range 500 {
		s.putBlob(sum(i), make([]byte, 100))
		s.putManifest(release{wire.Routine, int64(1 + i%3)}, make([]byte, i%50))
		if s.used > s.quota || s.used < 0 {
			t.Fatalf("%d bytes are used", s.used)
		}
		if i%7 == 0 {
			s.drop(staged{sum: sum(i)})
		}
		if len(s.order) > 200 {
			t.Fatalf("%d places for %d entries", len(s.order), len(s.blobs)+len(s.manifests))
		}
	}
	if _, ok := s.blobs[sum(499)]; !ok {
		t.Error("the newest is not there")
	}
	if _, ok := s.blobs[sum(400)]; ok {
		t.Error("an old one is still there")
	}
	s.putBlob(sum(1000), make([]byte, 2000))
	if _, ok := s.blobs[sum(1000)]; ok {
		t.Error("what is larger than the quota is staged")
	}
	for i := range 500 {
		s.drop(staged{sum: sum(i)})
	}
	for i := range 4 {
		s.drop(staged{release: release{wire.Routine, int64(i)}})
	}
	if s.used != 0 {
		t.Errorf("%d bytes of nothing", s.used)
	}
}

func newFeed() *Feed {
	return New(Config{
		DataCenter: "SJC", Quota: 1 << 20, Logger: slog.New(slog.DiscardHandler),
		Rejected: func(wire.Channel) []int64 { return nil }, Abandoned: func(wire.Channel, int64) {},
	})
}

func response(revision, modified int64, key string, value []byte) clientv3.WatchResponse {
	return clientv3.WatchResponse{
		Header: &etcdserverpb.ResponseHeader{ClusterId: 1, Revision: revision},
		Events: []*clientv3.Event{{Type: mvccpb.Event_PUT, Kv: &mvccpb.KeyValue{Key: []byte(key), Value: value, ModRevision: modified}}},
	}
}

func TestEvents(t *testing.T) {
	f := newFeed()
	target, err := proto.Marshal(&edgev1.Target{
		DataCenter: "SJC", Channel: "routine", Release: 7, Sequence: 3, Bake: durationpb.New(time.Second),
	})
	if err != nil {
		t.Fatal(err)
	}
	take := func(revision, modified int64, key string, value []byte) {
		t.Helper()
		if err := f.take(response(revision, modified, key, value), true); err != nil {
			t.Fatal(err)
		}
	}
	take(5, 5, wire.TargetKey("SFO", wire.Routine), target)
	take(6, 6, wire.TargetKey("SJC", wire.Urgent), target) // of another channel
	for _, c := range wire.Channels() {
		if _, ok := f.Target(c); ok {
			t.Errorf("%s has a target", c)
		}
	}
	take(9, 7, wire.TargetKey("SJC", wire.Routine), target)
	if got, _ := f.Target(wire.Routine); got.Release != 7 || got.Bake != time.Second || got.Current {
		t.Errorf("%+v: a watch that catches up does not know whether it is the newest", got)
	}
	take(9, 9, wire.TargetKey("SJC", wire.Routine), target)
	if got, _ := f.Target(wire.Routine); !got.Current {
		t.Errorf("%+v", got)
	}
	body := []byte("x")
	take(10, 10, wire.BlobKey(wire.SumOf(body)), body)
	take(11, 11, wire.BlobKey(wire.SumOf([]byte("y"))), body)
	if _, ok := f.StagedBlob(wire.SumOf(body)); !ok {
		t.Error("the document is not staged")
	}
	if _, ok := f.StagedBlob(wire.SumOf([]byte("y"))); ok {
		t.Error("another document is staged")
	}
	moved := response(12, 12, "edge/x", nil)
	moved.Header.ClusterId = 2
	if err := f.take(moved, true); err == nil {
		t.Error("another cluster is not noticed")
	}
	if err := f.take(clientv3.WatchResponse{Header: &etcdserverpb.ResponseHeader{}, CompactRevision: 3}, true); err == nil {
		t.Error("a compaction is not noticed")
	}
	if err := f.take(clientv3.WatchResponse{}, false); err == nil {
		t.Error("the end is not noticed")
	}
}

// TestAbandonedMayAsk has the one who is told of an abandoned release ask for the target.
func TestAbandonedMayAsk(t *testing.T) {
	f := newFeed()
	var told []int64
	f.cfg.Abandoned = func(c wire.Channel, n int64) {
		f.Target(c)
		f.Position()
		told = append(told, n)
	}
	if err := f.take(response(5, 5, wire.AbandonedKey(wire.Routine, 3), nil), true); err != nil || len(told) != 1 || told[0] != 3 {
		t.Errorf("told of %v: %v", told, err)
	}
}

// FuzzEvent takes any key and value.
func FuzzEvent(f *testing.F) {
	f.Add(wire.TargetKey("SJC", wire.Routine), []byte{})
	f.Add(wire.ReleaseKey(wire.Routine, 7), []byte("x"))
	f.Add(wire.AbandonedKey(wire.Routine, -7), []byte("x"))
	f.Add(wire.BlobKey(wire.SumOf([]byte("x"))), []byte("x"))
	f.Add("edge/targets/SJC/", []byte("\x08"))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		feed := newFeed()
		if err := feed.take(response(1, 1, key, value), true); err != nil {
			t.Error(err)
		}
		for _, c := range wire.Channels() {
			if target, ok := feed.Target(c); ok && target.Release <= 0 {
				t.Errorf("%+v", target)
			}
		}
	})
}
