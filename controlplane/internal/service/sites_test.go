package service

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

func rpcerrOf(err error) *rpcerr.Error {
	e, _ := errors.AsType[*rpcerr.Error](err)
	return e
}

func TestCreateSite(t *testing.T) {
	w := newSiteWorld(t)
	s := w.create("acme", "Bücher.Example.")
	if s.GetName() != "accounts/acme/sites/xn--bcher-kva.example" || s.GetDisplayDomain() != "bücher.example" {
		t.Errorf("not canonical: %s, %s", s.GetName(), s.GetDisplayDomain())
	}
	if s.GetState() != breakwaterv1.Site_PENDING || s.GetSetup() != breakwaterv1.Site_FULL || len(s.GetNameServers()) != 2 ||
		s.GetVersion() != 1 || s.GetPlan() != "free" || s.GetEtag() == "" || s.GetUid() == "" {
		t.Errorf("not a new FULL site: %v", s)
	}
	if got := s.GetExpireTime().AsTime().Sub(siteStart); got != 28*24*time.Hour {
		t.Errorf("given up after %v", got)
	}
	if o := s.GetOrigin(); o.GetPort() != 443 || o.GetScheme() != breakwaterv1.Origin_HTTPS {
		t.Errorf("the origin is not complete: %v", o)
	}
	if got := w.get(s.GetName()); !proto.Equal(got, s) {
		t.Errorf("read back:\n%v\nwant\n%v", got, s)
	}
	p := w.create("acme", "www.shop.example")
	if p.GetSetup() != breakwaterv1.Site_PARTIAL || p.GetVerification().GetName() != "_breakwater.www.shop.example" ||
		p.GetVerification().GetType() != "TXT" || p.GetVerification().GetValue() == "" || len(p.GetNameServers()) != 0 {
		t.Errorf("not a new PARTIAL site: %v", p)
	}
}

func TestCreateSiteVerifiedByCNAME(t *testing.T) {
	w := newSiteWorld(t)
	create := func(setup breakwaterv1.Site_Setup, domain, kind string) (*breakwaterv1.Site, error) {
		return w.sites.CreateSite(w.as("CreateSite"), &breakwaterv1.CreateSiteRequest{Parent: "accounts/acme", Site: &breakwaterv1.Site{
			Domain: domain, Setup: setup, Verification: &breakwaterv1.Site_Verification{Type: kind, Value: "not mine to say"},
		}})
	}
	s, err := create(breakwaterv1.Site_PARTIAL, "shop.example", "CNAME")
	v := s.GetVerification()
	if err != nil || v.GetType() != "CNAME" || v.GetName() != "_breakwater.shop.example" ||
		!strings.HasPrefix(v.GetValue(), "bwv-") || !strings.HasSuffix(v.GetValue(), ".breakwater.example") {
		t.Fatalf("created %v, %v", v, err)
	}
	for _, kind := range []string{"TXT", "MX"} {
		_, err = w.sites.UpdateSite(w.as("UpdateSite"), &breakwaterv1.UpdateSiteRequest{
			Site: &breakwaterv1.Site{Name: s.GetName(), Verification: &breakwaterv1.Site_Verification{Type: kind}},
		})
		wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "verification.type")
	}
	// What was read may be sent back, and only the type is compared.
	want := v.GetValue()
	s.Verification.Value, s.Labels = "ignored", map[string]string{"env": "prod"}
	back, err := w.sites.UpdateSite(w.as("UpdateSite"), &breakwaterv1.UpdateSiteRequest{Site: s})
	if err != nil || back.GetVerification().GetValue() != want || back.GetLabels()["env"] != "prod" {
		t.Errorf("sent back: %v, %v", back, err)
	}
	if s, err = create(breakwaterv1.Site_PARTIAL, "txt.example", ""); err != nil || s.GetVerification().GetType() != "TXT" {
		t.Errorf("no type: %v, %v", s, err)
	}
	if s, err = create(breakwaterv1.Site_FULL, "full.example", ""); err != nil || s.GetVerification() != nil {
		t.Errorf("FULL: %v, %v", s, err)
	}
	_, err = create(breakwaterv1.Site_FULL, "other.example", "CNAME")
	wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "verification.type")
	_, err = create(breakwaterv1.Site_PARTIAL, "other.example", "MX")
	wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "verification.type")
}

