package directory

import (
	"bytes"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// message returns an empty document of a kind.
func message(kind string) (proto.Message, bool) {
	switch kind {
	case wire.KindSite:
		return &edgev1.SiteDocument{}, true
	case wire.KindShield:
		return &edgev1.ShieldDocument{}, true
	case wire.KindPurge:
		return &edgev1.PurgeDocument{}, true
	case wire.KindDNS:
		return &edgev1.DnsDocument{}, true
	case wire.KindApp:
		return &edgev1.AppDocument{}, true
	case wire.KindLimits:
		return &edgev1.LimitsDocument{}, true
	}
	return nil, false
}

// render turns a document into JSON, the same for the same document.
func render(kind string, body []byte) (text []byte, known bool, err error) {
	m, known := message(kind)
	if !known {
		return nil, false, nil
	}
	if err := proto.Unmarshal(body, m); err != nil {
		return nil, true, fmt.Errorf("it cannot be decoded: %w", err)
	}
	raw, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return nil, true, fmt.Errorf("it cannot be written as JSON: %w", err)
	}
	// protojson varies its white space on purpose.
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return nil, true, fmt.Errorf("it cannot be written as JSON: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), true, nil
}
