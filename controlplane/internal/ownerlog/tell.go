package ownerlog

import (
	"bytes"
	"fmt"
	"strings"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// The methods that events name: nobody called them.
const (
	methodQuarantine = "QuarantineDocument"
	methodRetry      = "RetryQuarantine"
	methodClear      = "ClearQuarantine"
)

// between returns the events that lie between what was told of a document's quarantine and
// what is so now. Either may be nil, for none.
func between(account string, told, now *storev1.QuarantineRecord) []*breakwaterv1.AuditEvent {
	var out []*breakwaterv1.AuditEvent
	event := func(method, format string, args ...any) {
		out = append(out, &breakwaterv1.AuditEvent{Method: method, Summary: fmt.Sprintf(format, args...)})
	}
	if now == nil {
		if told != nil {
			event(methodClear, "%s is not quarantined any more: what is wanted now passed all waves", what(told))
		}
		return out
	}
	if !same(told, now) {
		event(methodQuarantine, "%s was quarantined, its last good version serves: %s", what(now), evidence(now))
		told = &storev1.QuarantineRecord{}
	}
	retried := now.GetRetries() > told.GetRetries()
	if retried {
		event(methodRetry, "%s is tried again (%d), asked by %s", what(now), now.GetRetries(), asker(account, now.GetRetryPrincipal()))
	}
	if (retried || told.GetTrying()) && !now.GetTrying() {
		event(methodQuarantine, "%s hurt again and stays quarantined: %s", what(now), evidence(now))
	}
	return out
}

// same says whether two records are of one quarantine of one version.
func same(a, b *storev1.QuarantineRecord) bool {
	return a != nil && a.GetCreateTime().AsTime().Equal(b.GetCreateTime().AsTime()) && bytes.Equal(a.GetBadSha256(), b.GetBadSha256())
}

func what(q *storev1.QuarantineRecord) string {
	return fmt.Sprintf("the %s document of release %d of the %s channel", q.GetKind(), q.GetRelease(), q.GetChannel())
}

func evidence(q *storev1.QuarantineRecord) string {
	reason := q.GetReason()
	if q.GetDataCenter() != "" {
		reason += " (seen at " + q.GetDataCenter()
		if q.GetServer() != "" {
			reason += ", server " + q.GetServer()
		}
		reason += ")"
	}
	return reason
}

// asker is who asked for a retry, as the account may know it.
func asker(account, principal string) string {
	if strings.HasPrefix(principal, "accounts/"+account+"/") {
		return principal
	}
	return "an operator"
}
