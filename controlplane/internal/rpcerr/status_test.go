package rpcerr_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/domain"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// detail finds the status's detail of one type.
func detail[T any](s *status.Status) (T, bool) {
	for _, d := range s.Details() {
		if found, ok := d.(T); ok {
			return found, true
		}
	}
	var none T
	return none, false
}

func TestTable(t *testing.T) {
	_, nameErr := resource.ParseName("accounts/UP")
	_, domainErr := domain.Parse("*.example.com")
	validation := protovalidate.Validate(&breakwaterv1.CreateAccountRequest{AccountId: "A", OwnerEmail: "nobody"})
	for _, tc := range []struct {
		name   string
		err    error
		code   codes.Code
		reason rpcerr.Reason
		retry  bool
	}{
		{"typed", rpcerr.NotFound("accounts/acme"), codes.NotFound, rpcerr.ReasonNotFound, false},
		{"typed and wrapped", fmt.Errorf("service: %w", rpcerr.EtagMismatch("accounts/acme")), codes.Aborted, rpcerr.ReasonEtagMismatch, false},
		{"plan", rpcerr.PlanRequired("enabled", "pro", "x"), codes.FailedPrecondition, rpcerr.ReasonPlanRequired, false},
		{"quota", rpcerr.QuotaExceeded("dnsRecords", 10, "pro", "x"), codes.FailedPrecondition, rpcerr.ReasonQuotaExceeded, false},
		{"rate", rpcerr.RateLimited("accounts/acme", time.Second, "x"), codes.ResourceExhausted, rpcerr.ReasonRateLimited, true},
		{"store down", fmt.Errorf("x: %w", registry.ErrUnavailable), codes.Unavailable, rpcerr.ReasonUnavailable, true},
		{"store down until the deadline", errors.Join(registry.ErrUnavailable, context.DeadlineExceeded), codes.Unavailable, rpcerr.ReasonUnavailable, true},
		{"outcome unknown", registry.ErrUnknownOutcome, codes.Unavailable, rpcerr.ReasonUnavailable, true},
		{"compacted", &registry.CompactedError{}, codes.Unavailable, rpcerr.ReasonUnavailable, true},
		{"reset", &registry.ResetError{}, codes.Unavailable, rpcerr.ReasonUnavailable, true},
		{"conflict", fmt.Errorf("x: %w", &registry.ConflictError{}), codes.Aborted, rpcerr.ReasonConcurrentChange, true},
		{"too large", registry.ErrTooLarge, codes.FailedPrecondition, rpcerr.ReasonTooLarge, false},
		{"malformed transaction", registry.ErrInvalid, codes.Internal, rpcerr.ReasonInternal, false},
		{"not found in the store", registry.ErrNotFound, codes.Internal, rpcerr.ReasonInternal, false},
		{"name", nameErr, codes.InvalidArgument, rpcerr.ReasonInvalidField, false},
		{"domain", fmt.Errorf("x: %w", domainErr), codes.InvalidArgument, rpcerr.ReasonInvalidField, false},
		{"validation", validation, codes.InvalidArgument, rpcerr.ReasonInvalidField, false},
		{"deadline", fmt.Errorf("x: %w", context.DeadlineExceeded), codes.DeadlineExceeded, rpcerr.ReasonDeadlineExceeded, false},
		{"cancelled", context.Canceled, codes.Canceled, rpcerr.ReasonCancelled, false},
		{"status without details", status.Error(codes.Unimplemented, "x"), codes.Unimplemented, rpcerr.ReasonUnimplemented, false},
		{"status of another server, wrapped", fmt.Errorf("x: %w", status.Error(codes.NotFound, "secret")), codes.Internal, rpcerr.ReasonInternal, false},
		{"unknown status", status.Error(codes.Unknown, "secret"), codes.Internal, rpcerr.ReasonInternal, false},
		{"anything else", errors.New("secret"), codes.Internal, rpcerr.ReasonInternal, false},
		{"a typed error without a code", &rpcerr.Error{Reason: rpcerr.ReasonInternal}, codes.Internal, rpcerr.ReasonInternal, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := rpcerr.Status(tc.err)
			if s.Code() != tc.code {
				t.Errorf("code %v, want %v", s.Code(), tc.code)
			}
			info, ok := detail[*errdetails.ErrorInfo](s)
			if !ok || info.GetReason() != string(tc.reason) || info.GetDomain() != rpcerr.Domain {
				t.Errorf("ErrorInfo %v, want reason %s", info, tc.reason)
			}
			retry, ok := detail[*errdetails.RetryInfo](s)
			if ok != tc.retry || ok && retry.GetRetryDelay().AsDuration() <= 0 {
				t.Errorf("RetryInfo %v, want %v", retry, tc.retry)
			}
			if strings.Contains(s.Message(), "secret") {
				t.Errorf("the cause leaks: %q", s.Message())
			}
			if rpcerr.Known(tc.err) != (tc.code != codes.Internal) {
				t.Error("Known disagrees with the table")
			}
		})
	}
}

func TestNilIsOK(t *testing.T) {
	if s := rpcerr.Status(nil); s.Code() != codes.OK {
		t.Errorf("nil is %v", s)
	}
}

