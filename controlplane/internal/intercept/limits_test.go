package intercept_test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/intercept"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ratelimit"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

func limited(perTenant int) func(*intercept.Config) {
	return func(c *intercept.Config) {
		c.Limiter = ratelimit.NewLimiter(ratelimit.Config{
			Clock: c.Clock, Window: time.Minute, Limit: func(string) int { return perTenant },
		})
	}
}

func TestRateLimit(t *testing.T) {
	f := serve(t, limited(1))
	get := func(bearer, account string) (metadata.MD, error) {
		var header metadata.MD
		_, err := f.accounts().GetAccount(as(t, bearer), &breakwaterv1.GetAccountRequest{Name: "accounts/" + account}, grpc.Header(&header))
		return header, err
	}
	header, err := get("acme", "acme")
	if err != nil || header.Get("ratelimit-limit")[0] != "1" || header.Get("ratelimit-remaining")[0] != "0" || header.Get("ratelimit-reset")[0] != "60" {
		t.Errorf("%v, header %v", err, header)
	}
	header, err = get("reader", "acme")
	if reason(err) != "RATE_LIMITED" || status.Code(err) != codes.ResourceExhausted || header.Get("retry-after")[0] != "60" {
		t.Errorf("the account's other token: %v, header %v", err, header)
	}
	if _, err := get("person", "acme"); reason(err) != "RATE_LIMITED" {
		t.Errorf("a member of the account: %v", err)
	}
	if _, err := get("person", "beta"); err != nil {
		t.Errorf("a member in another account: %v", err)
	}
	if _, err := get("person", "gamma"); reason(err) != "PERMISSION_DENIED" {
		t.Errorf("a person in an account that is not theirs pays themselves: %v", err)
	}
	for range 3 {
		if _, err := get("op", "acme"); err != nil {
			t.Errorf("the operator: %v", err)
		}
	}
	if _, err := get("who", "acme"); reason(err) != "UNAUTHENTICATED" {
		t.Errorf("the first guess: %v", err)
	}
	if _, err := get("who", "acme"); reason(err) != "RATE_LIMITED" {
		t.Errorf("the second guess: %v", err)
	}
}

// An account may be called as the operator is.
func TestOperatorsHaveATenantOfTheirOwn(t *testing.T) {
	var tenants []string
	f := serve(t, func(c *intercept.Config) {
		c.LimitOperators = true
		c.Authenticator = people{
			"op": known["op"], "ann": {Kind: authn.Operator, ID: "operator:ann"},
			"tenant": {Kind: authn.Token, ID: "accounts/operator/tokens/t", Grants: []authn.Grant{{Account: "operator", Permissions: []string{"*"}}}},
		}
		c.Limiter = ratelimit.NewLimiter(ratelimit.Config{Clock: c.Clock, Limit: func(tenant string) int {
			tenants = append(tenants, tenant)
			return 1
		}})
	})
	for _, bearer := range []string{"tenant", "op", "ann"} {
		if _, err := f.accounts().GetAccount(as(t, bearer), &breakwaterv1.GetAccountRequest{Name: "accounts/operator"}); err != nil {
			t.Errorf("%s: %v", bearer, err)
		}
	}
	if got := strings.Join(tenants, " "); got != "operator operator: operator:ann" {
		t.Errorf("tenants %q", got)
	}
}

type closedGate struct{}

func (closedGate) Enter(context.Context, string) (func(), error) { return nil, ratelimit.ErrBusy }

func TestBusyGate(t *testing.T) {
	f := serve(t, func(c *intercept.Config) { c.Gate = closedGate{} })
	_, err := f.accounts().GetAccount(as(t, "acme"), &breakwaterv1.GetAccountRequest{Name: "accounts/acme"})
	if reason(err) != "RATE_LIMITED" {
		t.Errorf("error %v", err)
	}
}

