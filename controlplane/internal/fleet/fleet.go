package fleet

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

// ServerID names one server of one data center.
type ServerID struct {
	DataCenter string
	Server     string
}

// Server is what is known of one server.
type Server struct {
	ServerID
	// Report is what it last said; never nil, never modified.
	Report *edgev1.ReportRequest
	// Connected says whether its stream is open and not silent.
	Connected bool
	// LastSeen is when it last reported, on the control plane's clock.
	LastSeen time.Time
	// Restarts counts how often its incarnation changed since it was first seen.
	Restarts int
}

// Fleet holds the newest report of every server. It is safe for concurrent use.
type Fleet struct {
	clock    clockwork.Clock
	interval time.Duration
	known    func(dataCenter string) bool

	mu      sync.Mutex
	servers map[ServerID]*Server
	open    map[ServerID]uint64 // the stream that speaks for a server
	streams uint64
	since   time.Time
	changed chan struct{}
	dirty   map[string]struct{} // data centers whose summary is not written
	// shown is when a summary last said that a server was seen.
	shown map[ServerID]time.Time
}

// lastSeenAge is how old the time may be at which a summary says that a server was last
// seen, while nothing else of it changes.
const lastSeenAge = 5 * time.Second

// New returns an empty Fleet. Servers report at least every interval; known says whether a
// data center exists.
func New(clock clockwork.Clock, interval time.Duration, known func(dataCenter string) bool) *Fleet {
	f := &Fleet{
		clock: clock, interval: interval, known: known,
		changed: make(chan struct{}, 1),
	}
	f.Reset(nil)
	return f
}

// Reset forgets all reports, as a new leader does, and begins with what the leader before
// wrote down: servers that are known but not connected.
func (f *Fleet) Reset(records []*storev1.FleetRecord) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.servers = map[ServerID]*Server{}
	f.open = map[ServerID]uint64{}
	f.dirty = map[string]struct{}{}
	f.shown = map[ServerID]time.Time{}
	f.since = f.clock.Now()
	for _, r := range records {
		for _, s := range r.GetServers() {
			id := ServerID{r.GetDataCenter(), s.GetServer()}
			f.servers[id] = &Server{
				ServerID: id, Report: reportOf(r.GetDataCenter(), s),
				LastSeen: s.GetLastSeenTime().AsTime(), Restarts: int(s.GetRestarts()),
			}
		}
	}
}

// Since is when this Fleet began to listen: silence before it means nothing.
func (f *Fleet) Since() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.since
}

// Changed is sent to, without blocking, whenever something a rollout could care about
// changed. It holds one notice.
func (f *Fleet) Changed() <-chan struct{} { return f.changed }

// Snapshot returns every known server, in order of data center and name.
func (f *Fleet) Snapshot() []Server {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]Server, 0, len(f.servers))
	for _, s := range f.servers {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b Server) int {
		return cmp.Or(cmp.Compare(a.DataCenter, b.DataCenter), cmp.Compare(a.Server, b.Server))
	})
	return out
}

// connect opens a stream for a server; an older stream of it no longer counts.
func (f *Fleet) connect(id ServerID) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.streams++
	f.open[id] = f.streams
	return f.streams
}

// disconnect ends a stream, unless a newer one speaks for the server already.
func (f *Fleet) disconnect(id ServerID, stream uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open[id] != stream {
		return
	}
	delete(f.open, id)
	if s := f.servers[id]; s != nil && s.Connected {
		lost := *s
		lost.Connected = false
		f.put(&lost)
	}
}

// take takes a report; false says that another stream speaks for the server now.
func (f *Fleet) take(id ServerID, stream uint64, r *edgev1.ReportRequest) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open[id] != stream {
		return false
	}
	next := &Server{ServerID: id, Report: r, Connected: true, LastSeen: f.clock.Now()}
	before := f.servers[id]
	if before != nil {
		next.Restarts = before.Restarts
		if before.Report.GetIncarnation() != r.GetIncarnation() {
			next.Restarts++
		} else if before.Connected && same(before.Report, r) && next.LastSeen.Sub(f.shown[id]) < lastSeenAge {
			f.servers[id] = next
			f.notify()
			return true
		}
	}
	f.put(next)
	return true
}

// put stores a server whose summary changed. The caller holds the lock.
func (f *Fleet) put(s *Server) {
	f.servers[s.ServerID] = s
	f.shown[s.ServerID] = s.LastSeen
	f.dirty[s.DataCenter] = struct{}{}
	f.notify()
}

func (f *Fleet) notify() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// expire marks as not connected what has been silent for three intervals.
func (f *Fleet) expire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	limit := f.clock.Now().Add(-3 * f.interval)
	for _, s := range f.servers {
		if s.Connected && s.LastSeen.Before(limit) {
			lost := *s
			lost.Connected = false
			f.put(&lost)
		}
	}
}

// same says whether two reports of one incarnation differ in nothing that a summary shows.
func same(a, b *edgev1.ReportRequest) bool {
	if a.GetHealthy() != b.GetHealthy() || a.GetDetail() != b.GetDetail() || len(a.GetChannels()) != len(b.GetChannels()) {
		return false
	}
	for i, x := range a.GetChannels() {
		y := b.GetChannels()[i]
		if x.GetChannel() != y.GetChannel() || x.GetRelease() != y.GetRelease() ||
			string(x.GetStateHash()) != string(y.GetStateHash()) {
			return false
		}
	}
	return true
}
