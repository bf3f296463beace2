package server_test

import (
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/server"
)

// changes is how many changes are followed to the edge, one after another.
const changes = 100

// watchers is how many raw watches there are: one a data center.
const watchers = 23

// benchApplied measures the way of one change to all data centers, without bakes, beside a
// raw put that as many watchers get. Both are counted from when the caller sends the write
// and, in a line of its own, from when it has the answer.
func benchApplied(b *testing.B) {
	cp := controlplanetest.Start(b, synced, controlplanetest.BakeScale(0))
	api := newCaller(b, cp)
	const domain = "way.test"
	cp.Account(benchAccount)
	cp.Site(cp.REST(cp.Operator), benchAccount, domain)
	raw := newRawWatch(b)

	// Who subscribed would take the rollout's notices.
	look := time.NewTicker(500 * time.Microsecond)
	defer look.Stop()
	var sentToApplied, ackToApplied, ackToLive, sentToRaw []time.Duration
	used := time.Duration(0)
	for n := range changes + 10 {
		before := newestRelease(cp.Server)
		sent, began := time.Now(), cpuTime(b)
		settings, err := api.setTTL(b.Context(), domain, 0, ttl(n))
		if err != nil {
			b.Fatal(err)
		}
		acknowledged := time.Now()
		live := make(chan time.Time, 1)
		go func() { live <- waitLive(b, api, domain, settings.GetVersion()) }()
		for oldestRelease(cp.Server) <= before {
			<-look.C
		}
		applied := time.Now()
		seen := <-live
		cpu := cpuTime(b) - began
		took := raw.put(b, n)
		if n < 10 {
			continue
		}
		used += cpu
		sentToApplied = append(sentToApplied, applied.Sub(sent))
		ackToApplied = append(ackToApplied, applied.Sub(acknowledged))
		ackToLive = append(ackToLive, seen.Sub(acknowledged))
		sentToRaw = append(sentToRaw, took)
	}
	lines := [][]string{{"A change to 23 data centers, bakes off", "p50 ms", "p99 ms", "times raw p50", "times raw p99"}}
	p50, p99 := quantile(sentToRaw, 0.5), quantile(sentToRaw, 0.99)
	for _, row := range []struct {
		name string
		took []time.Duration
	}{
		{"raw etcd put -> 23 watchers have it", sentToRaw},
		{"UpdateSettings sent -> all 46 servers reported it applied", sentToApplied},
		{"UpdateSettings acknowledged -> all 46 servers reported it applied", ackToApplied},
		{"UpdateSettings acknowledged -> propagation:wait says LIVE", ackToLive},
	} {
		half, most := quantile(row.took, 0.5), quantile(row.took, 0.99)
		lines = append(lines, []string{
			row.name, ms(half), ms(most),
			fmt.Sprintf("%.1f", float64(half)/float64(p50)), fmt.Sprintf("%.1f", float64(most)/float64(p99)),
		})
	}
	lines = append(lines, []string{"processor time of one change, 46 agents included", ms(used / changes)})
	printTable(lines)
}

// newestRelease is the newest release of the routine channel that a server reported.
func newestRelease(s *server.Server) int64 {
	newest := int64(0)
	for _, srv := range s.Fleet().Snapshot() {
		for _, c := range srv.Report.GetChannels() {
			if c.GetChannel() == "routine" {
				newest = max(newest, c.GetRelease())
			}
		}
	}
	return newest
}

// oldestRelease is the oldest that a server reported; zero while one did not report.
func oldestRelease(s *server.Server) int64 {
	oldest, servers := int64(1<<62), 0
	for _, srv := range s.Fleet().Snapshot() {
		for _, c := range srv.Report.GetChannels() {
			if c.GetChannel() == "routine" {
				oldest = min(oldest, c.GetRelease())
				servers++
			}
		}
	}
	if servers < 2*watchers {
		return 0
	}
	return oldest
}

// waitLive returns when the API says that a version is live everywhere.
func waitLive(b *testing.B, api *caller, domain string, version int64) time.Time {
	b.Helper()
	stream, err := breakwaterv1.NewPropagationServiceClient(api.conn(1)).WaitPropagation(api.as(b.Context()),
		&breakwaterv1.WaitPropagationRequest{Name: resource.PropagationName(benchAccount, domain), Version: version})
	for err == nil {
		var p *breakwaterv1.Propagation
		if p, err = stream.Recv(); err == nil && p.GetState() == breakwaterv1.Propagation_LIVE {
			return time.Now()
		}
	}
	b.Errorf("propagation of version %d: %v", version, err)
	return time.Now()
}

// rawWatch is an etcd with one watcher a data center, each over a connection of its own.
type rawWatch struct {
	writer *clientv3.Client
	got    chan int64
}

func newRawWatch(b *testing.B) *rawWatch {
	b.Helper()
	overTCP, _, server := rawEtcd(b)
	w := &rawWatch{writer: overTCP[0], got: make(chan int64, 2*watchers)}
	for range watchers {
		watch := dialEtcd(b, server.Endpoints()[0]).Watch(b.Context(), "edge/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
		<-watch
		go func() {
			for resp := range watch {
				for _, ev := range resp.Events {
					w.got <- ev.GetKv().GetModRevision()
				}
			}
		}()
	}
	return w
}

// put writes once and returns how long it took until all watchers had it.
func (w *rawWatch) put(b *testing.B, n int) time.Duration {
	b.Helper()
	sent := time.Now()
	if _, err := w.writer.Put(b.Context(), fmt.Sprintf("edge/%d", n), string(make([]byte, 1024))); err != nil {
		b.Fatal(err)
	}
	for range watchers {
		<-w.got
	}
	return time.Since(sent)
}
