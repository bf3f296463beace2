package incident

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

const (
	// lostAfter is how long a data center must be silent to be lost, as seen by this leader.
	lostAfter = 10 * time.Second
	// staleAfter is how old a summary may be: a server that reports refreshes it sooner.
	staleAfter = 30 * time.Second
)

// observation is one look at a view.
type observation struct {
	view  View
	after int64
	// day and machine are the time by the two clocks.
	day, machine time.Time
	documents    Documents
	owners       Owners

	fleet    map[string]*storev1.FleetRecord
	controls map[string]*storev1.DataCenterControl
	facts    Facts
}

// look puts the facts together. It fails when a record or a manifest can't be read: then
// nothing may be told, because it would be told without what failed.
func (o *observation) look() error {
	o.facts = Facts{Now: o.day}
	if err := errors.Join(o.dataCenters(), o.channels()); err != nil {
		return err
	}
	return nil
}

func each[M any, P interface {
	*M
	proto.Message
}](v View, prefix string, visit func(id string, kv registry.KV, m P),
) error {
	var failed error
	v.Ascend(prefix, func(kv registry.KV) bool {
		m := P(new(M))
		if err := proto.Unmarshal(kv.Value, m); err != nil {
			failed = fmt.Errorf("incident: record %s: %w", kv.Key, err)
			return false
		}
		visit(strings.TrimPrefix(kv.Key, prefix), kv, m)
		return true
	})
	return failed
}

// dataCenters finds the data centers that are silent: nobody took them out, they reported
// once, and they do not now.
func (o *observation) dataCenters() error {
	o.fleet, o.controls = map[string]*storev1.FleetRecord{}, map[string]*storev1.DataCenterControl{}
	return errors.Join(
		each(o.view, ledger.DataCentersPrefix, func(dc string, _ registry.KV, c *storev1.DataCenterControl) { o.controls[dc] = c }),
		each(o.view, ledger.FleetPrefix, func(dc string, _ registry.KV, r *storev1.FleetRecord) {
			if len(r.GetServers()) == 0 {
				return
			}
			o.fleet[dc] = r
			o.facts.Known++
			if !slices.ContainsFunc(r.GetServers(), o.reports) && !o.controls[dc].GetDrained() {
				o.facts.Silent = append(o.facts.Silent, dc)
			}
		}),
	)
}

func (o *observation) reports(s *storev1.FleetRecord_Server) bool {
	return s.GetConnected() && o.machine.Sub(s.GetLastSeenTime().AsTime()) < staleAfter
}

func (o *observation) channels() error {
	held, err := o.quarantines()
	if err != nil {
		return err
	}
	for _, c := range wire.Channels() {
		rec := &storev1.RolloutRecord{}
		if kv, ok := o.view.Get(ledger.RolloutKey(c)); ok {
			if err := proto.Unmarshal(kv.Value, rec); err != nil {
				return fmt.Errorf("incident: record %s: %w", kv.Key, err)
			}
		}
		f := Channel{Channel: c, Quarantines: held[c], Recovering: len(rec.GetSettling()) > 0}
		suspects, err := ledger.Suspects(o.view.Get, c, rec)
		if err != nil {
			return fmt.Errorf("incident: %w", err)
		}
		for _, s := range suspects {
			if s.GetOrigin() == storev1.Suspect_HARM {
				f.Suspects++
			}
		}
		f.Reverts, f.Reverting = o.reverts(suspects), reverting(rec)
		if b := rec.GetBisection(); b != nil {
			f.Exhausted, f.Searching = b.GetExhausted(), !b.GetExhausted()
		}
		f.Eligible, f.Behind = o.serving(c, rec)
		if f.Harm, err = o.harm(c); err != nil {
			return err
		}
		o.facts.Channels = append(o.facts.Channels, f)
	}
	return nil
}

// serving counts the eligible data centers, and those of them that do not serve a live
// release of the channel well.
func (o *observation) serving(c wire.Channel, rec *storev1.RolloutRecord) (eligible, behind int) {
	for dc, r := range o.fleet {
		if ctl := o.controls[dc]; ctl.GetDrained() || ctl.GetPinned() || !slices.ContainsFunc(r.GetServers(), o.reports) {
			continue
		}
		eligible++
		if slices.ContainsFunc(r.GetServers(), func(s *storev1.FleetRecord_Server) bool {
			live := slices.ContainsFunc(rec.GetReleases(), func(p *storev1.ReleaseProgress) bool {
				return p.GetNumber() == s.GetReleases()[string(c)]
			})
			return o.reports(s) && (!s.GetHealthy() || !live)
		}) {
			behind++
		}
	}
	return eligible, behind
}

