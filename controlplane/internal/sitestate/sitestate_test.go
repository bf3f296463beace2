package sitestate

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

var now = time.Date(2026, 3, 3, 9, 47, 0, 0, time.UTC)

func newRecord() *storev1.SiteRecord {
	rec := &storev1.SiteRecord{
		Site:   &breakwaterv1.Site{Name: "accounts/acme/sites/shop.example", Domain: "shop.example", Uid: "u1"},
		Config: &breakwaterv1.SiteConfig{},
	}
	CompleteConfig(rec.GetConfig())
	return rec
}

// TestVersionRevisions stores a record many times, as a registry would, and asks it for the
// revision of every version that it should know.
func TestVersionRevisions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rec := newRecord()
		stored := map[int64]int64{} // version to the revision that stored it
		dropped := map[int64]bool{}
		var revision, mod int64
		for range rapid.IntRange(1, 80).Draw(t, "changes") {
			revision += int64(rapid.IntRange(1, 5).Draw(t, "others"))
			if mod == 0 || rapid.Bool().Draw(t, "version") {
				v := NewVersion(rec, Change{Now: now, PrevModRevision: mod, Cause: "Test"})
				if v.GetNumber() != rec.GetSite().GetVersion() || v.GetConfig().GetVersion() != v.GetNumber() {
					t.Fatalf("version %v of %v", v, rec)
				}
				stored[v.GetNumber()] = revision
				for _, n := range Retain(rec, rapid.IntRange(5, 9).Draw(t, "keep")) {
					if dropped[n] {
						t.Fatalf("version %d dropped twice", n)
					}
					dropped[n] = true
				}
			} else {
				Touch(rec, mod)
			}
			mod = revision
			if got := RevisionOfVersion(rec, mod); got != stored[rec.GetSite().GetVersion()] {
				t.Fatalf("version %d was stored at %d, not %d", rec.GetSite().GetVersion(), stored[rec.GetSite().GetVersion()], got)
			}
		}
		if n := len(rec.GetRecentVersions()); n != min(MaxRecent, int(rec.GetSite().GetVersion())-1) {
			t.Fatalf("%d recent versions of %d", n, rec.GetSite().GetVersion())
		}
		for i, r := range rec.GetRecentVersions() {
			if r.GetVersion() != rec.GetSite().GetVersion()-1-int64(i) || r.GetRevision() != stored[r.GetVersion()] {
				t.Fatalf("recent version %v, stored at %d", r, stored[r.GetVersion()])
			}
		}
		for n := int64(1); n <= rec.GetSite().GetVersion(); n++ {
			if dropped[n] != (n < rec.GetOldestVersion()) {
				t.Fatalf("version %d: dropped %v, the oldest is %d", n, dropped[n], rec.GetOldestVersion())
			}
		}
	})
}

