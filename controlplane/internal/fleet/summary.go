package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// writeDelay is how long changes are gathered before summaries are written: short enough
// for a person who waits for a change, long enough that a wave is one write.
const writeDelay = 40 * time.Millisecond

// writeWait bounds one write, so that silent servers still expire while the store is away.
const writeWait = 5 * time.Second

// maxDataCenters bounds how many summaries are read back.
const maxDataCenters = 10_000

// Load reads the summaries that a leader wrote.
func Load(ctx context.Context, store registry.Store) ([]*storev1.FleetRecord, error) {
	page, err := store.List(ctx, registry.ListRequest{Prefix: ledger.FleetPrefix, Limit: maxDataCenters})
	if err != nil {
		return nil, fmt.Errorf("fleet: summaries: %w", err)
	}
	var out []*storev1.FleetRecord
	for _, kv := range page.KVs {
		r := &storev1.FleetRecord{}
		if err := proto.Unmarshal(kv.Value, r); err != nil {
			return nil, fmt.Errorf("fleet: summary %s: %w", kv.Key, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// Write keeps the summaries in the store up to date until ctx ends or the fence falls; it
// also expires silent servers. What could not be written is written later: reports are not
// refused because the store is away.
func (f *Fleet) Write(ctx context.Context, store registry.Store, fence registry.Compare) error {
	tick := f.clock.NewTicker(writeDelay)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.Chan():
		}
		f.expire()
		if err := f.flush(ctx, store, fence); errors.Is(err, ledger.ErrDeposed) {
			return err
		}
	}
}

// flush writes the summaries that changed, in one transaction.
func (f *Fleet) flush(ctx context.Context, store registry.Store, fence registry.Compare) (err error) {
	f.mu.Lock()
	dirty := f.dirty
	f.dirty = map[string]struct{}{}
	f.mu.Unlock()
	if len(dirty) == 0 {
		return nil
	}
	defer func() {
		if err == nil {
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		for dc := range dirty {
			f.dirty[dc] = struct{}{}
		}
	}()
	var txn registry.Txn
	for _, r := range f.summaries(dirty) {
		op, err := ledger.Put(ledger.FleetKey(r.GetDataCenter()), r)
		if err != nil {
			return err
		}
		txn.Then = append(txn.Then, op)
	}
	if len(txn.Then) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeWait)
	defer cancel()
	_, err = ledger.Commit(ctx, store, fence, txn)
	return err
}

// summaries returns the summaries of the named data centers, in order of their codes.
func (f *Fleet) summaries(of map[string]struct{}) []*storev1.FleetRecord {
	var out []*storev1.FleetRecord
	for _, s := range f.Snapshot() {
		if _, ok := of[s.DataCenter]; !ok {
			continue
		}
		if len(out) == 0 || out[len(out)-1].GetDataCenter() != s.DataCenter {
			out = append(out, &storev1.FleetRecord{DataCenter: s.DataCenter})
		}
		last := out[len(out)-1]
		last.Servers = append(last.Servers, summaryOf(s))
	}
	return out
}

func summaryOf(s Server) *storev1.FleetRecord_Server {
	out := &storev1.FleetRecord_Server{
		Server: s.Server, Incarnation: s.Report.GetIncarnation(), Connected: s.Connected,
		Healthy: s.Report.GetHealthy(), Detail: s.Report.GetDetail(),
		Releases: map[string]int64{}, StateHashes: map[string][]byte{},
		Restarts:     int32(min(s.Restarts, 1<<30)),
		LastSeenTime: timestamppb.New(s.LastSeen), AgentVersion: s.Report.GetAgentVersion(),
		RestartedInOrder: s.Report.GetRestartedInOrder(),
	}
	for _, c := range s.Report.GetChannels() {
		out.Releases[c.GetChannel()] = c.GetRelease()
		out.StateHashes[c.GetChannel()] = c.GetStateHash()
	}
	return out
}

// reportOf is the part of a report that a summary keeps.
func reportOf(dc string, s *storev1.FleetRecord_Server) *edgev1.ReportRequest {
	r := &edgev1.ReportRequest{
		DataCenter: dc, Server: s.GetServer(), Incarnation: s.GetIncarnation(),
		Healthy: s.GetHealthy(), Detail: s.GetDetail(), AgentVersion: s.GetAgentVersion(),
		RestartedInOrder: s.GetRestartedInOrder(),
	}
	for c, n := range s.GetReleases() {
		r.Channels = append(r.Channels, &edgev1.ChannelReport{Channel: c, Release: n, StateHash: s.GetStateHashes()[c]})
	}
	slices.SortFunc(r.GetChannels(), func(a, b *edgev1.ChannelReport) int {
		return strings.Compare(a.GetChannel(), b.GetChannel())
	})
	return r
}
