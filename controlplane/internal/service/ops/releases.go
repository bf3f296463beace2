package ops

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/listing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func isNotFound(err error) bool { return errors.Is(err, registry.ErrNotFound) }

// Releases is the ReleaseService.
type Releases struct {
	opsv1.UnimplementedReleaseServiceServer
	control   *Control
	defaults  map[wire.Channel]*storev1.ChannelPolicy
	trust     wire.Trust
	locations []Location // in order of their codes
}

// NewReleases returns the service. The default policies hold for channels whose policy no
// operator set; manifests are read under trust; waves name data centers of locations.
func NewReleases(
	control *Control, defaults map[wire.Channel]*storev1.ChannelPolicy, trust wire.Trust, locations []Location,
) *Releases {
	return &Releases{control: control, defaults: defaults, trust: trust, locations: byCode(locations)}
}

// ListReleases lists a channel's kept releases, newest first.
func (r *Releases) ListReleases(ctx context.Context, req *opsv1.ListReleasesRequest) (*opsv1.ListReleasesResponse, error) {
	c, err := channelOf(req.GetParent())
	if err != nil {
		return nil, err
	}
	q, err := listing.Parse(req, &opsv1.Release{}, listing.Options{Absent: []string{"changes"}})
	if err != nil {
		return nil, err
	}
	v, err := r.control.Read(ctx)
	if err != nil {
		return nil, err
	}
	all, err := recorded(v, c)
	if err != nil {
		return nil, err
	}
	items, next, err := listing.Page(q, func(after string, yield func(string, *opsv1.Release) bool) error {
		for _, e := range all {
			// Newest first, so keys count down.
			key := fmt.Sprintf("%016x", ^uint64(e.number))
			if key <= after {
				continue
			}
			p, err := e.progress()
			if err != nil {
				return err
			}
			if !yield(key, release(c, p)) {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &opsv1.ListReleasesResponse{Releases: items, NextPageToken: next}, nil
}

// GetRelease returns one release with its changes.
func (r *Releases) GetRelease(ctx context.Context, req *opsv1.GetReleaseRequest) (*opsv1.Release, error) {
	c, n, err := releaseOf(req.GetName())
	if err != nil {
		return nil, err
	}
	return r.get(ctx, c, n)
}

func (r *Releases) get(ctx context.Context, c wire.Channel, n int64) (*opsv1.Release, error) {
	v, err := r.control.Read(ctx)
	if err != nil {
		return nil, err
	}
	p, err := progressOf(v, c, n)
	if err != nil {
		return nil, err
	}
	out := release(c, p)
	out.Changes, err = r.changes(ctx, c, n)
	return out, err
}

// changes are a release's changes; none once its manifest is pruned.
func (r *Releases) changes(ctx context.Context, c wire.Channel, n int64) ([]*opsv1.Release_Change, error) {
	kv, err := r.control.Store.Get(ctx, wire.ReleaseKey(c, n))
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var signed edgev1.Signed
	var m edgev1.Manifest
	if err := proto.Unmarshal(kv.Value, &signed); err != nil {
		return nil, fmt.Errorf("ops: manifest of %s: %w", releaseName(c, n), err)
	}
	if err := r.trust.Open(&signed, wire.ContextManifest, &m); err != nil {
		return nil, fmt.Errorf("ops: manifest of %s: %w", releaseName(c, n), err)
	}
	var out []*opsv1.Release_Change
	for _, ch := range m.GetChanges() {
		out = append(out, &opsv1.Release_Change{
			Document:  ch.GetKind() + "/" + ch.GetId(),
			OldSha256: hex.EncodeToString(ch.GetOldSha256()),
			NewSha256: hex.EncodeToString(ch.GetNewSha256()),
		})
	}
	return out, nil
}

// progressOf is how far a release has come: in flight, or finished.
func progressOf(v View, c wire.Channel, n int64) (*storev1.ReleaseProgress, error) {
	var inFlight storev1.RolloutRecord
	if _, err := load(v, ledger.RolloutKey(c), &inFlight); err != nil {
		return nil, err
	}
	for _, p := range inFlight.GetReleases() {
		if p.GetNumber() == n {
			return p, nil
		}
	}
	p := &storev1.ReleaseProgress{}
	switch ok, err := load(v, ledger.HistoryKey(c, n), p); {
	case err != nil:
		return nil, err
	case !ok:
		return nil, rpcerr.NotFound(releaseName(c, n))
	}
	return p, nil
}

// entry is a release that is kept: as it is in flight, or as the history has it.
type entry struct {
	number   int64
	inFlight *storev1.ReleaseProgress
	finished registry.KV
}

func (e entry) progress() (*storev1.ReleaseProgress, error) {
	if e.inFlight != nil {
		return e.inFlight, nil
	}
	p := &storev1.ReleaseProgress{}
	if err := proto.Unmarshal(e.finished.Value, p); err != nil {
		return nil, fmt.Errorf("ops: record %s: %w", e.finished.Key, err)
	}
	return p, nil
}

// recorded returns every kept release of a channel, newest first. What is in flight wins
// over the history, which is not decoded.
func recorded(v View, c wire.Channel) ([]entry, error) {
	var inFlight storev1.RolloutRecord
	if _, err := load(v, ledger.RolloutKey(c), &inFlight); err != nil {
		return nil, err
	}
	seen := map[int64]bool{}
	var out []entry
	for _, p := range inFlight.GetReleases() {
		seen[p.GetNumber()] = true
		out = append(out, entry{number: p.GetNumber(), inFlight: p})
	}
	prefix := ledger.HistoryPrefix(c)
	v.Ascend(prefix, func(kv registry.KV) bool {
		n, err := strconv.ParseInt(kv.Key[len(prefix):], 16, 64)
		if err == nil && !seen[n] {
			out = append(out, entry{number: n, finished: kv})
		}
		return true
	})
	slices.SortFunc(out, func(a, b entry) int { return cmp.Compare(b.number, a.number) })
	return out, nil
}

func releaseOf(name string) (wire.Channel, int64, error) {
	parent, number, ok := strings.Cut(name, "/releases/")
	c, err := channelOf(parent)
	if !ok || err != nil {
		return "", 0, rpcerr.NotFound(name)
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 {
		return "", 0, rpcerr.NotFound(name)
	}
	return c, n, nil
}

// states says which state of the API a record's state is, while the release is not held.
var states = map[storev1.ReleaseProgress_State]opsv1.Release_State{
	storev1.ReleaseProgress_SEALED:    opsv1.Release_SEALED,
	storev1.ReleaseProgress_ROLLING:   opsv1.Release_ROLLING,
	storev1.ReleaseProgress_LIVE:      opsv1.Release_LIVE,
	storev1.ReleaseProgress_ABANDONED: opsv1.Release_ABANDONED,
	storev1.ReleaseProgress_GOOD:      opsv1.Release_GOOD,
}

func release(c wire.Channel, p *storev1.ReleaseProgress) *opsv1.Release {
	out := &opsv1.Release{
		Name:   releaseName(c, p.GetNumber()),
		Number: p.GetNumber(), Parent: p.GetParent(), State: states[p.GetState()], Reason: p.GetReason(),
		ChangeCount: p.GetChanges(), CoveredRevision: p.GetCoveredRevision(),
		StateHash: hex.EncodeToString(p.GetStateHash()), SealTime: p.GetSealTime(), LiveTime: p.GetLiveTime(),
	}
	out.Expedite = wish(p.GetExpedite())
	if p.GetCause() != edgev1.Manifest_CAUSE_UNSPECIFIED {
		out.Cause = p.GetCause().String()
	}
	if p.GetHeld() && p.GetState() != storev1.ReleaseProgress_ABANDONED {
		out.State = opsv1.Release_HELD
	}
	for _, w := range p.GetWaves() {
		wave := &opsv1.Release_Wave{
			State: opsv1.Release_Wave_WAITING, DataCenters: w.GetDataCenters(), Bake: w.GetBake(),
			EnterTime: w.GetEnterTime(), PassTime: w.GetPassTime(),
			Servers: int32(len(w.GetServers())),
		}
		switch {
		case w.GetPassTime() != nil:
			wave.State = opsv1.Release_Wave_PASSED
		case w.GetEnterTime() != nil:
			wave.State = opsv1.Release_Wave_BAKING
		}
		for _, s := range w.GetServers() {
			if s.GetAttested() {
				wave.AttestedServers++
			}
		}
		out.Waves = append(out.Waves, wave)
	}
	return out
}
