package simfleet

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"weak"

	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// maxPacket is the longest packet that there can be, in bytes (RFC 791, RFC 8200).
const maxPacket = 65_535

// Document is a document that a simulated server serves.
type Document struct {
	ID  wire.DocumentID
	Sum wire.Sum
	// Message is the decoded document; nil for a kind that is not known. It is shared by the
	// fleet and must not be changed.
	Message proto.Message
}

// decoder decodes documents once for the whole fleet, for as long as any server holds
// them: 46 copies in one process would be a waste.
type decoder struct {
	mu   sync.Mutex
	docs map[decoded]weak.Pointer[Document]
}

type decoded struct {
	id  wire.DocumentID
	sum wire.Sum
}

func newDecoder() *decoder { return &decoder{docs: map[decoded]weak.Pointer[Document]{}} }

func (d *decoder) decode(id wire.DocumentID, sum wire.Sum, body []byte) (*Document, error) {
	key := decoded{id, sum}
	d.mu.Lock()
	defer d.mu.Unlock()
	if doc := d.docs[key].Value(); doc != nil {
		return doc, nil
	}
	message, err := decode(id, body)
	if err != nil {
		return nil, err
	}
	doc := &Document{ID: id, Sum: sum, Message: message}
	d.docs[key] = weak.Make(doc)
	runtime.AddCleanup(doc, d.forget, key)
	return doc, nil
}

func (d *decoder) forget(key decoded) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.docs[key].Value() == nil {
		delete(d.docs, key)
	}
}

// decode parses and checks one document as a data plane would.
func decode(id wire.DocumentID, body []byte) (proto.Message, error) {
	var (
		message proto.Message
		named   func() string
	)
	switch id.Kind {
	case wire.KindSite:
		m := &edgev1.SiteDocument{}
		message, named = m, m.GetDomain
	case wire.KindShield:
		m := &edgev1.ShieldDocument{}
		message, named = m, m.GetDomain
	case wire.KindPurge:
		m := &edgev1.PurgeDocument{}
		message, named = m, m.GetDomain
	case wire.KindDNS:
		m := &edgev1.DnsDocument{}
		message, named = m, m.GetDomain
	case wire.KindApp:
		m := &edgev1.AppDocument{}
		message, named = m, m.GetApp
	case wire.KindLimits:
		message, named = &edgev1.LimitsDocument{}, func() string { return id.ID }
	default:
		return nil, nil //nolint:nilnil // a kind of a later version is served by nobody
	}
	if err := proto.Unmarshal(body, message); err != nil {
		return nil, fmt.Errorf("it cannot be decoded: %w", err)
	}
	if named() != id.ID {
		return nil, fmt.Errorf("it is that of %q", named())
	}
	switch m := message.(type) {
	case *edgev1.ShieldDocument:
		return m, checkShield(m)
	case *edgev1.SiteDocument:
		return m, checkSite(m)
	}
	return message, nil
}

func checkShield(m *edgev1.ShieldDocument) error {
	for i, e := range m.GetFirewallEntries() {
		if cidr := e.GetCidr(); cidr != "" {
			if _, err := netip.ParsePrefix(cidr); err != nil {
				return fmt.Errorf("firewall entry %d: %w", i, err)
			}
		}
	}
	for i, r := range m.GetPacketRules() {
		if r.GetMinLength() < 0 || r.GetMinLength() > maxPacket || r.GetMaxLength() > maxPacket {
			return fmt.Errorf("packet rule %d: no packet has %d to %d bytes", i, r.GetMinLength(), r.GetMaxLength())
		}
		if cidr := r.GetSourceCidr(); cidr != "" {
			if _, err := netip.ParsePrefix(cidr); err != nil {
				return fmt.Errorf("packet rule %d: %w", i, err)
			}
		}
	}
	return nil
}

func checkSite(m *edgev1.SiteDocument) error {
	for i, l := range m.GetRateLimits() {
		if strings.TrimSpace(l.GetMatch()) == "" || l.GetRequests() < 1 || l.GetPeriodSeconds() < 1 {
			return fmt.Errorf("rate limit %d is not complete", i)
		}
	}
	return nil
}