func TestCreateSiteRefuses(t *testing.T) {
	w := newSiteWorld(t, "rival")
	w.create("acme", "taken.example")
	create := func(account string, s *breakwaterv1.Site) error {
		_, err := w.sites.CreateSite(w.as("CreateSite"), &breakwaterv1.CreateSiteRequest{Parent: "accounts/" + account, Site: s})
		return err
	}
	origin := func(o *breakwaterv1.Origin) *breakwaterv1.Site {
		return &breakwaterv1.Site{Domain: "new.example", Origin: o}
	}
	for name, c := range map[string]struct {
		site  *breakwaterv1.Site
		field string
	}{
		"no domain":           {&breakwaterv1.Site{}, "domain"},
		"an address":          {&breakwaterv1.Site{Domain: "192.0.2.1"}, "domain"},
		"a public suffix":     {&breakwaterv1.Site{Domain: "co.uk"}, "domain"},
		"another name":        {&breakwaterv1.Site{Domain: "new.example", Name: "accounts/acme/sites/old.example"}, "name"},
		"full below":          {&breakwaterv1.Site{Domain: "www.new.example", Setup: breakwaterv1.Site_FULL}, "setup"},
		"private origin":      {origin(&breakwaterv1.Origin{Address: "10.0.0.1"}), "origin.address"},
		"loopback origin":     {origin(&breakwaterv1.Origin{Address: "::1"}), "origin.address"},
		"mapped origin":       {origin(&breakwaterv1.Origin{Address: "::ffff:127.0.0.1"}), "origin.address"},
		"metadata origin":     {origin(&breakwaterv1.Origin{Address: "169.254.169.254"}), "origin.address"},
		"provider's origin":   {origin(&breakwaterv1.Origin{Address: "100.100.100.200"}), "origin.address"},
		"localhost":           {origin(&breakwaterv1.Origin{Address: "localhost"}), "origin.address"},
		"an internal name":    {origin(&breakwaterv1.Origin{Address: "db.internal"}), "origin.address"},
		"octal address":       {origin(&breakwaterv1.Origin{Address: "0177.0.0.1"}), "origin.address"},
		"hexadecimal address": {origin(&breakwaterv1.Origin{Address: "0x7f000001"}), "origin.address"},
		"a URL":               {origin(&breakwaterv1.Origin{Address: "https://o.example"}), "origin.address"},
		"itself":              {origin(&breakwaterv1.Origin{Address: "NEW.example"}), "origin.address"},
		"no address":          {origin(&breakwaterv1.Origin{Port: 80}), "origin.address"},
		"a header with CR":    {origin(&breakwaterv1.Origin{Address: "o.example", HostHeader: "a\r\nb"}), "origin.hostHeader"},
	} {
		t.Run(name, func(t *testing.T) {
			err := create("acme", c.site)
			s := rpcerr.Status(err)
			if s.Code() != codes.InvalidArgument {
				t.Fatalf("got %v", err)
			}
			if e := rpcerrOf(err); e != nil {
				wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, c.field)
			} else if c.field != "domain" {
				t.Fatalf("not about %s: %v", c.field, err)
			}
		})
	}
	for _, ok := range []string{"192.0.2.1", "198.51.100.7", "2001:db8::1", "origin.example", "o_1.example", "8.8.8.8"} {
		if v := siteOriginViolations(&breakwaterv1.Origin{Address: ok}, "new.example"); len(v) > 0 {
			t.Errorf("%s refused: %v", ok, v)
		}
	}
	wantReason(t, create("acme", &breakwaterv1.Site{Domain: "taken.example"}), codes.AlreadyExists, rpcerr.ReasonAlreadyExists, "")
	wantReason(t, create("nobody", &breakwaterv1.Site{Domain: "new.example"}), codes.NotFound, rpcerr.ReasonNotFound, "")
	if err := create("rival", &breakwaterv1.Site{Domain: "taken.example"}); err != nil {
		t.Errorf("a domain may wait in several accounts: %v", err)
	}
	a, b := w.get("accounts/acme/sites/taken.example"), w.get("accounts/rival/sites/taken.example")
	if a.GetNameServers()[0] == b.GetNameServers()[0] && a.GetNameServers()[1] == b.GetNameServers()[1] {
		t.Error("two accounts have the same name servers")
	}
}