// harm finds the releases that were taken back after the cursor, but for those of which only
// the first wave knew, and nobody was hurt: they are their owners' business.
func (o *observation) harm(c wire.Channel) ([]Harm, error) {
	var out []Harm
	prefix := ledger.HistoryPrefix(c)
	var failed error
	o.view.Ascend(prefix, func(kv registry.KV) bool {
		if kv.ModRevision <= o.after {
			return true
		}
		p := &storev1.ReleaseProgress{}
		if err := proto.Unmarshal(kv.Value, p); err != nil {
			failed = fmt.Errorf("incident: record %s: %w", kv.Key, err)
			return false
		}
		if p.GetState() != storev1.ReleaseProgress_ABANDONED {
			return true
		}
		h := Harm{
			Release: p.GetNumber(), DataCenters: p.GetHurtDataCenters(), Reached: reached(p),
			Changes: int(p.GetChanges()), Reason: p.GetReason(), Parent: p.GetParent(),
			Trial: p.GetCause() == edgev1.Manifest_TRIAL,
		}
		if len(h.DataCenters) == 0 {
			taken, err := o.withItsParent(c, p)
			if err != nil {
				failed = err
				return false
			}
			if taken || len(p.GetWaves()) == 0 || p.GetWaves()[0].GetPassTime() == nil {
				return true
			}
		}
		documents, err := o.documents(c, p.GetNumber())
		if err != nil && !errors.Is(err, registry.ErrNotFound) {
			failed = err
			return false
		}
		h.Sites = sitesOf(documents)
		out = append(out, h)
		return true
	})
	return out, failed
}

// reached is the data centers of the waves that a release entered.
func reached(p *storev1.ReleaseProgress) []string {
	var out []string
	for _, w := range p.GetWaves() {
		if w.GetEnterTime() != nil {
			out = append(out, w.GetDataCenters()...)
		}
	}
	return slices.Sorted(slices.Values(out))
}

// withItsParent says whether a release was only abandoned because the one it stood on was.
func (o *observation) withItsParent(c wire.Channel, p *storev1.ReleaseProgress) (bool, error) {
	kv, ok := o.view.Get(ledger.HistoryKey(c, p.GetParent()))
	if !ok {
		return false, nil
	}
	parent := &storev1.ReleaseProgress{}
	if err := proto.Unmarshal(kv.Value, parent); err != nil {
		return false, fmt.Errorf("incident: record %s: %w", kv.Key, err)
	}
	return parent.GetState() == storev1.ReleaseProgress_ABANDONED, nil
}

// sitesOf returns a digest for each site that documents belong to.
func sitesOf(documents []wire.DocumentID) []uint64 {
	var out []uint64
	for _, d := range documents {
		if platformDocument(d.Kind) {
			continue
		}
		sum := sha256.Sum256([]byte(d.ID))
		out = append(out, binary.BigEndian.Uint64(sum[:]))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// platformDocument says whether documents of a kind are everyone's.
func platformDocument(kind string) bool {
	c, _ := wire.ChannelOf(kind)
	return c == wire.Platform
}

// quarantines returns those of the channels where one changed after the cursor. One that is
// being tried again is not held.
func (o *observation) quarantines() (map[wire.Channel][]Quarantine, error) {
	out := map[wire.Channel][]Quarantine{}
	changed := map[wire.Channel]bool{}
	err := each(o.view, ledger.QuarantinesPrefix, func(id string, kv registry.KV, q *storev1.QuarantineRecord) {
		if q.GetTrying() {
			return
		}
		c := wire.Channel(q.GetChannel())
		changed[c] = changed[c] || kv.ModRevision > o.after
		fact := Quarantine{
			Document: id, Created: q.GetCreateTime().AsTime(), Everyone: platformDocument(q.GetKind()),
			Sites: sitesOf([]wire.DocumentID{{Kind: q.GetKind(), ID: q.GetId()}}),
		}
		if !fact.Everyone {
			fact.Accounts = o.owners(q.GetId())
		}
		out[c] = append(out[c], fact)
	})
	for c := range out {
		if !changed[c] {
			delete(out, c)
		}
	}
	return out, err
}
