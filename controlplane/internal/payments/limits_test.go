package payments_test

import (
	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/compile"
)

// limitsOf are the limits of documents with at most so many rules a site.
func limitsOf(rules int32) *opsv1.Limits {
	l := compile.DefaultLimits()
	l.MaxRulesPerSite = rules
	return l
}