func TestCreateSiteBesideAnothersActive(t *testing.T) {
	w := newSiteWorld(t, "rival")
	w.create("rival", "shop.example")
	w.activate("rival", "shop.example")
	for _, d := range []string{"www.shop.example", "a.b.shop.example"} {
		_, err := w.sites.CreateSite(w.as("CreateSite"), &breakwaterv1.CreateSiteRequest{
			Parent: "accounts/acme", Site: &breakwaterv1.Site{Domain: d},
		})
		wantReason(t, err, codes.FailedPrecondition, rpcerr.ReasonDomainTaken, "")
	}
	w.create("rival", "www.deep.example")
	w.activate("rival", "www.deep.example")
	_, err := w.sites.CreateSite(w.as("CreateSite"), &breakwaterv1.CreateSiteRequest{
		Parent: "accounts/acme", Site: &breakwaterv1.Site{Domain: "deep.example"},
	})
	wantReason(t, err, codes.FailedPrecondition, rpcerr.ReasonDomainTaken, "")
	w.create("rival", "other.shop.example") // its own
	w.create("acme", "shop.example")        // the same domain may wait
	w.create("acme", "workshop.example")    // no relation
}

// activate makes a site active, as the worker would.
func (w *siteWorld) activate(account, domain string) {
	w.t.Helper()
	w.edit(account, domain, func(rec *storev1.SiteRecord) {
		if err := sitestate.Step(rec, sitestate.Prove, "", true, w.clock.Now(), sitestate.Production()); err != nil {
			w.t.Fatal(err)
		}
	})
	w.editDomain(domain, func(d *storev1.DomainRecord) { d.ActiveAccount = account })
}

