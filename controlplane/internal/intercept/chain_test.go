package intercept_test

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/intercept"
)

func TestStepsInOrder(t *testing.T) {
	f := serve(t, nil)
	valid := &breakwaterv1.GetAccountRequest{Name: "accounts/acme"}
	invalid := &breakwaterv1.CreateAccountRequest{AccountId: "!", OwnerEmail: "x"}
	for _, tc := range []struct {
		name string
		call func(ctx context.Context) error
		as   string
		code codes.Code
	}{
		{"no credential", func(ctx context.Context) error { _, err := f.accounts().GetAccount(ctx, valid); return err }, "", codes.Unauthenticated},
		{"bad credential", func(ctx context.Context) error { _, err := f.accounts().GetAccount(ctx, valid); return err }, "who", codes.Unauthenticated},
		{"no credential comes before validity", func(ctx context.Context) error { _, err := f.accounts().CreateAccount(ctx, invalid); return err }, "", codes.Unauthenticated},
		{"permission comes before validity", func(ctx context.Context) error {
			_, err := f.accounts().UpdateAccount(ctx, &breakwaterv1.UpdateAccountRequest{Account: &breakwaterv1.Account{
				Name: "accounts/acme", DisplayName: strings.Repeat("x", 101),
			}})
			return err
		}, "reader", codes.PermissionDenied},
		{"validity", func(ctx context.Context) error { _, err := f.accounts().CreateAccount(ctx, invalid); return err }, "op", codes.InvalidArgument},
		{"the handler", func(ctx context.Context) error { _, err := f.accounts().GetAccount(ctx, valid); return err }, "reader", codes.OK},
		{"what nobody built", func(ctx context.Context) error {
			_, err := f.accounts().DeleteAccount(ctx, &breakwaterv1.DeleteAccountRequest{Name: "accounts/acme"})
			return err
		}, "op", codes.Unimplemented},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.call(as(t, tc.as))
			if status.Code(err) != tc.code {
				t.Errorf("%v, want %v", err, tc.code)
			}
			if err != nil && reason(err) == "" {
				t.Errorf("%v has no reason", err)
			}
		})
	}
}

func TestPublicMeansPublic(t *testing.T) {
	f := serve(t, nil)
	for _, bearer := range []string{"", "who", "op"} {
		_, err := breakwaterv1.NewPlanServiceClient(f.conn).ListPlans(as(t, bearer), &breakwaterv1.ListPlansRequest{})
		if err != nil {
			t.Errorf("with %q: %v", bearer, err)
		}
	}
}

func TestCallInfo(t *testing.T) {
	f := serve(t, nil)
	var header metadata.MD
	_, err := f.accounts().CreateAccount(as(t, "op", "x-request-id", "r-1", "idempotency-key", "k",
		"if-match", `"tag"`, "breakwater-validate-only", "true", "breakwater-on-behalf-of", "m@x.test",
		call.MetadataPeer, "192.0.2.7:1234"),
		&breakwaterv1.CreateAccountRequest{OwnerEmail: "o@x.test"}, grpc.Header(&header))
	if err != nil {
		t.Fatal(err)
	}
	i := f.info
	if i.RequestID != "r-1" || header.Get("x-request-id")[0] != "r-1" {
		t.Errorf("request ID %q, header %v", i.RequestID, header)
	}
	if i.IdempotencyKey != "k" || i.IfMatch != "tag" || !i.ValidateOnly || i.Peer != netip.MustParseAddr("192.0.2.7") ||
		i.Principal.ID != "operator" || i.Principal.OnBehalfOf != "m@x.test" || i.Method() != "CreateAccount" {
		t.Errorf("info %+v", i)
	}
}

func TestDigestIgnoresOptions(t *testing.T) {
	f := serve(t, nil)
	digest := func(req *breakwaterv1.CreateAccountRequest) [32]byte {
		t.Helper()
		if _, err := f.accounts().CreateAccount(as(t, "op"), req); err != nil {
			t.Fatal(err)
		}
		return f.info.RequestDigest
	}
	one := digest(&breakwaterv1.CreateAccountRequest{OwnerEmail: "o@x.test", RequestId: "a"})
	if one == ([32]byte{}) {
		t.Error("no digest")
	}
	if two := digest(&breakwaterv1.CreateAccountRequest{OwnerEmail: "o@x.test", RequestId: "b", ValidateOnly: true}); one != two {
		t.Error("options change the digest")
	}
	if other := digest(&breakwaterv1.CreateAccountRequest{OwnerEmail: "p@x.test", RequestId: "a"}); one == other {
		t.Error("another request has the same digest")
	}
}

