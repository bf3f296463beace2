package compile

import (
	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/catalog"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Document is one compiled document.
type Document struct {
	// ID names it.
	ID wire.DocumentID
	// Bytes is its serialised form; it must not be modified.
	Bytes []byte
	// Sum is the digest of Bytes.
	Sum wire.Sum
}

// LimitsID names the one document of limits.
func LimitsID() wire.DocumentID { return wire.DocumentID{Kind: wire.KindLimits, ID: "edge"} }

// AppID names the document of an app.
func AppID(app string) wire.DocumentID { return wire.DocumentID{Kind: wire.KindApp, ID: app} }

// SiteIDs names every document that a site can have, in order.
func SiteIDs(domain string) []wire.DocumentID {
	return []wire.DocumentID{
		{Kind: wire.KindDNS, ID: domain},
		{Kind: wire.KindPurge, ID: domain},
		{Kind: wire.KindShield, ID: domain},
		{Kind: wire.KindSite, ID: domain},
	}
}

// App compiles an entry of the catalogue.
func App(rec *storev1.AppRecord, limits *opsv1.Limits) (Document, error) {
	app := rec.GetApp()
	id := catalog.ID(app)
	if id == "" {
		return Document{}, invalid("name", "required", "the entry has no name")
	}
	return document(AppID(id), &edgev1.AppDocument{
		App:             id,
		Version:         app.GetVersion(),
		Killed:          app.GetKilled(),
		DefaultSettings: app.GetDefaultSettings(),
	}, effective(limits))
}

// Limits compiles the limits.
func Limits(rec *storev1.LimitsRecord) (Document, error) {
	return document(LimitsID(), limitsDocument(rec.GetLimits()), effective(rec.GetLimits()))
}

func document(id wire.DocumentID, m proto.Message, limits *opsv1.Limits) (Document, error) {
	maximum := int(limits.GetMaxDocumentBytes())
	if size := proto.Size(m); size > maximum {
		return Document{}, exceeded(id.Kind, "maxDocumentBytes", size, maximum,
			"the document %v has %d bytes; at most %d are allowed", id, size, maximum)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return Document{}, invalid(id.Kind, "utf8", "the document %v can't be serialised: %v", id, err)
	}
	return Document{ID: id, Bytes: b, Sum: wire.SumOf(b)}, nil
}
