package server_test

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
)

// A stream ends when the token that opened it is revoked, by either door.
func TestStreamsEndWithTheirToken(t *testing.T) {
	cp := controlplanetest.Start(t, controlplanetest.SmallFleet(t, 3))
	acme := cp.Account("acme")
	made := acme.OK(http.MethodPost, "/v1/accounts/acme/tokens", `{"displayName": "watcher", "permissions": ["sites.*"]}`)
	ctx, cancel := context.WithTimeout(t.Context(), controlplanetest.Patience)
	defer cancel()

	viaGRPC, err := breakwaterv1.NewSiteServiceClient(cp.As(made.Text("secret"))).WatchSites(ctx,
		&breakwaterv1.WatchSitesRequest{Parent: "accounts/acme"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := viaGRPC.Recv(); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+cp.Server.HTTPAddr()+"/v1/accounts/acme/sites:watch", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+made.Text("secret"))
	viaREST, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = viaREST.Body.Close() }()
	lines := bufio.NewScanner(viaREST.Body)
	if !lines.Scan() || !strings.Contains(lines.Text(), "CURRENT") {
		t.Fatalf("the feed begins with %q", lines.Text())
	}

	acme.OK(http.MethodDelete, "/v1/"+made.Text("token.name"), "")
	if _, err := viaGRPC.Recv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("by gRPC the stream ends with %v", err)
	}
	if !lines.Scan() || !strings.Contains(lines.Text(), `"error"`) || !strings.Contains(lines.Text(), "UNAUTHENTICATED") || lines.Scan() {
		t.Errorf("by REST the stream ends with %q", lines.Text())
	}
}
