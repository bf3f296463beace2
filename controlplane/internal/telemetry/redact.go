package telemetry

import (
	"fmt"
	"log/slog"
	"regexp"
	"strings"
)

const redacted = "[redacted]"

// credential matches what authenticates: Breakwater's own tokens, bearer credentials, JSON
// web tokens, the keys of the payment provider, and passwords in URLs.
var credential = regexp.MustCompile(
	`\b(?:bw[a-z]_|sk_live_|sk_test_|rk_live_|rk_test_|whsec_)[A-Za-z0-9_-]+` +
		`|(?i:\bbearer\s+)[A-Za-z0-9._~+/=-]{20,}` +
		`|\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*` +
		`|://[^/@\s:]*:[^/@\s]+@`)

// tellingKeys are parts of keys whose values are never logged.
var tellingKeys = []string{"authorization", "secret", "password", "passphrase", "cookie", "credential", "private_key", "api_key", "bearer"}

// redact takes the secrets out of an attribute.
func redact(a slog.Attr) slog.Attr {
	a.Value = a.Value.Resolve()
	if telling(a.Key) && a.Value.Kind() != slog.KindGroup {
		return slog.String(a.Key, redacted)
	}
	switch a.Value.Kind() {
	case slog.KindString:
		return slog.String(a.Key, redactText(a.Value.String()))
	case slog.KindGroup:
		group := a.Value.Group()
		clean := make([]slog.Attr, len(group))
		for i, inner := range group {
			clean[i] = redact(inner)
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(clean...)}
	case slog.KindAny:
		return redactAny(a)
	default:
		return a
	}
}

// redactAny writes an error as its words. Anything else keeps its shape unless a secret is
// in it.
func redactAny(a slog.Attr) slog.Attr {
	if err, ok := a.Value.Any().(error); ok {
		return slog.String(a.Key, redactText(err.Error()))
	}
	text := fmt.Sprintf("%+v", a.Value.Any())
	if credential.MatchString(text) {
		return slog.String(a.Key, redactText(text))
	}
	return a
}

// redactText replaces credentials; of a token its kind is left, which is no secret.
func redactText(text string) string {
	if !mayHoldCredential(text) {
		return text
	}
	return credential.ReplaceAllStringFunc(text, func(found string) string {
		if strings.HasPrefix(found, "://") {
			return "://" + redacted + "@"
		}
		if kind, _, ok := strings.Cut(found, "_"); ok && len(kind) < 8 {
			return kind + "_" + redacted
		}
		if scheme, _, ok := strings.Cut(found, " "); ok {
			return scheme + " " + redacted
		}
		return redacted
	})
}

// mayHoldCredential is cheap and right where it says no: nearly all text is clean.
func mayHoldCredential(text string) bool {
	return strings.ContainsAny(text, "_@ .") && credential.MatchString(text)
}

func telling(key string) bool {
	key = strings.ToLower(key)
	if key == "token" || strings.HasSuffix(key, "_token") {
		return true
	}
	for _, part := range tellingKeys {
		if strings.Contains(key, part) {
			return true
		}
	}
	return false
}
