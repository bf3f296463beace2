package etcd

import (
	"context"
	"log/slog"
	"slices"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// ZapLogger returns a logger for etcd's code that writes warnings and errors to l; what
// etcd calls information is debugging to everyone else. Nil discards all.
func ZapLogger(l *slog.Logger) *zap.Logger {
	if l == nil {
		return zap.NewNop()
	}
	return zap.New(&zapCore{logger: l})
}

// zapCore is a zapcore.Core over slog.
type zapCore struct {
	logger *slog.Logger
	fields []zapcore.Field
}

// slogLevel is one step below etcd's own, but for errors: what etcd warns of is worth
// knowing to who looks, and its debug lines hold whole requests, which nobody asked for.
func slogLevel(level zapcore.Level) slog.Level {
	switch {
	case level >= zapcore.ErrorLevel:
		return slog.LevelError
	case level == zapcore.WarnLevel:
		return slog.LevelInfo
	case level == zapcore.InfoLevel:
		return slog.LevelDebug
	default:
		return slog.LevelDebug - 4
	}
}

func (c *zapCore) Enabled(level zapcore.Level) bool {
	return c.logger.Enabled(context.Background(), slogLevel(level))
}

func (c *zapCore) With(fields []zapcore.Field) zapcore.Core {
	return &zapCore{logger: c.logger, fields: slices.Concat(c.fields, fields)}
}

func (c *zapCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c *zapCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range slices.Concat(c.fields, fields) {
		f.AddTo(enc)
	}
	attrs := make([]slog.Attr, 0, len(enc.Fields))
	for k, v := range enc.Fields {
		attrs = append(attrs, slog.Any(k, v))
	}
	slices.SortFunc(attrs, func(a, b slog.Attr) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	attrs = append(attrs, slog.String("event", e.Message))
	c.logger.LogAttrs(context.Background(), slogLevel(e.Level), "etcd", attrs...)
	return nil
}

func (c *zapCore) Sync() error { return nil }
