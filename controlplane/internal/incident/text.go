package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// Nothing here may name a customer: no document, no domain, and no reason as a server gave
// it, since reasons quote documents.

const (
	textSearching = "The changes at fault are looked for: halves of them are tried in the first wave, and nowhere else."
	textMore      = "More happened, which is not listed."
)

// namedDataCenters is how many data centers a text names.
const namedDataCenters = 5

func textDetected(c *Channel, h Harm) string {
	if h.Last > h.Release {
		return fmt.Sprintf("One of the releases %d to %d of the %s channel hurt %s.", h.Release, h.Last, c.Channel, places(h.DataCenters))
	}
	return fmt.Sprintf("Release %d of the %s channel hurt %s.", h.Release, c.Channel, places(h.DataCenters))
}

func textRolledBack(h Harm) string {
	what := "Release"
	if h.Trial {
		what = "Trial"
	}
	from := ""
	if len(h.Reached) > 0 {
		from = " from " + places(h.Reached)
	}
	text := fmt.Sprintf("%s %d was taken back%s; %s", what, h.Release, from, count(h.Changes, "change"))
	if h.Last > h.Release {
		text = fmt.Sprintf("All that did not soak yet was taken back%s, releases %d to %d; %s", from, h.Release, h.Last, count(h.Changes, "change"))
	}
	if n := len(h.Sites); n > 0 {
		text += " of " + count(n, "site")
	}
	if h.Trial {
		return text + " stay suspects."
	}
	return text + " wait, and what served before serves on."
}

func textReverted(r Revert) string {
	text := fmt.Sprintf("Release %d, which everybody serves, is undone wave by wave: %s", r.Release, count(r.Changes, "change"))
	if n := len(r.Sites); n > 0 {
		text += " of " + count(n, "site")
	}
	return text + "."
}

func textQuarantined(n int) string {
	if n == 1 {
		return "One document was isolated: it stays at its last good version, everything else goes on."
	}
	return fmt.Sprintf("%d documents were isolated: they stay at their last good versions, everything else goes on.", n)
}

func textExhausted(c *Channel) string {
	return fmt.Sprintf("The search ended without an answer. %s wait for an operator; everything else goes on.",
		count(c.Suspects, "change"))
}

func textRecovered(in *breakwaterv1.Incident, c *Channel) string {
	text := fmt.Sprintf("All %s serve live releases of the %s channel and are healthy.", count(c.Eligible, "eligible data center"), c.Channel)
	if n := in.GetQuarantinedDocuments(); n > 0 {
		text += fmt.Sprintf(" %s stay isolated.", count(int(n), "document"))
	}
	return text
}

func textLost(dcs []string, known int) string {
	return fmt.Sprintf("No server of %s reports any more; %d data centers are known.", places(dcs), known)
}

func textBack(dcs []string) string { return places(dcs) + " reported again, or was taken out." }

func textAllBack(in *breakwaterv1.Incident, now *timestamppb.Timestamp) string {
	lasted := now.AsTime().Sub(in.GetStartTime().AsTime()).Round(time.Second)
	return fmt.Sprintf("All of them are back, after %v.", lasted)
}

func titleTakenBack(in *breakwaterv1.Incident) string {
	return fmt.Sprintf("A release of the %s channel was taken back from %s", in.GetChannel(), places(in.GetDataCenters()))
}

func titleHarm(in *breakwaterv1.Incident) string {
	return fmt.Sprintf("A release of the %s channel hurt %s and was taken back", in.GetChannel(), places(in.GetDataCenters()))
}

func titleReverted(in *breakwaterv1.Incident) string {
	return fmt.Sprintf("An older release of the %s channel is undone", in.GetChannel())
}

func titleQuarantine(c *Channel) string {
	return fmt.Sprintf("Changes of the %s channel are held at their last good versions", c.Channel)
}

func titleLost(in *breakwaterv1.Incident) string {
	return places(in.GetDataCenters()) + " stopped reporting"
}

// places names data centers, or counts them where they are many.
func places(dcs []string) string {
	switch n := len(dcs); {
	case n == 0:
		return "no data center"
	case n > namedDataCenters:
		return count(n, "data center")
	default:
		return strings.Join(dcs, ", ")
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// addSites counts sites that were not counted before. Up to a bound it knows them apart.
func addSites(rec *storev1.IncidentRecord, sites []uint64) {
	for _, d := range sites {
		if len(rec.GetSiteDigests()) < maxSites && !slices.Contains(rec.GetSiteDigests(), d) {
			rec.SiteDigests = append(rec.SiteDigests, d)
		}
	}
	rec.Incident.AffectedSites = int32(len(rec.GetSiteDigests()))
}

func addDataCenters(in *breakwaterv1.Incident, dcs []string) {
	for _, dc := range dcs {
		if i, found := slices.BinarySearch(in.GetDataCenters(), dc); !found && len(in.GetDataCenters()) < maxDataCenters {
			in.DataCenters = slices.Insert(in.GetDataCenters(), i, dc)
		}
	}
}
