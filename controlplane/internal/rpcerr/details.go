package rpcerr

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// maxViolations bounds what one answer carries: a status travels in headers.
const maxViolations = 100

// render makes the status of an error: ErrorInfo first, then what applies.
func render(e *Error) *status.Status {
	code, message := e.Code, e.Message
	if code == codes.OK {
		code = codes.Internal
	}
	return withDetails(status.New(code, message), details(e))
}

func details(e *Error) []protoadapt.MessageV1 {
	out := []protoadapt.MessageV1{
		&errdetails.ErrorInfo{Reason: string(e.Reason), Domain: Domain, Metadata: e.Metadata},
	}
	if len(e.Violations) > 0 {
		bad := &errdetails.BadRequest{}
		for _, v := range e.Violations[:min(len(e.Violations), maxViolations)] {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{
				Field: v.Field, Reason: v.Rule, Description: v.Message,
			})
		}
		out = append(out, bad)
	}
	switch {
	case e.Reason == ReasonQuotaExceeded || e.Reason == ReasonRateLimited:
		out = append(out, &errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{
			{Subject: e.Subject, Description: e.Message},
		}})
	case e.Code == codes.FailedPrecondition:
		out = append(out, &errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{
			{Type: string(e.Reason), Subject: e.Subject, Description: e.Message},
		}})
	}
	if e.RetryAfter > 0 {
		out = append(out, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)})
	}
	if e.HelpURL != "" {
		out = append(out, &errdetails.Help{Links: []*errdetails.Help_Link{{Description: "Documentation", Url: e.HelpURL}}})
	}
	return out
}

// complete gives a status of others what every status has here, and hides the words of one
// that nobody meant for the caller.
func complete(s *status.Status) *status.Status {
	switch s.Code() {
	case codes.OK:
		return s
	case codes.Unknown:
		return render(Internal(nil))
	default:
	}
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == Domain {
			return s
		}
	}
	return withDetails(s, []protoadapt.MessageV1{
		&errdetails.ErrorInfo{Reason: string(reasonOf(s.Code())), Domain: Domain},
	})
}

func withDetails(s *status.Status, d []protoadapt.MessageV1) *status.Status {
	full, err := s.WithDetails(d...)
	if err != nil {
		// Only an OK status or a detail that can't be marshalled is refused.
		return s
	}
	return full
}
