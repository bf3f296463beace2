package service

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

// SiteFeed gives views and what changes after them. A [watchcache.Cache] is one.
type SiteFeed interface {
	Read(ctx context.Context) (watchcache.View, error)
	Subscribe(ctx context.Context, prefix string, after int64) *watchcache.Subscription
	SubscribeFrom(ctx context.Context, prefix string, view watchcache.View) *watchcache.Subscription
}

// siteCursor says what of a stream was delivered: everything up to After of the listing
// that began at Revision and, without After, every change up to Revision. What follows the
// cursor is delivered at least once.
type siteCursor struct {
	Account  string `json:"a"`
	Revision int64  `json:"r"`
	After    string `json:"k,omitempty"`
	// Listing says that the listing is not done.
	Listing bool `json:"l,omitempty"`
}

func (c siteCursor) String() string {
	b, err := json.Marshal(c)
	if err != nil {
		return "" // A struct of texts and numbers always has a form.
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseSiteCursor(s, account string) (siteCursor, error) {
	var c siteCursor
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil || c.Account != account || c.Revision <= 0 {
		return c, rpcerr.InvalidField("cursor", "cursor", "is not a cursor of this account's sites")
	}
	return c, nil
}

var errCursorExpired = rpcerr.Failed(codes.InvalidArgument, rpcerr.ReasonCursorExpired,
	"what changed since is no longer kept: begin without a cursor")

// siteWatch is one running WatchSites.
type siteWatch struct {
	service *Sites
	parent  resource.Name
	// visible holds for the whole stream: the interceptors end it when it no longer would.
	visible func(domain string) bool
	send    func(*breakwaterv1.SiteEvent) error
}

// WatchSites implements SiteService. Events are delivered at least once and in order; a
// consumer that is too slow ends with CURSOR_EXPIRED.
func (s *Sites) WatchSites(req *breakwaterv1.WatchSitesRequest, stream grpc.ServerStreamingServer[breakwaterv1.SiteEvent]) error {
	parent, err := siteParent(req.GetParent())
	if err != nil {
		return err
	}
	if s.cfg.Feed == nil {
		return rpcerr.Failed(codes.Unimplemented, rpcerr.ReasonUnimplemented, "this server has no feed of changes")
	}
	ctx := stream.Context()
	w := siteWatch{
		service: s, parent: parent, send: stream.Send,
		visible: authz.VisibleSites(call.From(ctx).Principal, parent.Account),
	}
	view, err := s.cfg.Feed.Read(ctx)
	if err != nil {
		return err
	}
	if err := accountMustExist(view, parent); err != nil {
		return err
	}
	if req.GetCursor() == "" {
		return w.run(ctx, view, siteCursor{Account: parent.Account, Revision: view.Revision(), Listing: true})
	}
	cursor, err := parseSiteCursor(req.GetCursor(), parent.Account)
	if err != nil {
		return err
	}
	if cursor.Revision > view.Revision() {
		return errCursorExpired // The store went back, as to a backup.
	}
	return w.run(ctx, view, cursor)
}

func (w siteWatch) run(ctx context.Context, view watchcache.View, at siteCursor) error {
	prefix := w.parent.Tenant().Sites()
	// Changes are followed from the cursor, not from the view: a listing that goes on after
	// a break has missed what changed before its place.
	var sub *watchcache.Subscription
	if at.Revision == view.Revision() {
		sub = w.service.cfg.Feed.SubscribeFrom(ctx, prefix, view)
	} else {
		sub = w.service.cfg.Feed.Subscribe(ctx, prefix, at.Revision)
	}
	if at.Listing {
		if err := w.list(view, prefix, at); err != nil {
			return err
		}
		at.Listing, at.After = false, ""
	} else if err := w.drain(ctx, sub, prefix, &at, view.Revision()); err != nil {
		return err
	}
	if err := w.send(&breakwaterv1.SiteEvent{Type: breakwaterv1.SiteEvent_CURRENT, Cursor: at.String()}); err != nil {
		return err
	}
	for {
		batch, err := sub.Next(ctx)
		if err != nil {
			return siteWatchError(ctx, err)
		}
		if err := w.deliver(batch, prefix, &at); err != nil {
			return err
		}
	}
}

// list sends what there is.
func (w siteWatch) list(view watchcache.View, prefix string, at siteCursor) error {
	var failed error
	err := siteScan(view, prefix, at.After, func(domain string, rec *storev1.SiteRecord, revision int64) bool {
		if !w.visible(domain) {
			return true
		}
		at.After = domain
		failed = w.send(&breakwaterv1.SiteEvent{
			Type: breakwaterv1.SiteEvent_EXISTING, Site: w.service.cfg.siteShown(rec, revision), Cursor: at.String(),
		})
		return failed == nil
	})
	return errors.Join(err, failed)
}

// drain sends what changed since the cursor and up to a revision that the cache has.
func (w siteWatch) drain(ctx context.Context, sub *watchcache.Subscription, prefix string, at *siteCursor, upTo int64) error {
	ended, cancel := context.WithCancel(ctx)
	cancel() // Next then returns what is there and does not wait.
	for sub.Revision() < upTo {
		batch, err := sub.Next(ended)
		if errors.Is(err, context.Canceled) && sub.Revision() < upTo {
			// Events reach subscribers a moment after they reach views.
			select {
			case <-sub.Wait():
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return siteWatchError(ctx, err)
		}
		if err := w.deliver(batch, prefix, at); err != nil {
			return err
		}
	}
	return nil
}

// deliver sends the events of a batch. Only the last event of a revision moves the cursor
// to it, so that a break within one loses nothing.
func (w siteWatch) deliver(batch registry.Batch, prefix string, at *siteCursor) error {
	for i, ev := range batch.Events {
		if i+1 == len(batch.Events) || batch.Events[i+1].ModRevision != ev.ModRevision {
			at.Revision = ev.ModRevision
		}
		domain := strings.TrimPrefix(ev.Key, prefix)
		if !w.visible(domain) {
			continue
		}
		event, err := w.event(ev, domain)
		if err != nil {
			return err
		}
		event.Cursor = at.String()
		if err := w.send(event); err != nil {
			return err
		}
	}
	return nil
}

func (w siteWatch) event(ev registry.Event, domain string) (*breakwaterv1.SiteEvent, error) {
	if ev.Deleted {
		return &breakwaterv1.SiteEvent{
			Type: breakwaterv1.SiteEvent_PURGED,
			Site: &breakwaterv1.Site{Name: resource.SiteName(w.parent.Account, domain)},
		}, nil
	}
	rec := &storev1.SiteRecord{}
	if err := proto.Unmarshal(ev.Value, rec); err != nil {
		return nil, err
	}
	return &breakwaterv1.SiteEvent{
		Type: breakwaterv1.SiteEvent_CHANGED, Site: w.service.cfg.siteShown(rec, ev.ModRevision),
	}, nil
}

func siteWatchError(ctx context.Context, err error) error {
	if _, lagged := errors.AsType[*watchcache.LaggedError](err); lagged {
		return errCursorExpired
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