// What the gateway asks before it reads a request is what the call itself would be told.
func TestAdmit(t *testing.T) {
	chain := newChain(t, nil)
	for _, tc := range []struct {
		method, name, bearer, reason string
	}{
		{"AccountService/GetAccount", "accounts/acme", "", "UNAUTHENTICATED"},
		{"AccountService/GetAccount", "accounts/acme", "who", "UNAUTHENTICATED"},
		{"AccountService/GetAccount", "accounts/acme", "acme", ""},
		{"AccountService/GetAccount", "accounts/beta", "acme", "PERMISSION_DENIED"},
		{"AccountService/UpdateAccount", "accounts/acme", "reader", "PERMISSION_DENIED"},
		{"AccountService/GetAccount", "accounts/acme", "op", ""},
		{"AccountService/GetAccount", "accounts/!", "acme", ""}, // which the call itself refuses
		{"AccountService/ListAccounts", "", "acme", ""},
		{"AuditService/ExportAuditEvents", "accounts/beta", "acme", "PERMISSION_DENIED"},
		{"PlanService/ListPlans", "", "", ""},
		{"PlanService/ListPlans", "", "who", ""},
	} {
		a, err := chain.Admit(t.Context(), "/breakwater.v1."+tc.method, tc.name, bearer(tc.bearer), netip.Addr{})
		got := ""
		if err != nil {
			got = reason(rpcerr.Status(err).Err())
		}
		if got != tc.reason || a == nil {
			t.Errorf("%s of %s as %q: %v", tc.method, tc.name, tc.bearer, err)
		}
	}
}

func bearer(credential string) metadata.MD {
	if credential == "" {
		return nil
	}
	return metadata.Pairs(call.MetadataAuthorization, "Bearer "+credential)
}

// A call that comes through the gateway is counted there, and once, whatever becomes of its
// request; guesses are counted too.
func TestAdmittedCallsCountOnce(t *testing.T) {
	var f *fixture
	chain := newChain(t, func(c *intercept.Config) {
		limited(3)(c)
		f = serve(t, func(served *intercept.Config) { served.Limiter = c.Limiter })
	})
	get := "/breakwater.v1.AccountService/GetAccount"
	for left := 2; left >= 0; left-- {
		a, err := chain.Admit(t.Context(), get, "accounts/acme", bearer("acme"), netip.Addr{})
		if err != nil || a.Header.Get(call.MetadataRateRemaining)[0] != strconv.Itoa(left) {
			t.Fatalf("%v, header %v", err, a.Header)
		}
		var header metadata.MD
		_, err = f.accounts().GetAccount(as(t, "acme", call.MetadataAdmitted, "true"),
			&breakwaterv1.GetAccountRequest{Name: "accounts/acme"}, grpc.Header(&header))
		if err != nil || len(header.Get(call.MetadataRateLimit)) != 0 {
			t.Errorf("what was admitted: %v, header %v", err, header)
		}
	}
	a, err := chain.Admit(t.Context(), get, "accounts/acme", bearer("person"), netip.Addr{})
	if reason(rpcerr.Status(err).Err()) != "RATE_LIMITED" || len(a.Header.Get(call.MetadataRetryAfter)) != 1 {
		t.Errorf("above the limit: %v, header %v", err, a.Header)
	}
	guesser := netip.MustParseAddr("192.0.2.9")
	for n := range 4 {
		_, err := chain.Admit(t.Context(), get, "accounts/acme", bearer("who"), guesser)
		want := "UNAUTHENTICATED"
		if n == 3 {
			want = "RATE_LIMITED"
		}
		if got := reason(rpcerr.Status(err).Err()); got != want {
			t.Errorf("guess %d: %v", n, err)
		}
	}
}

