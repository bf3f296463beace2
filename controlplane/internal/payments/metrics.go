package payments

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// Metrics count what operators must know of payments. A nil Metrics counts nothing.
type Metrics struct {
	differences, comparisons, failures, deliveries *prometheus.CounterVec
	outbox                                         *outboxGauges
}

// NewMetrics makes Metrics; the outbox is looked at when metrics are read, in the view that
// is at hand.
func NewMetrics(view func() change.View, now func() time.Time) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "breakwater", Subsystem: "billing", Name: name, Help: help}, labels)
	}
	return &Metrics{
		differences: counter("differences_total", "What the payment provider had otherwise than it should, by kind.", "kind", "repaired"),
		comparisons: counter("comparisons_total", "The comparisons of accounts with the payment provider.", "result"),
		failures:    counter("settle_failures_total", "The attempts to settle an account that failed.", "hopeless"),
		deliveries:  counter("webhooks_total", "The webhooks that came, by what became of them.", "outcome"),
		outbox:      &outboxGauges{view: view, now: now},
	}
}

// Register registers the metrics.
func (m *Metrics) Register(with prometheus.Registerer) {
	with.MustRegister(m.differences, m.comparisons, m.failures, m.deliveries, m.outbox)
}

func (m *Metrics) settleFailed(hopeless bool) {
	if m != nil {
		m.failures.WithLabelValues(yes(hopeless)).Inc()
	}
}

func (m *Metrics) compared(fine bool) {
	if m == nil {
		return
	}
	result := "failed"
	if fine {
		result = "done"
	}
	m.comparisons.WithLabelValues(result).Inc()
}

func (m *Metrics) differed(d billing.Difference) {
	if m != nil {
		m.differences.WithLabelValues(d.Kind, yes(d.Repaired)).Inc()
	}
}

func (m *Metrics) delivered(outcome string) {
	if m != nil {
		m.deliveries.WithLabelValues(outcome).Inc()
	}
}

func yes(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// outboxGauges tell how the outbox does.
type outboxGauges struct {
	view func() change.View
	now  func() time.Time
}

var (
	descItems = prometheus.NewDesc("breakwater_outbox_items", "The work outside that is still to be done, by kind and state.",
		[]string{"kind", "state"}, nil)
	descAge = prometheus.NewDesc("breakwater_outbox_overdue_seconds", "How long the work that is due for longest waits, the dead left out.",
		[]string{"kind"}, nil)
)

// maxLooked bounds the items that one reading of the metrics looks at.
const maxLooked = 100_000

// Describe implements [prometheus.Collector].
func (g *outboxGauges) Describe(out chan<- *prometheus.Desc) {
	out <- descItems
	out <- descAge
}

// Collect implements [prometheus.Collector].
func (g *outboxGauges) Collect(out chan<- prometheus.Metric) {
	type group struct{ kind, state string }
	counts, overdue := map[group]int{}, map[string]time.Duration{}
	kvs, _ := g.view().List(resource.OutboxPrefix, "", maxLooked)
	for _, kv := range kvs {
		item := &storev1.OutboxItem{}
		if proto.Unmarshal(kv.Value, item) != nil {
			continue
		}
		state := "waiting"
		switch {
		case item.GetDead():
			state = "dead"
		case item.GetAttempts() > 0:
			state = "failing"
		}
		counts[group{item.GetKind(), state}]++
		if late := g.now().Sub(item.GetNextTime().AsTime()); !item.GetDead() && late > overdue[item.GetKind()] {
			overdue[item.GetKind()] = late
		}
	}
	for of, n := range counts {
		out <- prometheus.MustNewConstMetric(descItems, prometheus.GaugeValue, float64(n), of.kind, of.state)
	}
	for kind, late := range overdue {
		out <- prometheus.MustNewConstMetric(descAge, prometheus.GaugeValue, late.Seconds(), kind)
	}
}
