package ops

import (
	"context"
	"errors"
	"log/slog"

	"google.golang.org/protobuf/proto"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// Audit writes one line to the operators' log for a change of the platform that came to
// err: who changed what, by which method, from where. Changes of the platform belong to no
// account's audit chain, so this log is their record, and is written whatever the log's level
// is. Every handler's change goes through here; more says what else is to be known, such as a
// reason. Changes that failed and dry runs are not changes and leave no line.
func Audit(ctx context.Context, log *slog.Logger, resourceName string, err error, more ...slog.Attr) {
	info := call.From(ctx)
	outcome := "done"
	switch {
	case errors.Is(err, registry.ErrUnknownOutcome):
		outcome = "unknown"
	case err != nil || info.ValidateOnly:
		return
	}
	slog.New(always{log.Handler()}).LogAttrs(ctx, slog.LevelInfo, "platform changed", append([]slog.Attr{
		slog.Bool("audit", true), slog.String("outcome", outcome),
		slog.String("principal", info.Principal.ID), slog.String("on_behalf_of", info.Principal.OnBehalfOf),
		slog.String("method", info.Method()), slog.String("resource", resourceName),
		slog.String("request_id", info.RequestID), slog.String("peer", info.Peer.String()),
	}, more...)...)
}

// always is a handler that takes lines of every level: its own handler would drop what is
// below the level that it was made for only when asked.
type always struct{ slog.Handler }

// Enabled implements [slog.Handler].
func (always) Enabled(context.Context, slog.Level) bool { return true }

// do is [change.Do] for a change of the platform, with its line in the operators' log. A
// repeat that gets the first answer changes nothing and leaves none.
func do[R proto.Message](
	ctx context.Context, w *change.Writer, log *slog.Logger, resourceName string, fn func(tx *change.Tx) (R, error),
) (R, error) {
	out, repeated, err := Changed(ctx, w, fn)
	if !repeated {
		Audit(ctx, log, resourceName, err)
	}
	return out, err
}

// Changed is [change.Do] for the platform; repeated says that the answer is the kept one of
// the same call made before. The caller leaves the line in the operators' log.
func Changed[R proto.Message](
	ctx context.Context, w *change.Writer, fn func(tx *change.Tx) (R, error),
) (out R, repeated bool, err error) {
	var decided proto.Message
	out, err = change.Do(ctx, w, resource.Tenant{}, func(tx *change.Tx) (R, error) {
		answer, err := fn(tx)
		decided = answer
		return answer, err
	})
	return out, err == nil && proto.Message(out) != decided, err
}
