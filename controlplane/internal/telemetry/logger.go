package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// NewLogger returns a logger that writes to w: one line an event, as `json` or `text`, from
// a level on: `debug`, `info`, `warn` or `error`. Secrets are left out.
func NewLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var from slog.Level
	if err := from.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("telemetry: the log level %q is not debug, info, warn or error", level)
	}
	opts := &slog.HandlerOptions{Level: from}
	switch strings.ToLower(format) {
	case "json":
		return slog.New(NewHandler(slog.NewJSONHandler(w, opts))), nil
	case "text":
		return slog.New(NewHandler(slog.NewTextHandler(w, opts))), nil
	}
	return nil, fmt.Errorf("telemetry: the log format %q is not json or text", format)
}

// NewHandler wraps a handler: what reaches it has no secrets, and the attributes of the
// context.
func NewHandler(next slog.Handler) slog.Handler { return &handler{next} }

type handler struct{ next slog.Handler }

// Enabled implements slog.Handler.
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, redactText(r.Message), r.PC)
	clean.AddAttrs(attrsOf(ctx)...)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(redact(a))
		return true
	})
	return h.next.Handle(ctx, clean)
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = redact(a)
	}
	return &handler{h.next.WithAttrs(clean)}
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler { return &handler{h.next.WithGroup(name)} }

type attrsKey struct{}

// WithAttrs returns a context whose log lines have these attributes, after those that it
// has already.
func WithAttrs(ctx context.Context, attrs ...slog.Attr) context.Context {
	all := slices.Clone(attrsOf(ctx))
	for _, a := range attrs {
		all = append(all, redact(a))
	}
	return context.WithValue(ctx, attrsKey{}, all)
}

func attrsOf(ctx context.Context) []slog.Attr {
	attrs, _ := ctx.Value(attrsKey{}).([]slog.Attr)
	return attrs
}
