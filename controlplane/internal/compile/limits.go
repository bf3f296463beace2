package compile

import (
	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
)

// maxIPPacket is the largest IP packet there can be: its length has 16 bits (RFC 791).
const maxIPPacket = 65_535

// maxDNSRecords bounds a zone before its records are looked at; plans allow fewer.
const maxDNSRecords = 20_000

// DefaultLimits returns the limits that a new installation begins with.
func DefaultLimits() *opsv1.Limits {
	return &opsv1.Limits{
		Name:              "limits",
		MaxDocumentBytes:  4 << 20,
		MaxRulesPerSite:   10_500,
		MaxExpressionCost: 2_000,
		MaxPacketBytes:    4_470,
		Version:           1,
	}
}

// effective fills in what limits leave open: a zero is no limit that anyone could want.
func effective(l *opsv1.Limits) *opsv1.Limits {
	d := DefaultLimits()
	pick := func(given, standard int32) int32 {
		if given <= 0 {
			return standard
		}
		return given
	}
	return &opsv1.Limits{
		MaxDocumentBytes:  pick(l.GetMaxDocumentBytes(), d.GetMaxDocumentBytes()),
		MaxRulesPerSite:   pick(l.GetMaxRulesPerSite(), d.GetMaxRulesPerSite()),
		MaxExpressionCost: pick(l.GetMaxExpressionCost(), d.GetMaxExpressionCost()),
		MaxPacketBytes:    min(pick(l.GetMaxPacketBytes(), d.GetMaxPacketBytes()), maxIPPacket),
		Version:           l.GetVersion(),
	}
}

func limitsDocument(l *opsv1.Limits) *edgev1.LimitsDocument {
	e := effective(l)
	return &edgev1.LimitsDocument{
		Version:           l.GetVersion(),
		MaxDocumentBytes:  e.GetMaxDocumentBytes(),
		MaxRulesPerSite:   e.GetMaxRulesPerSite(),
		MaxExpressionCost: e.GetMaxExpressionCost(),
		MaxPacketBytes:    e.GetMaxPacketBytes(),
	}
}