func TestSiteLife(t *testing.T) {
	w := newSiteWorld(t)
	name := w.create("acme", "shop.example").GetName()
	w.activate("acme", "shop.example")
	do := func(fn func() (*breakwaterv1.Site, error)) *breakwaterv1.Site {
		t.Helper()
		s, err := fn()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := do(func() (*breakwaterv1.Site, error) {
		return w.sites.PauseSite(w.as("PauseSite"), &breakwaterv1.PauseSiteRequest{Name: name})
	})
	if !s.GetPaused() || s.GetVersion() != 2 {
		t.Errorf("paused: %v", s)
	}
	again := do(func() (*breakwaterv1.Site, error) {
		return w.sites.PauseSite(w.as("PauseSite"), &breakwaterv1.PauseSiteRequest{Name: name})
	})
	if again.GetVersion() != 2 {
		t.Errorf("a pause of a paused site made version %d", again.GetVersion())
	}
	_, err := w.sites.ResumeSite(w.as("ResumeSite"), &breakwaterv1.ResumeSiteRequest{Name: name, Etag: "stale"})
	wantReason(t, err, codes.Aborted, rpcerr.ReasonEtagMismatch, "")
	s = do(func() (*breakwaterv1.Site, error) {
		return w.sites.ResumeSite(w.as("ResumeSite"), &breakwaterv1.ResumeSiteRequest{Name: name, Etag: s.GetEtag()})
	})
	if s.GetPaused() || s.GetVersion() != 3 {
		t.Errorf("resumed: %v", s)
	}
	s = do(func() (*breakwaterv1.Site, error) {
		return w.sites.SuspendSite(w.as("SuspendSite"), &breakwaterv1.SuspendSiteRequest{Name: name, Reason: "phishing"})
	})
	if s.GetState() != breakwaterv1.Site_SUSPENDED || s.GetStateReason() != "phishing" || !w.domain("shop.example").GetSuspended() {
		t.Errorf("suspended: %v, %v", s, w.domain("shop.example"))
	}
	_, err = w.sites.DeleteSite(w.as("DeleteSite"), &breakwaterv1.DeleteSiteRequest{Name: name})
	wantReason(t, err, codes.FailedPrecondition, rpcerr.ReasonInvalidState, "")
	s = do(func() (*breakwaterv1.Site, error) {
		return w.sites.UnsuspendSite(w.as("UnsuspendSite"), &breakwaterv1.UnsuspendSiteRequest{Name: name})
	})
	if s.GetState() != breakwaterv1.Site_PENDING || s.GetActivationCheck().GetNextCheckTime() == nil || w.domain("shop.example").GetSuspended() {
		t.Errorf("unsuspended: %v, %v", s, w.domain("shop.example"))
	}
	s = do(func() (*breakwaterv1.Site, error) {
		return w.sites.DeleteSite(w.as("DeleteSite"), &breakwaterv1.DeleteSiteRequest{Name: name})
	})
	if s.GetState() != breakwaterv1.Site_DELETED || s.GetPurgeTime().AsTime().Sub(w.clock.Now()) != 7*24*time.Hour {
		t.Errorf("deleted: %v", s)
	}
	_, err = w.set.UpdateSettings(w.as("UpdateSettings"), &breakwaterv1.UpdateSettingsRequest{
		Settings: &breakwaterv1.Settings{Name: name + "/settings", HttpsRedirect: true},
	})
	wantReason(t, err, codes.FailedPrecondition, rpcerr.ReasonInvalidState, "")
	_, err = w.sites.CreateSite(w.as("CreateSite"), &breakwaterv1.CreateSiteRequest{
		Parent: "accounts/acme", Site: &breakwaterv1.Site{Domain: "shop.example"},
	})
	if e := wantReason(t, err, codes.AlreadyExists, rpcerr.ReasonAlreadyExists, ""); e.Metadata["deleted"] != "true" {
		t.Errorf("does not say that it is deleted: %v", e)
	}
	s = do(func() (*breakwaterv1.Site, error) {
		return w.sites.UndeleteSite(w.as("UndeleteSite"), &breakwaterv1.UndeleteSiteRequest{Name: name})
	})
	if s.GetState() != breakwaterv1.Site_PENDING || s.GetDeleteTime() != nil || s.GetPurgeTime() != nil {
		t.Errorf("undeleted: %v", s)
	}
	if s.GetVersion() != 7 {
		t.Errorf("version %d after six changes", s.GetVersion())
	}
}

func TestUpdateSite(t *testing.T) {
	w := newSiteWorld(t)
	s := w.create("acme", "shop.example")
	update := func(in *breakwaterv1.Site, paths ...string) (*breakwaterv1.Site, error) {
		in.Name = s.GetName()
		req := &breakwaterv1.UpdateSiteRequest{Site: in}
		if paths != nil {
			req.UpdateMask = &fieldmaskpb.FieldMask{Paths: paths}
		}
		return w.sites.UpdateSite(w.as("UpdateSite"), req)
	}
	got, err := update(&breakwaterv1.Site{Labels: map[string]string{"team": "web"}})
	if err != nil {
		t.Fatal(err)
	}
	if got.GetVersion() != 1 || got.GetLabels()["team"] != "web" || got.GetOrigin().GetAddress() != "192.0.2.10" {
		t.Errorf("labels: %v", got)
	}
	if got.GetEtag() == s.GetEtag() {
		t.Error("the etag did not change")
	}
	got, err = update(&breakwaterv1.Site{Origin: &breakwaterv1.Origin{Address: "o.example"}}, "origin.address")
	if err != nil {
		t.Fatal(err)
	}
	if got.GetVersion() != 2 || got.GetOrigin().GetAddress() != "o.example" || got.GetOrigin().GetPort() != 443 {
		t.Errorf("origin: %v", got)
	}
	rec := w.record("acme", "shop.example")
	if r := rec.GetRecentVersions(); len(r) != 1 || r[0].GetVersion() != 1 || rec.GetVersionRevision() != 0 {
		t.Errorf("the revision of version 1 is lost: %v", rec)
	} else if r[0].GetRevision() >= w.revision("acme", "shop.example") {
		t.Errorf("version 1 is said to be stored at %d", r[0].GetRevision())
	}
	_, err = update(&breakwaterv1.Site{Domain: "other.example"}, "domain")
	wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "domain")
	_, err = update(&breakwaterv1.Site{Origin: &breakwaterv1.Origin{Address: "10.1.2.3"}})
	wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "origin.address")
	_, err = update(&breakwaterv1.Site{}, "nonsense")
	wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "updateMask")
	_, err = update(&breakwaterv1.Site{Etag: s.GetEtag(), Labels: map[string]string{"a": "b"}})
	wantReason(t, err, codes.Aborted, rpcerr.ReasonEtagMismatch, "")
}

