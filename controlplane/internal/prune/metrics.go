package prune

import (
	"maps"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// The kinds of what is pruned.
const (
	kindManifest = "manifest"
	kindBlob     = "blob"
	kindHistory  = "history"
)

// counters are what a pruner tells of itself.
type counters struct {
	mu     sync.Mutex
	keys   map[string]int64
	bytes  map[string]int64
	floors map[wire.Channel]int64
	store  registry.Status
}

func newCounters() counters {
	return counters{
		keys:   map[string]int64{kindManifest: 0, kindBlob: 0, kindHistory: 0},
		bytes:  map[string]int64{kindManifest: 0, kindBlob: 0, kindHistory: 0},
		floors: map[wire.Channel]int64{},
	}
}

func (c *counters) count(kind string, keys int, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys[kind] += int64(keys)
	c.bytes[kind] += bytes
}

func (c *counters) setFloor(channel wire.Channel, floor int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.floors[channel] = floor
}

func (c *counters) setStore(s registry.Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.store = s
}

// clear forgets what only the leader knows.
func (c *counters) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.floors)
	c.store = registry.Status{}
}

// Pruned returns how many keys of each kind this process removed: `manifest`, `blob`,
// `history`.
func (c *counters) Pruned() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.keys)
}

var (
	descKeys  = prometheus.NewDesc("breakwater_prune_keys_total", "The keys that this process removed from the store of the edge.", []string{"kind"}, nil)
	descBytes = prometheus.NewDesc("breakwater_prune_bytes_total", "The bytes of their values.", []string{"kind"}, nil)
	descFloor = prometheus.NewDesc("breakwater_prune_floor_release", "The oldest release that is kept; 0 while nothing may go.", []string{"channel"}, nil)
	descSize  = prometheus.NewDesc("breakwater_edge_store_bytes", "The size of the data in the store of the edge.", nil, nil)
	descQuota = prometheus.NewDesc("breakwater_edge_store_quota_bytes", "The size at which the store of the edge refuses writes.", nil, nil)
)

var _ prometheus.Collector = (*Pruner)(nil)

// Describe implements [prometheus.Collector].
func (p *Pruner) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descKeys, descBytes, descFloor, descSize, descQuota} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (p *Pruner) Collect(out chan<- prometheus.Metric) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for kind, n := range p.keys {
		out <- prometheus.MustNewConstMetric(descKeys, prometheus.CounterValue, float64(n), kind)
		out <- prometheus.MustNewConstMetric(descBytes, prometheus.CounterValue, float64(p.bytes[kind]), kind)
	}
	for channel, n := range p.floors {
		out <- prometheus.MustNewConstMetric(descFloor, prometheus.GaugeValue, float64(n), string(channel))
	}
	if p.store.SizeBytes > 0 {
		out <- prometheus.MustNewConstMetric(descSize, prometheus.GaugeValue, float64(p.store.SizeBytes))
		out <- prometheus.MustNewConstMetric(descQuota, prometheus.GaugeValue, float64(p.store.QuotaBytes))
	}
}