func TestAdmissionEntersItsGate(t *testing.T) {
	calls, streams := &countingGate{}, &countingGate{}
	chain := newChain(t, func(c *intercept.Config) { c.Gate, c.Streams = calls, streams })
	for method, gate := range map[string]*countingGate{"AccountService/GetAccount": calls, "AuditService/ExportAuditEvents": streams} {
		a, err := chain.Admit(t.Context(), "/breakwater.v1."+method, "accounts/acme", bearer("acme"), netip.Addr{})
		if err != nil || gate.entered != "" {
			t.Fatalf("%s: %v, entered %q before its time", method, err, gate.entered)
		}
		if _, err := a.Enter(t.Context(), 0); err != nil || gate.entered != "acme" {
			t.Errorf("%s: %v, entered %q", method, err, gate.entered)
		}
	}
	chain = newChain(t, func(c *intercept.Config) { c.Gate = closedGate{} })
	a, err := chain.Admit(t.Context(), "/breakwater.v1.AccountService/GetAccount", "accounts/acme", bearer("acme"), netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Enter(t.Context(), 0); reason(rpcerr.Status(err).Err()) != "RATE_LIMITED" {
		t.Errorf("a gate without a place: %v", err)
	}
}

// Calls with large bodies pass a gate of their own, and give both places back.
func TestLargeBodiesHaveAGateOfTheirOwn(t *testing.T) {
	one := func() *ratelimit.Gate {
		return ratelimit.NewGate(ratelimit.GateConfig{Clock: clockwork.NewFakeClock()})
	}
	gate, large := one(), one()
	admit := func(small intercept.Gate) *intercept.Admission {
		chain := newChain(t, func(c *intercept.Config) { c.Gate, c.Large = small, large })
		a, err := chain.Admit(t.Context(), "/breakwater.v1.AccountService/GetAccount", "accounts/acme", bearer("acme"), netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for size, want := range map[int]int{1 << 10: 0, 1 << 20: 1} {
		leave, err := admit(gate).Enter(t.Context(), size)
		if err != nil {
			t.Fatal(err)
		}
		if running, _ := large.Load(); running != want {
			t.Errorf("%d bytes: %d large calls run", size, running)
		}
		leave()
		inGate, _ := gate.Load()
		if inLarge, _ := large.Load(); inGate != 0 || inLarge != 0 {
			t.Errorf("%d bytes: %d and %d places are not given back", size, inGate, inLarge)
		}
		if _, err := admit(closedGate{}).Enter(t.Context(), size); reason(rpcerr.Status(err).Err()) != "RATE_LIMITED" {
			t.Errorf("%d bytes without a place: %v", size, err)
		}
		if inLarge, _ := large.Load(); inLarge != 0 {
			t.Errorf("%d bytes without a place: %d large calls run", size, inLarge)
		}
	}
}

type countingGate struct{ entered string }

func (g *countingGate) Enter(_ context.Context, tenant string) (func(), error) {
	g.entered = tenant
	return func() {}, nil
}

func TestForwarded(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	for _, tc := range []struct {
		peer string
		xff  []string
		want string
	}{
		{"192.0.2.1", []string{"198.51.100.9"}, "192.0.2.1"},
		{"10.0.0.1", []string{"198.51.100.9"}, "198.51.100.9"},
		{"10.0.0.1", []string{"6.6.6.6, 198.51.100.9"}, "198.51.100.9"},
		{"10.0.0.1", []string{"6.6.6.6", "198.51.100.9, 10.0.0.2"}, "198.51.100.9"},
		{"10.0.0.1", nil, "10.0.0.1"},
		{"10.0.0.1", []string{"garbage"}, "10.0.0.1"},
		{"10.0.0.1", []string{"198.51.100.9, garbage"}, "10.0.0.1"},
		{"2001:db8::1", []string{"[2001:db9::7]:443"}, "2001:db9::7"},
		{"10.0.0.1", []string{"::ffff:198.51.100.9"}, "198.51.100.9"},
		{"10.0.0.1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
	} {
		if got := intercept.Forwarded(netip.MustParseAddr(tc.peer), tc.xff, trusted); got.String() != tc.want {
			t.Errorf("Forwarded(%s, %q) = %s, want %s", tc.peer, tc.xff, got, tc.want)
		}
	}
}

// TestPeerHeaderOverTheNetwork shows that only the in-memory connection may tell an address.
func TestPeerHeaderOverTheNetwork(t *testing.T) {
	f := serve(t, nil)
	_, err := f.accounts().GetAccount(as(t, "op", call.MetadataPeer, "192.0.2.7"), &breakwaterv1.GetAccountRequest{Name: "accounts/acme"})
	if err != nil || f.info.Peer.String() != "192.0.2.7" {
		t.Fatalf("in memory: %v, peer %s", err, f.info.Peer)
	}
	table, err := authz.NewTable(breakwaterv1.File_breakwater_v1_accounts_proto.Services().Get(0))
	if err != nil {
		t.Fatal(err)
	}
	chain := intercept.New(intercept.Config{
		Table: table, Authenticator: known, Clock: clockwork.NewFakeClock(), Logger: slog.New(slog.DiscardHandler),
		NewRequestID: func() string { return "made" }, Gate: closedGate{},
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(chain.Unary()))
	breakwaterv1.RegisterAccountServiceServer(server, f)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		<-done
	})
	_, err = breakwaterv1.NewAccountServiceClient(conn).GetAccount(as(t, "op", call.MetadataPeer, "192.0.2.7"),
		&breakwaterv1.GetAccountRequest{Name: "accounts/acme"})
	if err != nil || f.info.Peer.String() != "127.0.0.1" {
		t.Errorf("over TCP: %v, peer %s", err, f.info.Peer)
	}
	_, err = breakwaterv1.NewAccountServiceClient(conn).GetAccount(as(t, "acme", call.MetadataAdmitted, "true"),
		&breakwaterv1.GetAccountRequest{Name: "accounts/acme"})
	if reason(err) != "RATE_LIMITED" {
		t.Errorf("a call over TCP that says it was admitted: %v", err)
	}
}
