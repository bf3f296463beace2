package service

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

func (w *siteWorld) updateSettings(s *breakwaterv1.Settings, paths ...string) (*breakwaterv1.Settings, error) {
	req := &breakwaterv1.UpdateSettingsRequest{Settings: s}
	if paths != nil {
		req.UpdateMask = &fieldmaskpb.FieldMask{Paths: paths}
	}
	return w.set.UpdateSettings(w.as("UpdateSettings"), req)
}

func TestSettings(t *testing.T) {
	w := newSiteWorld(t)
	site := w.create("acme", "shop.example").GetName()
	s := w.settings(site)
	if s.GetCacheLevel() != breakwaterv1.Settings_STANDARD || s.GetTlsMode() != breakwaterv1.Settings_FULL ||
		s.GetMinTlsVersion() != breakwaterv1.Settings_TLS_1_2 || s.GetHsts() == nil || s.GetVersion() != 1 ||
		s.GetName() != site+"/settings" {
		t.Errorf("defaults: %v", s)
	}
	got, err := w.updateSettings(&breakwaterv1.Settings{
		Name: s.GetName(), Etag: s.GetEtag(), TlsMode: breakwaterv1.Settings_STRICT, HttpsRedirect: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.GetVersion() != 2 || got.GetTlsMode() != breakwaterv1.Settings_STRICT || got.GetCacheLevel() != breakwaterv1.Settings_STANDARD || got.GetEtag() == s.GetEtag() {
		t.Errorf("updated: %v", got)
	}
	if read := w.settings(site); !proto.Equal(read, got) {
		t.Errorf("read back:\n%v\nwant\n%v", read, got)
	}
	// The etag is that of the settings alone.
	if _, err := w.threats.UpdateThreatSettings(w.as("UpdateThreatSettings"), &breakwaterv1.UpdateThreatSettingsRequest{
		ThreatSettings: &breakwaterv1.ThreatSettings{Name: site + "/threatSettings", UnderAttack: true},
	}); err != nil {
		t.Fatal(err)
	}
	if read := w.settings(site); read.GetEtag() != got.GetEtag() || read.GetVersion() != 3 {
		t.Errorf("after another resource changed: %v", read)
	}
	same, err := w.updateSettings(&breakwaterv1.Settings{Name: s.GetName(), HttpsRedirect: true})
	if err != nil || same.GetVersion() != 3 {
		t.Errorf("no change made version %d, %v", same.GetVersion(), err)
	}
	same, err = w.updateSettings(&breakwaterv1.Settings{Name: s.GetName(), EdgeTtlSeconds: 7}, []string{}...)
	if err != nil || same.GetEdgeTtlSeconds() != 0 || same.GetVersion() != 3 {
		t.Errorf("with an empty mask: %v, %v", same, err)
	}
	off, err := w.updateSettings(&breakwaterv1.Settings{Name: s.GetName()}, "httpsRedirect", "tls_mode")
	if err != nil || off.GetHttpsRedirect() || off.GetTlsMode() != breakwaterv1.Settings_FULL {
		t.Errorf("cleared: %v, %v", off, err)
	}
	_, err = w.updateSettings(&breakwaterv1.Settings{Name: s.GetName(), Hsts: &breakwaterv1.Settings_Hsts{Enabled: true, Preload: true}})
	wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonImpossibleRule, "hsts.preload")
	_, err = w.updateSettings(&breakwaterv1.Settings{Name: "accounts/acme/sites/none.example/settings"})
	wantReason(t, err, codes.NotFound, rpcerr.ReasonNotFound, "")
}

func TestDevelopmentMode(t *testing.T) {
	w := newSiteWorld(t)
	name := w.create("acme", "shop.example").GetName() + "/settings"
	on, err := w.updateSettings(&breakwaterv1.Settings{Name: name, DevelopmentMode: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := on.GetDevelopmentModeExpireTime().AsTime().Sub(w.clock.Now()); got != 3*time.Hour {
		t.Errorf("ends in %v", got)
	}
	w.clock.Advance(time.Hour)
	still, err := w.updateSettings(&breakwaterv1.Settings{Name: name, DevelopmentMode: true, EdgeTtlSeconds: 60})
	if err != nil || !proto.Equal(still.GetDevelopmentModeExpireTime(), on.GetDevelopmentModeExpireTime()) {
		t.Errorf("renewed: %v, %v", still, err)
	}
	off, err := w.updateSettings(&breakwaterv1.Settings{Name: name}, "developmentMode")
	if err != nil || off.GetDevelopmentMode() || off.GetDevelopmentModeExpireTime() != nil {
		t.Errorf("off: %v, %v", off, err)
	}
}

func (w *siteWorld) updateThreats(in *breakwaterv1.ThreatSettings) (*breakwaterv1.ThreatSettings, error) {
	return w.threats.UpdateThreatSettings(w.as("UpdateThreatSettings"), &breakwaterv1.UpdateThreatSettingsRequest{ThreatSettings: in})
}

func cidrEntry(cidr string) *breakwaterv1.ThreatSettings_FirewallEntry {
	return &breakwaterv1.ThreatSettings_FirewallEntry{
		Source: &breakwaterv1.ThreatSettings_FirewallEntry_Cidr{Cidr: cidr}, Action: breakwaterv1.ThreatSettings_BLOCK,
	}
}

func TestThreatSettings(t *testing.T) {
	w := newSiteWorld(t)
	site := w.create("acme", "shop.example").GetName()
	name := site + "/threatSettings"
	got, err := w.threats.GetThreatSettings(w.as("GetThreatSettings"), &breakwaterv1.GetThreatSettingsRequest{Name: name})
	if err != nil || got.GetSecurityLevel() != breakwaterv1.ThreatSettings_MEDIUM || got.GetBotControl() != breakwaterv1.ThreatSettings_Control_OFF {
		t.Errorf("defaults: %v, %v", got, err)
	}
	entries := func(n int) (list []*breakwaterv1.ThreatSettings_FirewallEntry) {
		for i := range n {
			list = append(list, cidrEntry("203.0.113."+string(rune('0'+i%10))+"/32"))
			if i >= 10 {
				list[i] = cidrEntry("198.51.100." + string(rune('0'+i%10)) + "/32")
			}
		}
		return list
	}
	got, err = w.updateThreats(&breakwaterv1.ThreatSettings{Name: name, FirewallEntries: entries(10)})
	if err != nil || got.GetVersion() != 2 || len(got.GetFirewallEntries()) != 10 {
		t.Fatalf("ten entries: %v, %v", got, err)
	}
	_, err = w.updateThreats(&breakwaterv1.ThreatSettings{Name: name, FirewallEntries: entries(11)})
	e := wantReason(t, err, codes.FailedPrecondition, rpcerr.ReasonQuotaExceeded, "firewallEntries")
	if e.Metadata["requiredPlan"] != "pro" || e.Metadata["limit"] != "10" {
		t.Errorf("the refusal says %v", e.Metadata)
	}
	w.plan("acme", "shop.example", "pro")
	if _, err = w.updateThreats(&breakwaterv1.ThreatSettings{Name: name, FirewallEntries: entries(11)}); err != nil {
		t.Errorf("on pro: %v", err)
	}
	// What a better plan left may stay.
	w.plan("acme", "shop.example", "free")
	if _, err = w.updateThreats(&breakwaterv1.ThreatSettings{Name: name, UnderAttack: true}); err != nil {
		t.Errorf("another field: %v", err)
	}

	bots := &breakwaterv1.ThreatSettings{Name: name, BotControl: breakwaterv1.ThreatSettings_Control_LOG}
	_, err = w.updateThreats(bots)
	e = wantReason(t, err, codes.FailedPrecondition, rpcerr.ReasonPlanRequired, "botControl")
	if e.Metadata["requiredPlan"] != "pro" || e.Metadata["app"] != "bot-control" || e.Metadata["preview"] == "" {
		t.Errorf("the refusal says %v", e.Metadata)
	}
	w.plan("acme", "shop.example", "pro")
	if got, err = w.updateThreats(bots); err != nil || got.GetBotControl() != bots.GetBotControl() {
		t.Errorf("on pro: %v, %v", got, err)
	}
	w.plan("acme", "shop.example", "free")
	if _, err = w.updateThreats(&breakwaterv1.ThreatSettings{Name: name, UnderAttack: false}); err != nil {
		t.Errorf("another field: %v", err)
	}

	_, err = w.updateThreats(&breakwaterv1.ThreatSettings{Name: name, PacketRules: []*breakwaterv1.ThreatSettings_PacketRule{
		{Action: breakwaterv1.ThreatSettings_BLOCK, MinLength: 99971, MaxLength: 99985},
	}})
	wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonImpossibleRule, "packetRules[0].maxLength")
	wide, narrow := cidrEntry("198.51.0.0/16"), cidrEntry("198.51.100.0/24")
	_, err = w.updateThreats(&breakwaterv1.ThreatSettings{Name: name, FirewallEntries: []*breakwaterv1.ThreatSettings_FirewallEntry{wide, narrow}})
	wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonImpossibleRule, "firewallEntries[1].cidr")
	_, err = w.updateThreats(&breakwaterv1.ThreatSettings{Name: name, RateLimits: []*breakwaterv1.ThreatSettings_RateLimit{
		{Match: `host = "other.example"`, Requests: 1, PeriodSeconds: 60, Action: breakwaterv1.ThreatSettings_BLOCK},
	}})
	wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonImpossibleRule, "rateLimits[0].match")
	past := cidrEntry("192.0.2.0/24")
	past.ExpireTime = timestamppb.New(w.clock.Now())
	_, err = w.updateThreats(&breakwaterv1.ThreatSettings{Name: name, FirewallEntries: []*breakwaterv1.ThreatSettings_FirewallEntry{past}})
	wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "firewallEntries[0].expireTime")
}
