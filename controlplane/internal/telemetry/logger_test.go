package telemetry

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
)

type lazy struct{ secret string }

func (l lazy) LogValue() slog.Value {
	return slog.GroupValue(slog.String("password", l.secret), slog.Int("n", 1))
}

func TestSecretsAreLeftOut(t *testing.T) {
	const token, jwt = "bwt_abc123_s3cr3t-xyz", "eyJhbGciOi.eyJzdWIi.c2ln"
	for _, format := range []string{"json", "text"} {
		var out strings.Builder
		log, err := NewLogger(&out, format, "debug")
		if err != nil {
			t.Fatal(err)
		}
		ctx := WithAttrs(t.Context(), slog.String("request_id", "r1"), slog.String("token", "s3cr3t"))
		ctx = WithAttrs(ctx, slog.String("note", "uses "+token))
		fault := fmt.Errorf("call: %w", errors.New("refused Bearer "+strings.Repeat("s3cr3t", 4)))
		log = log.With(slog.String("api_key", "s3cr3t"), slog.Any("error", fault)).WithGroup("g")
		log.InfoContext(ctx, "login with "+token,
			slog.String("authorization", "s3cr3t"), slog.String("set_cookie", "s3cr3t"), slog.String("client_secret", "s3cr3t"),
			slog.Any("l", lazy{"s3cr3t"}), slog.Group("in", slog.String("x", token)), slog.Any("list", []string{"a", token}),
			slog.Any("url", &url.URL{Scheme: "https", User: url.UserPassword("u", "s3cr3t"), Host: "h"}),
			slog.String("dsn", "postgres://u:s3cr3t@h/db"), slog.String("id_token", jwt), slog.String("words", "got "+jwt),
			slog.String("stripe", "sk_test_s3cr3t"), slog.Int("count", 3), slog.Any("shape", []int{1, 2}))
		got := out.String()
		if strings.Contains(got, "s3cr3t") || strings.Contains(got, "eyJ") {
			t.Errorf("%s: a secret in %s", format, got)
		}
		for _, want := range []string{"r1", "bwt_[redacted]", "login with", "refused Bearer [redacted]", "postgres://[redacted]@h/db"} {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %q in %s", format, want, got)
			}
		}
		if format == "json" && !strings.Contains(got, `"shape":[1,2]`) {
			t.Errorf("a list lost its shape in %s", got)
		}
	}
}

func TestWordsAreLeftIn(t *testing.T) {
	for _, text := range []string{
		"a bearer credential is needed", "https://shop.test/a:b@c", "basic settings of rw_data", "accounts/acme/sites/shop.test", "bw_x bwtx",
	} {
		if got := redactText(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestLoggerConfig(t *testing.T) {
	var out strings.Builder
	log, err := NewLogger(&out, "JSON", "WARN")
	if err != nil {
		t.Fatal(err)
	}
	log.InfoContext(t.Context(), "quiet")
	log.WarnContext(t.Context(), "loud")
	if strings.Contains(out.String(), "quiet") || !strings.Contains(out.String(), "loud") {
		t.Errorf("got %s", out.String())
	}
	for _, bad := range [][2]string{{"xml", "info"}, {"json", "chatty"}} {
		if _, err := NewLogger(&out, bad[0], bad[1]); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("x bwt_abc y", "")
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.ContainsAny(before, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:/") {
			return
		}
		if got := redactText(before + "bwt_S3CR3T" + after); strings.Contains(got, "S3CR3T") && !strings.Contains(before+after, "S3CR3T") {
			t.Errorf("%q kept its secret in %q", before+"bwt_S3CR3T"+after, got)
		}
	})
}