func TestDiff(t *testing.T) {
	a := newRecord().GetConfig()
	b, _ := proto.Clone(a).(*breakwaterv1.SiteConfig)
	if d := Diff(a, b); len(d) != 0 || len(ChangedFields(a, b)) != 0 {
		t.Fatalf("equal ones differ: %v", d)
	}
	b.Version, b.Name = 7, "x"
	b.Origin = &breakwaterv1.Origin{Address: "o.example", Port: 443}
	b.GetSettings().CacheLevel = breakwaterv1.Settings_BYPASS
	b.GetSettings().GetHsts().MaxAgeSeconds = 5
	b.GetSettings().DevelopmentModeExpireTime = timestamppb.New(now)
	b.GetThreatSettings().FirewallEntries = []*breakwaterv1.ThreatSettings_FirewallEntry{{Note: "n"}}
	inner, err := structpb.NewStruct(map[string]any{"deep": map[string]any{"x": 1}, "list": []any{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	b.Apps = map[string]*breakwaterv1.SiteApp{"waf": {Enabled: true, Settings: inner}}
	want := []string{
		`apps.waf.enabled null true`,
		`apps.waf.settings.deep null map[x:1]`,
		`apps.waf.settings.list null [a]`,
		`origin.address null o.example`,
		`origin.hostHeader null `,
		`origin.port null 443`,
		`origin.scheme null SCHEME_UNSPECIFIED`,
		`settings.cacheLevel STANDARD BYPASS`,
		`settings.developmentModeExpireTime null 2026-03-03T09:47:00Z`,
		`settings.hsts.maxAgeSeconds 0 5`,
		`threatSettings.firewallEntries [] [map[action:ACTION_UNSPECIFIED expireTime:<nil> note:n]]`,
	}
	text := func(v *structpb.Value) string {
		if v.AsInterface() == nil {
			return "null"
		}
		return fmt.Sprint(v.AsInterface())
	}
	got := Diff(a, b)
	for i, c := range got {
		line := c.GetPath() + " " + text(c.GetFrom()) + " " + text(c.GetTo())
		if i >= len(want) || line != want[i] {
			t.Errorf("%d: %s", i, line)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d changes, want %d", len(got), len(want))
	}
	back := Diff(b, a)
	for i := range got {
		if !proto.Equal(got[i].GetFrom(), back[i].GetTo()) || got[i].GetPath() != back[i].GetPath() {
			t.Errorf("not the same backwards: %v, %v", got[i], back[i])
		}
	}
	for i, path := range ChangedFields(a, b) {
		if path != got[i].GetPath() {
			t.Errorf("changed %s, want %s", path, got[i].GetPath())
		}
	}
}

func TestTransitions(t *testing.T) {
	for state := range transitions {
		for _, event := range []Event{Prove, Lose, Suspend, Unsuspend, Delete, Undelete, GiveUp} {
			rec := newRecord()
			Await(rec, true, now, Production())
			rec.GetSite().State = state
			before, _ := proto.Clone(rec).(*storev1.SiteRecord)
			err := Step(rec, event, "why", true, now, Production())
			var refused *StateError
			if _, ok := transitions[state][event]; !ok {
				if !errors.As(err, &refused) || !proto.Equal(rec, before) {
					t.Errorf("%s of %v: %v", event, state, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s of %v: %v", event, state, err)
			}
			s := rec.GetSite()
			if (s.GetDeleteTime() != nil) != (s.GetState() == breakwaterv1.Site_DELETED) ||
				(s.GetExpireTime() != nil) != (s.GetState() == breakwaterv1.Site_PENDING) {
				t.Errorf("%s of %v: %v", event, state, s)
			}
			if what, when := NextDue(rec); s.GetState() == breakwaterv1.Site_DELETED && (what != DuePurge || !when.Equal(s.GetPurgeTime().AsTime())) ||
				s.GetState() == breakwaterv1.Site_SUSPENDED && what != DueNothing {
				t.Errorf("%s of %v: due %v at %v", event, state, what, when)
			}
		}
	}
}

func TestClaims(t *testing.T) {
	d := &storev1.DomainRecord{}
	for i := range MaxClaims {
		if err := Claim(d, fmt.Sprint("a", i), []string{fmt.Sprint("x", i), "y"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := Claim(d, "late", nil); !errors.Is(err, ErrTooManyClaims) {
		t.Errorf("one more: %v", err)
	}
	d.ActiveAccount = "a0"
	if Release(d, "a0", now, now.Add(time.Hour)) || d.GetActiveAccount() != "" {
		t.Errorf("released: %v", d)
	}
	if n := len(TakenPairs(d, now)); n != MaxClaims {
		t.Errorf("%d pairs are taken", n)
	}
	if n := len(TakenPairs(d, now.Add(time.Hour))); n != MaxClaims-1 {
		t.Errorf("%d pairs are taken an hour later", n)
	}
	for i := range MaxClaims {
		if Release(d, fmt.Sprint("a", i), now.Add(2*time.Hour), now.Add(2*time.Hour)) {
			t.Errorf("empty while pairs are retired")
		}
	}
	if !Release(d, "nobody", now.Add(3*time.Hour), now) {
		t.Errorf("not empty: %v", d)
	}
}

// TestEtagsOfOlderRecords: what was stored before there was a field has the etag that it has
// when it is completed, as every update does first.
func TestEtagsOfOlderRecords(t *testing.T) {
	complete, older := newRecord(), newRecord()
	older.Config.ThreatSettings.DdosAction, older.Config.ThreatSettings.BotAllowVerified = 0, nil
	older.Config.Settings.Hsts = nil
	if ThreatSettingsEtag(complete) != ThreatSettingsEtag(older) || SettingsEtag(complete) != SettingsEtag(older) {
		t.Error("an older record has other etags")
	}
}

func TestFollow(t *testing.T) {
	for name, c := range map[string]struct {
		event  Event
		before *storev1.DomainRecord
		after  *storev1.DomainRecord
	}{
		"suspended while active":     {Suspend, &storev1.DomainRecord{ActiveAccount: "acme"}, &storev1.DomainRecord{Suspended: true}},
		"suspended while none is":    {Suspend, &storev1.DomainRecord{}, &storev1.DomainRecord{Suspended: true}},
		"suspended beside another's": {Suspend, &storev1.DomainRecord{ActiveAccount: "beta"}, &storev1.DomainRecord{ActiveAccount: "beta"}},
		"suspended once more":        {Suspend, &storev1.DomainRecord{Suspended: true}, &storev1.DomainRecord{Suspended: true}},
		"unsuspended":                {Unsuspend, &storev1.DomainRecord{Suspended: true}, &storev1.DomainRecord{}},
		"deleted":                    {Delete, &storev1.DomainRecord{ActiveAccount: "acme"}, &storev1.DomainRecord{}},
		"deleted beside another's":   {Delete, &storev1.DomainRecord{ActiveAccount: "beta", Suspended: true}, &storev1.DomainRecord{ActiveAccount: "beta", Suspended: true}},
	} {
		got, _ := proto.Clone(c.before).(*storev1.DomainRecord)
		if changed := Follow(got, "acme", c.event); !proto.Equal(got, c.after) || changed == proto.Equal(c.before, c.after) {
			t.Errorf("%s: %v, changed %t", name, got, changed)
		}
	}
	d := &storev1.DomainRecord{Claims: []*storev1.DomainRecord_Claim{{Account: "acme"}}, Suspended: true}
	if Release(d, "acme", now, now) {
		t.Error("nothing would remember the suspension")
	}
}
