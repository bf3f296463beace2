package service

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

func TestListSites(t *testing.T) {
	w := newSiteWorld(t)
	for _, d := range []string{"b.example", "a.example", "d.example", "c.example"} {
		w.create("acme", d)
		w.clock.Advance(time.Second)
	}
	if _, err := w.sites.DeleteSite(w.as("DeleteSite"), &breakwaterv1.DeleteSiteRequest{Name: "accounts/acme/sites/d.example"}); err != nil {
		t.Fatal(err)
	}
	list := func(ctx context.Context, req *breakwaterv1.ListSitesRequest) (domains []string, token string) {
		t.Helper()
		req.Parent = "accounts/acme"
		out, err := w.sites.ListSites(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range out.GetSites() {
			domains = append(domains, s.GetDomain())
		}
		return domains, out.GetNextPageToken()
	}
	want := func(got []string, want ...string) {
		t.Helper()
		if len(got) != len(want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	}
	all := w.as("ListSites")
	first, token := list(all, &breakwaterv1.ListSitesRequest{PageSize: 2})
	want(first, "a.example", "b.example")
	rest, token := list(all, &breakwaterv1.ListSitesRequest{PageSize: 2, PageToken: token})
	want(rest, "c.example")
	if token != "" {
		t.Error("a token after the last page")
	}
	got, _ := list(all, &breakwaterv1.ListSitesRequest{ShowDeleted: true})
	want(got, "a.example", "b.example", "c.example", "d.example")
	got, _ = list(all, &breakwaterv1.ListSitesRequest{OrderBy: "createTime desc"})
	want(got, "c.example", "a.example", "b.example")
	got, _ = list(all, &breakwaterv1.ListSitesRequest{Filter: `domain = "c.example" OR domain = "a.example"`})
	want(got, "a.example", "c.example")
	got, _ = list(w.as("ListSites", "c.example", "d.example"), &breakwaterv1.ListSitesRequest{})
	want(got, "c.example")
	_, err := w.sites.ListSites(all, &breakwaterv1.ListSitesRequest{Parent: "accounts/acme", Filter: "nonsense = 1"})
	wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "filter")
}

// siteStream collects what a watch sends.
type siteStream struct {
	grpc.ServerStream
	ctx    context.Context
	events chan *breakwaterv1.SiteEvent
}

func (s *siteStream) Context() context.Context { return s.ctx }

func (s *siteStream) Send(e *breakwaterv1.SiteEvent) error {
	select {
	case s.events <- e:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// watch begins a stream; next reads one event, stop ends the stream and returns its error.
func (w *siteWorld) watch(ctx context.Context, cursor string) (next func() *breakwaterv1.SiteEvent, stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &siteStream{ctx: ctx, events: make(chan *breakwaterv1.SiteEvent)}
	done := make(chan error, 1)
	go func() { //nolint:contextcheck // A stream carries its context itself.
		done <- w.sites.WatchSites(&breakwaterv1.WatchSitesRequest{Parent: "accounts/acme", Cursor: cursor}, s)
	}()
	next = func() *breakwaterv1.SiteEvent {
		w.t.Helper()
		select {
		case e := <-s.events:
			return e
		case err := <-done:
			done <- err
			w.t.Fatalf("the stream ended: %v", err)
			return nil
		}
	}
	return next, func() error {
		cancel()
		return <-done
	}
}

// refusedWatch is the error of a stream that does not begin.
func (w *siteWorld) refusedWatch(cursor string) error {
	s := &siteStream{ctx: w.as("WatchSites"), events: make(chan *breakwaterv1.SiteEvent)}
	return w.sites.WatchSites(&breakwaterv1.WatchSitesRequest{Parent: "accounts/acme", Cursor: cursor}, s)
}

func TestSitesOfNoAccount(t *testing.T) {
	w := newSiteWorld(t)
	_, err := w.sites.ListSites(w.as("ListSites"), &breakwaterv1.ListSitesRequest{Parent: "accounts/nobody"})
	wantReason(t, err, codes.NotFound, rpcerr.ReasonNotFound, "")
}

func TestWatchSites(t *testing.T) {
	w := newSiteWorld(t)
	a := w.create("acme", "a.example").GetName()
	w.create("acme", "b.example")
	next, stop := w.watch(w.as("WatchSites"), "")
	expect := func(kind breakwaterv1.SiteEvent_Type, domain string) *breakwaterv1.SiteEvent {
		t.Helper()
		e := next()
		if e.GetType() != kind || e.GetSite().GetDomain() != domain || e.GetCursor() == "" {
			t.Fatalf("got %v of %q, want %v of %q", e.GetType(), e.GetSite().GetDomain(), kind, domain)
		}
		return e
	}
	half := expect(breakwaterv1.SiteEvent_EXISTING, "a.example")
	expect(breakwaterv1.SiteEvent_EXISTING, "b.example")
	expect(breakwaterv1.SiteEvent_CURRENT, "")
	pause := func(name string) {
		t.Helper()
		if _, err := w.sites.PauseSite(w.as("PauseSite"), &breakwaterv1.PauseSiteRequest{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	pause(a)
	seen := expect(breakwaterv1.SiteEvent_CHANGED, "a.example")
	if !seen.GetSite().GetPaused() {
		t.Errorf("the event has the old site: %v", seen.GetSite())
	}
	w.create("acme", "c.example")
	expect(breakwaterv1.SiteEvent_CHANGED, "c.example")
	_ = stop()

	// On from a cursor: what came after it.
	next, stop = w.watch(w.as("WatchSites"), seen.GetCursor())
	expect(breakwaterv1.SiteEvent_CHANGED, "c.example")
	expect(breakwaterv1.SiteEvent_CURRENT, "")
	rev, err := w.store.Commit(t.Context(), registry.Txn{Then: []registry.Op{registry.Delete(resource.ForAccount("acme").Site("b.example"))}})
	if err != nil || rev == 0 {
		t.Fatal(err)
	}
	if e := next(); e.GetType() != breakwaterv1.SiteEvent_PURGED || e.GetSite().GetName() != "accounts/acme/sites/b.example" {
		t.Errorf("purged: %v", e)
	}
	_ = stop()

	// On from the middle of the listing: the rest of it, and every change since it began.
	next, stop = w.watch(w.as("WatchSites"), half.GetCursor())
	expect(breakwaterv1.SiteEvent_EXISTING, "c.example")
	expect(breakwaterv1.SiteEvent_CURRENT, "")
	expect(breakwaterv1.SiteEvent_CHANGED, "a.example")
	_ = stop()

	// Only what one may see.
	next, stop = w.watch(w.as("WatchSites", "c.example"), "")
	expect(breakwaterv1.SiteEvent_EXISTING, "c.example")
	expect(breakwaterv1.SiteEvent_CURRENT, "")
	_ = stop()

	wantReason(t, w.refusedWatch("rubbish"), codes.InvalidArgument, rpcerr.ReasonInvalidField, "cursor")
	expired := siteCursor{Account: "acme", Revision: 1 << 40}
	wantReason(t, w.refusedWatch(expired.String()), codes.InvalidArgument, rpcerr.ReasonCursorExpired, "")
}
