package intercept_test

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/intercept"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// changing is one person, who changes.
type changing struct {
	mu  sync.Mutex
	who authn.Principal
	err error
}

func (c *changing) Authenticate(context.Context, string, netip.Addr, string) (authn.Principal, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.who, c.err
}

func (c *changing) become(who authn.Principal, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.who, c.err = who, err
}

func member(permissions []string, sites ...string) authn.Principal {
	return authn.Principal{Kind: authn.Login, ID: "user:p@x.test", Grants: []authn.Grant{
		{Account: "acme", Permissions: permissions, Sites: sites},
	}}
}

// openStream opens a stream that goes on, and waits until it has begun.
func openStream(t *testing.T, f *fixture) grpc.ServerStreamingClient[breakwaterv1.AuditEvent] {
	t.Helper()
	s, err := breakwaterv1.NewAuditServiceClient(f.conn).ExportAuditEvents(as(t, "p"),
		&breakwaterv1.ExportAuditEventsRequest{Parent: "accounts/acme"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStreamEndsWithWhatItRestsOn(t *testing.T) {
	all := []string{"*"}
	for name, tc := range map[string]struct {
		who  authn.Principal
		err  error
		code codes.Code
	}{
		"revoked":            {authn.Principal{}, rpcerr.Unauthenticated("the credential is not valid"), codes.Unauthenticated},
		"demoted":            {member([]string{"accounts.get"}), nil, codes.PermissionDenied},
		"removed":            {authn.Principal{Kind: authn.Login, ID: "user:p@x.test"}, nil, codes.PermissionDenied},
		"limited to a site":  {member(all, "shop.test"), nil, codes.PermissionDenied}, // which the audit log is not told
		"no longer a person": {authn.Principal{}, nil, codes.Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			clock, caller := clockwork.NewFakeClock(), &changing{who: member(all)}
			f := serve(t, func(c *intercept.Config) { c.Clock, c.Authenticator = clock, caller })
			f.waits = true
			s := openStream(t, f)
			caller.become(tc.who, tc.err)
			if err := clock.BlockUntilContext(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			clock.Advance(time.Second)
			if _, err := s.Recv(); status.Code(err) != tc.code || reason(err) == "" {
				t.Errorf("ended with %v, want %v", err, tc.code)
			}
		})
	}
}

// A stream that shows some sites begins again when they are others.
func TestStreamBeginsAgainForOtherSites(t *testing.T) {
	clock, caller := clockwork.NewFakeClock(), &changing{who: member([]string{"*"}, "shop.test")}
	f := serve(t, func(c *intercept.Config) { c.Clock, c.Authenticator = clock, caller })
	f.waits = true
	s, err := breakwaterv1.NewSiteServiceClient(f.conn).WatchSites(as(t, "p"), &breakwaterv1.WatchSitesRequest{Parent: "accounts/acme"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	caller.become(member([]string{"*"}, "shop.test", "more.test"), nil)
	if err := clock.BlockUntilContext(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	clock.Advance(time.Second)
	if _, err := s.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("ended with %v", err)
	}
}

// A store that is away revokes nothing; when it is back, what was revoked counts.
func TestStreamOutlivesTheStore(t *testing.T) {
	clock, caller := clockwork.NewFakeClock(), &changing{who: member([]string{"*"})}
	asked := make(chan struct{}, 1)
	f := serve(t, func(c *intercept.Config) {
		c.Clock = clock
		c.Authenticator = askedOf{caller, asked}
	})
	f.waits = true
	s := openStream(t, f)
	<-asked // to begin it
	if err := clock.BlockUntilContext(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	caller.become(authn.Principal{}, rpcerr.Unavailable(time.Second, "the store is away"))
	clock.Advance(time.Second)
	<-asked
	caller.become(authn.Principal{}, rpcerr.Unauthenticated("the credential is not valid"))
	clock.Advance(time.Second)
	if _, err := s.Recv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("ended with %v", err)
	}
}

// askedOf says whenever it has answered.
type askedOf struct {
	*changing
	asked chan struct{}
}

func (a askedOf) Authenticate(ctx context.Context, bearer string, peer netip.Addr, onBehalfOf string) (authn.Principal, error) {
	defer func() {
		select {
		case a.asked <- struct{}{}:
		default:
		}
	}()
	return a.changing.Authenticate(ctx, bearer, peer, onBehalfOf)
}
