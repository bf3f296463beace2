package service

import (
	"errors"
	"strings"
	"testing"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/compile"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// TestChangesThatWouldNotCompile shows that what is over the limits of documents is refused
// when it is written, also while the site is not served yet.
func TestChangesThatWouldNotCompile(t *testing.T) {
	w, d, site := newDNSWorld(t)
	limits := compile.DefaultLimits()
	limits.MaxDocumentBytes = 600
	w.put(resource.LimitsKey, &storev1.LimitsRecord{Limits: limits})

	if _, err := w.addRecord(d, site, "www", "A", "192.0.2.1"); err != nil {
		t.Fatalf("a small zone: %v", err)
	}
	_, err := w.addRecord(d, site, "long", "TXT", strings.Repeat("x", 700))
	wantTooLarge(t, "a large zone", err)

	var entries []*breakwaterv1.ThreatSettings_FirewallEntry
	for i := range 10 {
		entries = append(entries, &breakwaterv1.ThreatSettings_FirewallEntry{
			Source: &breakwaterv1.ThreatSettings_FirewallEntry_Cidr{Cidr: "2001:db8:aaaa:bbbb:cccc:dddd:eeee:" + string(rune('0'+i)) + "/128"},
			Action: breakwaterv1.ThreatSettings_BLOCK, Note: strings.Repeat("n", 100),
		})
	}
	limits.MaxDocumentBytes = 200
	w.put(resource.LimitsKey, &storev1.LimitsRecord{Limits: limits})
	_, err = w.threats.UpdateThreatSettings(w.as("UpdateThreatSettings"), &breakwaterv1.UpdateThreatSettingsRequest{
		ThreatSettings: &breakwaterv1.ThreatSettings{Name: site + "/threatSettings", FirewallEntries: entries},
	})
	wantTooLarge(t, "many rules", err)
}

func wantTooLarge(t *testing.T, what string, err error) {
	t.Helper()
	var refused *rpcerr.Error
	if !errors.As(err, &refused) || refused.Reason != rpcerr.ReasonInvalidField || !strings.Contains(refused.Message, "bytes") {
		t.Errorf("%s: %v, want it refused for its size", what, err)
	}
}
