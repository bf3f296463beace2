package embedded

import (
	"context"
	"log/slog"
)

// quiet passes records on until ctx ends: a member that is told to stop reports the end of
// its own listeners as errors, which would alarm whoever stopped it.
type quiet struct {
	slog.Handler
	stopping context.Context //nolint:containedctx // it says whether the member stops
}

func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return q.stopping.Err() == nil && q.Handler.Enabled(ctx, level)
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	if q.stopping.Err() == nil {
		return q.Handler.Handle(ctx, r)
	}
	return nil
}

func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quiet{q.Handler.WithAttrs(attrs), q.stopping}
}

func (q quiet) WithGroup(name string) slog.Handler {
	return quiet{q.Handler.WithGroup(name), q.stopping}
}