func TestEveryViolationInJSONNames(t *testing.T) {
	err := protovalidate.Validate(&breakwaterv1.CreateTokenRequest{Token: &breakwaterv1.Token{
		Permissions:  []string{"sites.get", "!"},
		AllowedCidrs: []string{"192.0.2.0/24", "x"},
		Labels:       map[string]string{"Bad.Key": "v"},
		DisplayName:  strings.Repeat("x", 101),
	}})
	s := rpcerr.Status(fmt.Errorf("wrapped: %w", err))
	bad, ok := detail[*errdetails.BadRequest](s)
	if !ok {
		t.Fatalf("no BadRequest in %v", s)
	}
	got := map[string]string{}
	for _, v := range bad.GetFieldViolations() {
		got[v.GetField()] = v.GetReason()
		if v.GetDescription() == "" {
			t.Errorf("%s has no description", v.GetField())
		}
	}
	for _, field := range []string{
		"token.permissions[1]", "token.allowedCidrs[1]", "token.displayName", `token.labels["Bad.Key"]`,
	} {
		if got[field] == "" {
			t.Errorf("no violation of %s in %v", field, got)
		}
	}
}

// TestRulesInWords: what a rule of the protos asks for is said with the names that clients use.
func TestRulesInWords(t *testing.T) {
	err := protovalidate.Validate(&breakwaterv1.ThreatSettings{
		SecurityLevel:   77,
		DdosAction:      breakwaterv1.ThreatSettings_LOG,
		FirewallEntries: []*breakwaterv1.ThreatSettings_FirewallEntry{{}},
		RateLimits:      []*breakwaterv1.ThreatSettings_RateLimit{{Requests: 1, PeriodSeconds: 1, Action: 99}},
		PacketRules:     []*breakwaterv1.ThreatSettings_PacketRule{{Action: breakwaterv1.ThreatSettings_ALLOW}},
	})
	want := map[string]string{
		"securityLevel":             "must be one of OFF, LOW, MEDIUM, HIGH",
		"ddosAction":                "must be one of BLOCK, CHALLENGE",
		"firewallEntries[0]":        "one of cidr, asn and country is needed",
		"firewallEntries[0].action": "is needed: one of ALLOW, BLOCK, CHALLENGE, LOG",
		"rateLimits[0].match":       "is needed",
		"rateLimits[0].action":      "must be one of ALLOW, BLOCK, CHALLENGE, LOG",
		"packetRules[0].action":     "must be one of BLOCK, LOG",
	}
	got := map[string]string{}
	bad, _ := detail[*errdetails.BadRequest](rpcerr.Status(err))
	for _, v := range bad.GetFieldViolations() {
		got[v.GetField()] = v.GetDescription()
	}
	if !maps.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestViolationsAreBounded(t *testing.T) {
	many := make([]rpcerr.Violation, 5000)
	for i := range many {
		many[i] = rpcerr.Violation{Field: fmt.Sprintf("records[%d]", i), Message: "is wrong"}
	}
	s := rpcerr.Status(rpcerr.Invalid(many...))
	bad, _ := detail[*errdetails.BadRequest](s)
	if n := len(bad.GetFieldViolations()); n != 100 {
		t.Errorf("%d violations in the answer, want 100", n)
	}
	if !strings.Contains(s.Message(), "4999 more") {
		t.Errorf("the message hides how many there are: %q", s.Message())
	}
}

func TestDetailsThatApply(t *testing.T) {
	s := rpcerr.Status(rpcerr.PlanRequired("enabled", "pro", "the app needs the plan pro"))
	info, _ := detail[*errdetails.ErrorInfo](s)
	if info.GetMetadata()["requiredPlan"] != "pro" {
		t.Errorf("metadata %v", info.GetMetadata())
	}
	if p, ok := detail[*errdetails.PreconditionFailure](s); !ok || p.GetViolations()[0].GetType() != "PLAN_REQUIRED" {
		t.Errorf("PreconditionFailure %v", p)
	}
	s = rpcerr.Status(rpcerr.QuotaExceeded("dnsRecords", 10, "", "full"))
	if q, ok := detail[*errdetails.QuotaFailure](s); !ok || q.GetViolations()[0].GetSubject() != "dnsRecords" {
		t.Errorf("QuotaFailure %v", q)
	}
	e := rpcerr.Malformed(rpcerr.ReasonCursorExpired, "gone")
	e.HelpURL = "https://example.com/help"
	if h, ok := detail[*errdetails.Help](rpcerr.Status(e)); !ok || len(h.GetLinks()) != 1 {
		t.Errorf("Help %v", h)
	}
}

func TestOwnStatusPassesUnchanged(t *testing.T) {
	first := rpcerr.Status(rpcerr.PermissionDenied("sites.get", "accounts/acme"))
	second := rpcerr.Status(first.Err())
	if len(second.Details()) != len(first.Details()) || second.Message() != first.Message() {
		t.Errorf("%v became %v", first, second)
	}
}

func TestJSONPath(t *testing.T) {
	for in, want := range map[string]string{
		"name":             "name",
		"site_app.name":    "siteApp.name",
		"allowed_cidrs":    "allowedCidrs",
		"http2_enabled":    "http2Enabled",
		"threat_settings":  "threatSettings",
		"x_forwarded_hops": "xForwardedHops",
	} {
		if got := rpcerr.JSONPath(in); got != want {
			t.Errorf("JSONPath(%q) = %q, want %q", in, got, want)
		}
	}
}
