package propagation

import (
	"time"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// siteKinds are the kinds of documents that a site compiles to.
var siteKinds = [...]string{wire.KindSite, wire.KindShield, wire.KindDNS, wire.KindPurge}

// hold is a document that is kept at its good version.
type hold struct {
	// quarantine is the quarantine's ID; empty for a suspect.
	quarantine string
	bad, good  wire.Sum
	// from is the registry revision up to which versions are known to be good, and to the
	// one up to which they may be held: those that the abandoned release covered.
	from, to int64
	reason   string
	// retry is the earliest time of another try, and trying says that there is one.
	retry  time.Time
	trying bool
	// resting says that every other version waits for retry, too, and next that the site's
	// is such a version.
	resting, next bool
}

// suspects adds the suspects of a channel.
func suspects(held map[wire.DocumentID]hold, v View, c wire.Channel, list []*storev1.Suspect) {
	covered := map[int64]int64{}
	for _, s := range list {
		if _, ok := covered[s.GetRelease()]; !ok {
			covered[s.GetRelease()] = coveredBy(v, c, s.GetRelease())
		}
		bad, err := wire.SumFromBytes(s.GetBadSha256())
		if err != nil {
			continue
		}
		held[wire.DocumentID{Kind: s.GetKind(), ID: s.GetId()}] = hold{
			bad: bad, from: s.GetFromRevision(), to: covered[s.GetRelease()], reason: reasons[s.GetOrigin()],
		}
	}
}

// reasons say why a suspect is held.
var reasons = map[storev1.Suspect_Origin]string{
	storev1.Suspect_ORIGIN_UNSPECIFIED: "held back: its release was abandoned",
	storev1.Suspect_HARM:               "held back: it was in a release that hurt a data center, and is tried again to find the cause",
	storev1.Suspect_ROLLBACK:           "held back: an operator rolled its release back",
	storev1.Suspect_REVERT:             "held back: an operator reverted its release",
}

// quarantines adds the quarantines, which win over suspicions.
func quarantines(held map[wire.DocumentID]hold, v View) {
	v.Ascend(ledger.QuarantinesPrefix, func(kv registry.KV) bool {
		var q storev1.QuarantineRecord
		if proto.Unmarshal(kv.Value, &q) != nil {
			return true
		}
		bad, err := wire.SumFromBytes(q.GetBadSha256())
		if err != nil {
			return true
		}
		goodSum, err := wire.SumFromBytes(q.GetGoodSha256())
		if err != nil {
			return true
		}
		h := hold{
			quarantine: kv.Key[len(ledger.QuarantinesPrefix):],
			bad:        bad, good: goodSum, from: q.GetFromRevision(), to: coveredBy(v, wire.Channel(q.GetChannel()), q.GetRelease()),
			reason: reasonOf(&q), trying: q.GetTrying(), resting: q.GetResting(),
		}
		if q.GetRetryTime() != nil {
			h.retry = q.GetRetryTime().AsTime()
		}
		held[wire.DocumentID{Kind: q.GetKind(), ID: q.GetId()}] = h
		return true
	})
}

// coveredBy is the registry revision that an abandoned release covered; the end of time
// where that is not known any more.
func coveredBy(v View, c wire.Channel, release int64) int64 {
	var r storev1.ReleaseProgress
	kv, ok := v.Get(ledger.HistoryKey(c, release))
	if !ok || proto.Unmarshal(kv.Value, &r) != nil {
		return never
	}
	return r.GetCoveredRevision()
}

func reasonOf(q *storev1.QuarantineRecord) string {
	reason := q.GetReason()
	if q.GetDataCenter() != "" {
		reason += " (seen at " + q.GetDataCenter()
		if q.GetServer() != "" {
			reason += ", server " + q.GetServer()
		}
		reason += ")"
	}
	return reason
}

// holds is what is held of one site.
type holds struct {
	// current are the holds of the documents as the site compiles now, which therefore
	// waits; others hold older versions of them.
	current, others []hold
}

// holdsOf looks up a site's documents. It allocates nothing for a site of which nothing is
// held.
func (s *State) holdsOf(site *Site) holds {
	var out holds
	if len(s.held) == 0 {
		return out
	}
	var sums map[wire.DocumentID]wire.Sum
	compiled, domain := false, site.Record.GetSite().GetDomain()
	for _, kind := range siteKinds {
		id := wire.DocumentID{Kind: kind, ID: domain}
		h, ok := s.held[id]
		if !ok {
			continue
		}
		if !compiled {
			sums, compiled = site.Sums(site.Record), true
		}
		// What can't be compiled can't be shown to be another version.
		switch sum := sums[id]; {
		case sums == nil || sum == h.bad:
			out.current = append(out.current, h)
		case h.resting && !h.trying && sum != h.good:
			h.next = true
			out.current = append(out.current, h)
		default:
			out.others = append(out.others, h)
		}
	}
	return out
}

// worst is what an answer is about where several documents are held: a quarantine, since it
// does not end by itself.
func worst(list []hold) hold {
	for _, h := range list {
		if h.quarantine != "" && !h.trying && !h.next {
			return h
		}
	}
	return list[0]
}

// good is the revision up to which the site's documents are known to be good.
func (h holds) good() int64 {
	from := int64(never)
	for _, x := range h.current {
		from = min(from, x.from)
	}
	return from
}