// TestOriginPortFollowsScheme: a port that nobody chose is that of the new scheme.
func TestOriginPortFollowsScheme(t *testing.T) {
	const plain, tls = breakwaterv1.Origin_HTTP, breakwaterv1.Origin_HTTPS
	for name, step := range map[string]struct {
		in   *breakwaterv1.Origin
		mask []string
		port int32
	}{
		"the scheme alone":         {&breakwaterv1.Origin{Scheme: plain}, nil, 80},
		"the scheme, by mask":      {&breakwaterv1.Origin{Scheme: plain}, []string{"origin.scheme"}, 80},
		"with the old default":     {&breakwaterv1.Origin{Scheme: plain, Port: 443}, nil, 443},
		"the old default, by mask": {&breakwaterv1.Origin{Scheme: plain, Port: 443}, []string{"origin.scheme", "origin.port"}, 443},
		"no port, by mask":         {&breakwaterv1.Origin{Scheme: plain}, []string{"origin.scheme", "origin.port"}, 80},
		"another port":             {&breakwaterv1.Origin{Scheme: plain, Port: 8443}, nil, 8443},
		"the origin whole":         {&breakwaterv1.Origin{Address: "203.0.113.7", Scheme: plain, Port: 443}, []string{"origin"}, 443},
		"the same scheme":          {&breakwaterv1.Origin{Scheme: tls}, nil, 443},
	} {
		w := newSiteWorld(t)
		site := w.create("acme", "shop.example").GetName()
		req := &breakwaterv1.UpdateSiteRequest{Site: &breakwaterv1.Site{Name: site, Origin: step.in}}
		if step.mask != nil {
			req.UpdateMask = &fieldmaskpb.FieldMask{Paths: step.mask}
		}
		got, err := w.sites.UpdateSite(w.as("UpdateSite"), req)
		if err != nil || got.GetOrigin().GetPort() != step.port || got.GetOrigin().GetScheme() != step.in.GetScheme() {
			t.Errorf("%s: %v, %v", name, got.GetOrigin(), err)
		}
	}
	// A port that was chosen stays.
	w := newSiteWorld(t)
	site := w.create("acme", "chosen.example").GetName()
	for _, step := range []struct {
		in   *breakwaterv1.Origin
		port int32
	}{{&breakwaterv1.Origin{Port: 8080}, 8080}, {&breakwaterv1.Origin{Scheme: plain}, 8080}, {&breakwaterv1.Origin{Port: 80}, 80}, {&breakwaterv1.Origin{Scheme: tls}, 443}} {
		got, err := w.sites.UpdateSite(w.as("UpdateSite"), &breakwaterv1.UpdateSiteRequest{Site: &breakwaterv1.Site{Name: site, Origin: step.in}})
		if err != nil || got.GetOrigin().GetPort() != step.port {
			t.Errorf("after %v: %v, %v", step.in, got.GetOrigin(), err)
		}
	}
}

func TestCreateSiteIdempotent(t *testing.T) {
	w := newSiteWorld(t)
	req := &breakwaterv1.CreateSiteRequest{Parent: "accounts/acme", Site: &breakwaterv1.Site{Domain: "shop.example"}}
	first, err := w.sites.CreateSite(w.keyed("CreateSite", "k1", req), req)
	if err != nil {
		t.Fatal(err)
	}
	second, err := w.sites.CreateSite(w.keyed("CreateSite", "k1", req), req)
	if err != nil || !proto.Equal(first, second) {
		t.Fatalf("the repeat got %v, %v", second, err)
	}
}

func TestConcurrentUpdates(t *testing.T) {
	w := newSiteWorld(t)
	name := w.create("acme", "shop.example").GetName()
	const n = 8
	errs := make(chan error, n)
	for i := range n {
		go func() {
			_, err := w.set.UpdateSettings(w.as("UpdateSettings"), &breakwaterv1.UpdateSettingsRequest{
				Settings: &breakwaterv1.Settings{Name: name + "/settings", EdgeTtlSeconds: int32(i + 1)},
			})
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if v := w.get(name).GetVersion(); v != n+1 {
		t.Errorf("%d updates made version %d", n, v)
	}
	for v := int64(1); v <= n+1; v++ {
		if _, err := w.store.Get(t.Context(), resource.ForAccount("acme").Version("shop.example", v)); err != nil {
			t.Errorf("version %d: %v", v, err)
		}
	}

	// With an etag exactly one of them wins.
	etag := w.settings(name).GetEtag()
	for i := range n {
		go func() {
			_, err := w.set.UpdateSettings(w.as("UpdateSettings"), &breakwaterv1.UpdateSettingsRequest{
				Settings: &breakwaterv1.Settings{Name: name + "/settings", Etag: etag, BrowserTtlSeconds: int32(i + 1)},
			})
			errs <- err
		}()
	}
	won := 0
	for range n {
		if err := <-errs; err == nil {
			won++
		} else {
			wantReason(t, err, codes.Aborted, rpcerr.ReasonEtagMismatch, "")
		}
	}
	if won != 1 {
		t.Errorf("%d of them won", won)
	}
}