func TestBadOptions(t *testing.T) {
	f := serve(t, nil)
	for name, tc := range map[string]struct {
		field string
		pairs []string
	}{
		"too long":               {"", []string{"idempotency-key", strings.Repeat("k", 256)}},
		"not printable":          {"a\u00e9", nil},
		"field against header":   {"a", []string{"idempotency-key", "b"}},
		"validateOnly is a word": {"", []string{"breakwater-validate-only", "perhaps"}},
	} {
		_, err := f.accounts().CreateAccount(as(t, "op", tc.pairs...),
			&breakwaterv1.CreateAccountRequest{OwnerEmail: "o@x.test", RequestId: tc.field})
		if reason(err) != "INVALID_FIELD" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRequestIDsAreMadeOrHarmless(t *testing.T) {
	f := serve(t, nil)
	for given, want := range map[string]string{
		"":                       "made",
		"abc-1.2_3:4":            "abc-1.2_3:4",
		"a b":                    "made",
		"a\"b":                   "made",
		"trace/1+2=":             "trace/1+2=",
		strings.Repeat("x", 129): "made",
		strings.Repeat("x", 128): strings.Repeat("x", 128),
		"level=ERROR x":          "made",
	} {
		var pairs []string
		if given != "" {
			pairs = []string{"x-request-id", given}
		}
		if _, err := f.accounts().GetAccount(as(t, "op", pairs...), &breakwaterv1.GetAccountRequest{Name: "accounts/acme"}); err != nil {
			t.Fatal(err)
		}
		if f.info.RequestID != want {
			t.Errorf("%q became %q", given, f.info.RequestID)
		}
	}
}

func TestPanicIsAnError(t *testing.T) {
	f := serve(t, nil)
	f.panics = true
	_, err := f.accounts().GetAccount(as(t, "op"), &breakwaterv1.GetAccountRequest{Name: "accounts/acme"})
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "bug") {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(f.log.String(), "a bug") || !strings.Contains(f.log.String(), "goroutine ") {
		t.Errorf("log %s", f.log)
	}
}

func TestCauseIsLoggedNotTold(t *testing.T) {
	f := serve(t, nil)
	f.answer = errors.New("inner detail")
	_, err := f.accounts().GetAccount(as(t, "acme"), &breakwaterv1.GetAccountRequest{Name: "accounts/acme"})
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "inner") {
		t.Errorf("error %v", err)
	}
	log := f.log.String()
	for _, want := range []string{"inner detail", "request_id=made", "principal=accounts/acme/tokens/t", "level=ERROR"} {
		if !strings.Contains(log, want) {
			t.Errorf("log lacks %q: %s", want, log)
		}
	}
	if strings.Contains(log, "Bearer") {
		t.Errorf("log has the credential: %s", log)
	}
}

func TestStream(t *testing.T) {
	f := serve(t, nil)
	client := breakwaterv1.NewAuditServiceClient(f.conn)
	export := func(as context.Context, parent string) error {
		s, err := client.ExportAuditEvents(as, &breakwaterv1.ExportAuditEventsRequest{Parent: parent})
		if err != nil {
			return err
		}
		for {
			if _, err := s.Recv(); err != nil {
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
		}
	}
	if err := export(as(t, "acme", "x-request-id", "r"), "accounts/acme"); err != nil || f.info.RequestID != "r" || f.info.Principal.ID == "" {
		t.Errorf("%v, info %+v", err, f.info)
	}
	for name, tc := range map[string]struct {
		as, parent string
		code       codes.Code
	}{
		"no credential":  {"", "accounts/acme", codes.Unauthenticated},
		"other tenant":   {"acme", "accounts/beta", codes.PermissionDenied},
		"no permission":  {"reader", "accounts/acme", codes.PermissionDenied},
		"malformed name": {"op", "acme", codes.InvalidArgument},
	} {
		if err := export(as(t, tc.as), tc.parent); status.Code(err) != tc.code || reason(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEdge(t *testing.T) {
	report := func(f *fixture) error {
		s, err := edgev1.NewEdgeServiceClient(f.conn).Report(as(t, "op"))
		if err != nil {
			return err
		}
		_, err = s.Recv()
		return err
	}
	if err := report(serve(t, nil)); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a certificate: %v", err)
	}
	f := serve(t, func(c *intercept.Config) {
		c.Edge = func(context.Context) (authn.Principal, error) { return authn.EdgeServer("SJC", "sjc-1"), nil }
	})
	if err := report(f); !errors.Is(err, io.EOF) || f.info.Principal.DataCenter != "SJC" {
		t.Errorf("%v, info %+v", err, f.info)
	}
}

func TestBearer(t *testing.T) {
	for header, want := range map[string]string{
		"Bearer bwt_a": "bwt_a", "bearer bwt_a": "bwt_a", "BEARER  bwt_a ": "bwt_a",
		"": "", "bwt_a": "bwt_a", "Basic YTpi": "unsupported",
	} {
		if got := intercept.Bearer(header); got != want {
			t.Errorf("%q is %q, want %q", header, got, want)
		}
	}
}
