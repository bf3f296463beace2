package publish

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// maxProblems bounds what a status lists.
const maxProblems = 100

// ChannelStatus is where a channel's publishing stands.
type ChannelStatus struct {
	// Release is the end of the chain, Documents how many documents it has.
	Release   int64
	Documents int
	// Cursor is the registry revision up to which everything is in the chain.
	Cursor int64
	// Pending is how many sites, apps or other units wait for a release.
	Pending int
	// Sealed counts the releases that this process sealed.
	Sealed int64
	// Stopped says why nothing is published, or is empty.
	Stopped string
	// Problems are the units that do not compile, by domain or name, with the reason; the
	// first hundred.
	Problems map[string]string
}

// Status is where every channel stood after its last step; nothing while Run does not run.
func (p *Publisher) Status() map[wire.Channel]ChannelStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.status)
}

// Stopped says why some channel does not publish although it should, or is empty.
func (p *Publisher) Stopped() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range slices.Sorted(maps.Keys(p.status)) {
		if why := p.status[c].Stopped; why != "" {
			return string(c) + ": " + why
		}
	}
	return ""
}

func (p *Publisher) setStatus(c wire.Channel, s ChannelStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status[c] = s
}

func (p *Publisher) clearStatus() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.status)
}

var (
	channelLabel  = []string{"channel"}
	descRelease   = prometheus.NewDesc("breakwater_publish_head_release", "The release at the end of the chain.", channelLabel, nil)
	descDocuments = prometheus.NewDesc("breakwater_publish_documents", "The documents at the end of the chain.", channelLabel, nil)
	descCursor    = prometheus.NewDesc("breakwater_publish_cursor_revision", "The registry revision up to which everything is in the chain.", channelLabel, nil)
	descPending   = prometheus.NewDesc("breakwater_publish_pending", "The sites and entries that wait for a release.", channelLabel, nil)
	descProblems  = prometheus.NewDesc("breakwater_publish_problems", "The sites and entries that do not compile.", channelLabel, nil)
	descStopped   = prometheus.NewDesc("breakwater_publish_stopped", "Whether publishing stopped, as for want of space.", channelLabel, nil)
	descSealed    = prometheus.NewDesc("breakwater_publish_sealed_total", "The releases that this process sealed.", channelLabel, nil)
)

var _ prometheus.Collector = (*Publisher)(nil)

// Describe implements [prometheus.Collector].
func (p *Publisher) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descRelease, descDocuments, descCursor, descPending, descProblems, descStopped, descSealed} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (p *Publisher) Collect(out chan<- prometheus.Metric) {
	for c, s := range p.Status() {
		gauge := func(d *prometheus.Desc, v float64) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, string(c))
		}
		gauge(descRelease, float64(s.Release))
		gauge(descDocuments, float64(s.Documents))
		gauge(descCursor, float64(s.Cursor))
		gauge(descPending, float64(s.Pending))
		gauge(descProblems, float64(len(s.Problems)))
		stopped := 0.0
		if s.Stopped != "" {
			stopped = 1
		}
		gauge(descStopped, stopped)
		out <- prometheus.MustNewConstMetric(descSealed, prometheus.CounterValue, float64(s.Sealed), string(c))
	}
}
