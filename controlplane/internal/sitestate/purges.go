package sitestate

import (
	"fmt"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

// MaxPurges is how many purges of URLs and tags a record keeps.
const MaxPurges = 100

// Purge adds a purge, of everything or of some URLs and tags, and returns its ID. When
// there are too many, the oldest becomes a purge of everything before it: the edge forgets
// more than was asked, never less.
func Purge(rec *storev1.SiteRecord, everything bool, urls, tags []string) (id string) {
	if rec.GetPurges() == nil {
		rec.Purges = &edgev1.PurgeDocument{Domain: rec.GetSite().GetDomain()}
	}
	doc := rec.GetPurges()
	epoch := doc.GetEverythingEpoch() + 1
	if n := len(doc.GetEntries()); n > 0 {
		epoch = doc.GetEntries()[n-1].GetEpoch() + 1
	}
	if everything {
		doc.EverythingEpoch, doc.Entries = epoch, nil
	} else {
		doc.Entries = append(doc.Entries, &edgev1.PurgeDocument_Entry{Epoch: epoch, Urls: urls, Tags: tags})
		if over := len(doc.GetEntries()) - MaxPurges; over > 0 {
			doc.EverythingEpoch = doc.GetEntries()[over-1].GetEpoch()
			doc.Entries = doc.GetEntries()[over:]
		}
	}
	return fmt.Sprintf("%s-%d", rec.GetSite().GetUid(), epoch)
}
